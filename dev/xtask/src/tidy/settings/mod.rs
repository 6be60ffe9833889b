//! The rule on the tables of settings in `docs/OPERATIONS.md`: they match the programs' `--help`.
//!
//! The tables are generated from `--help` and not from the sources, because it is what an operator sees, with macros,
//! constants and flattened structs resolved. The cost is that the programs are built first (`xtask` may not depend on
//! their crates). Read next: `help.rs`.

mod help;

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use self::help::Setting;
use super::generated::Block;

const PAGE: &str = "docs/OPERATIONS.md";

/// The programs' commands, in the order of the page. A setting that an earlier command of the program has is only listed.
const COMMANDS: [(&str, &[&str]); 7] = [
    ("backstock-api", &["serve"]),
    ("backstock-api", &["migrate"]),
    ("backstock-api", &["import"]),
    ("backstock-api", &["create-admin"]),
    ("backstock-worker", &["work"]),
    ("backstock-worker", &["dead-letters"]),
    ("backstock-simulators", &[]),
];

pub(crate) fn blocks(root: &Path) -> Result<Vec<Block>> {
    let block = |(name, text)| Block {
        document: PAGE.to_owned(),
        name: format!("settings:{name}"),
        text,
    };
    Ok(tables(root)?.into_iter().map(block).collect())
}

/// Each command's name, such as `backstock-api serve`, with its table.
fn tables(root: &Path) -> Result<Vec<(String, String)>> {
    let programs = build(root)?;
    let mut earlier: BTreeMap<&str, BTreeSet<Setting>> = BTreeMap::new();
    let mut tables = Vec::new();
    for (program, command) in COMMANDS {
        let path = programs
            .get(program)
            .with_context(|| format!("cargo built no {program}"))?;
        let name = [&[program], command].concat().join(" ");
        let settings = help::parse(&help_text(path, command)?)
            .with_context(|| format!("`{name} --help` has an unexpected format"))?;
        let before = earlier.entry(program).or_default();
        tables.push((name, table(&settings, before)));
        before.extend(settings);
    }
    Ok(tables)
}

fn help_text(program: &Path, command: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(command)
        .arg("--help")
        // `--help` would show the values of the environment. The large width prevents wrapping.
        .env_clear()
        .env("COLUMNS", "10000")
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {}", program.display()))?;
    if !output.status.success() {
        bail!("{} {}: {}", program.display(), command.join(" "), output.status);
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Builds the programs and returns their paths. It builds the same selection of packages as the tests do, because another
/// selection would enable other features and recompile half of the dependencies.
fn build(root: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["test", "--no-run", "--workspace", "--quiet"])
        .arg("--message-format=json-render-diagnostics")
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    if !output.status.success() {
        bail!("api, worker and simulators can't be built, so their --help can't be read");
    }
    let mut programs = BTreeMap::new();
    for line in String::from_utf8(output.stdout)?.lines() {
        let message: Value = serde_json::from_str(line).context("cargo's output is not JSON")?;
        let is_test = message["profile"]["test"] == true;
        if let (Some(name), Some(path), false) = (
            message["target"]["name"].as_str(),
            message["executable"].as_str(),
            is_test,
        ) {
            programs.insert(name.to_owned(), PathBuf::from(path));
        }
    }
    Ok(programs)
}

/// The settings that are new with this command, and the names of the others.
fn table(settings: &[Setting], before: &BTreeSet<Setting>) -> String {
    let mut table =
        String::from("\n| variable | flag | unit | default | what it does |\n|---|---|---|---|---|\n");
    for setting in settings.iter().filter(|setting| !before.contains(setting)) {
        table.push_str(&row(setting));
    }
    let others: Vec<String> = settings
        .iter()
        .filter(|setting| before.contains(setting))
        .map(|setting| format!("`{}`", setting.variable.as_ref().unwrap_or(&setting.flag)))
        .collect();
    if !others.is_empty() {
        table.push_str(&format!("\nAs above: {}.\n", others.join(", ")));
    }
    table
}

fn row(setting: &Setting) -> String {
    let code = |text: &Option<String>| {
        text.as_ref()
            .map_or("–".to_owned(), |text| format!("`{}`", escaped(text)))
    };
    let default = match (&setting.default, setting.is_required) {
        (None, true) => "**required**".to_owned(),
        (default, _) => code(default),
    };
    let secret = if setting.is_secret { " *Secret.*" } else { "" };
    format!(
        "| {} | `{}` | {} | {default} | {}{secret} |\n",
        code(&setting.variable),
        setting.flag,
        setting.unit().unwrap_or("–"),
        escaped(&setting.description),
    )
}

/// Escapes `|`, which ends a table cell even within code.
fn escaped(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(flag: &str, variable: Option<&str>) -> Setting {
        Setting {
            flag: flag.to_owned(),
            variable: variable.map(str::to_owned),
            default: None,
            description: "One | two.".to_owned(),
            is_required: false,
            is_secret: false,
        }
    }

    #[test]
    fn a_row_has_what_help_says_and_a_unit() {
        let setting = Setting {
            default: Some("10".to_owned()),
            is_secret: true,
            ..setting("--wait-ms", Some("BACKSTOCK_WAIT_MS"))
        };
        assert_eq!(
            row(&setting),
            "| `BACKSTOCK_WAIT_MS` | `--wait-ms` | ms | `10` | One \\| two. *Secret.* |\n"
        );
    }

    #[test]
    fn settings_of_an_earlier_command_are_only_listed() {
        let (log, strict) = (setting("--log", Some("BACKSTOCK_LOG")), setting("--strict", None));
        let table = table(&[log.clone(), strict], &BTreeSet::from([log]));
        assert!(table.contains("| – | `--strict` | – | – |"), "{table}");
        assert!(table.ends_with("\nAs above: `BACKSTOCK_LOG`.\n"), "{table}");
        assert!(!table.contains("`--log`"), "{table}");
    }
}
