//! Rules on the tables of settings in `docs/OPERATIONS.md`: they are what the programs' own `--help` says.
//!
//! The programs are asked, and not their sources: `--help` is what an operator sees, it knows what macros, constants and
//! flattened structures come to, and a setting that is added anywhere is in the table after `--fix` alone. The price is
//! that the programs are built first, where they aren't. (`xtask` may not depend on their crates.) Read next: `help.rs`.

mod help;

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use self::help::Setting;
use super::Finding;
use super::files::Files;

const PAGE: &str = "docs/OPERATIONS.md";

/// The programs' commands, in the order of the page. What a command has is only named at those that follow: it is the same
/// setting there.
const COMMANDS: [(&str, &[&str]); 7] = [
    ("backstock-api", &["serve"]),
    ("backstock-api", &["migrate"]),
    ("backstock-api", &["import"]),
    ("backstock-api", &["create-admin"]),
    ("backstock-worker", &["work"]),
    ("backstock-worker", &["dead-letters"]),
    ("backstock-simulators", &[]),
];

pub(crate) fn check(files: &Files, root: &Path) -> Result<Vec<Finding>> {
    let Some(page) = files.find(PAGE) else {
        return Ok(vec![Finding::new(PAGE, 1, "there is no such page")]);
    };
    let mut findings = Vec::new();
    for (name, table) in tables(root)? {
        match between_markers(&page.text, &name) {
            None => {
                let (begin, end) = markers(&name);
                let message = format!("has no table of settings between {begin} and {end}");
                findings.push(Finding::new(PAGE, 1, message));
            }
            Some((before, found, _)) if found != table => {
                let message = "the table of settings is not what --help says: run cargo xtask tidy --fix";
                findings.push(Finding::new(PAGE, before.lines().count() + 1, message));
            }
            Some(_) => {}
        }
    }
    Ok(findings)
}

/// Writes the tables into the page.
pub(crate) fn rewrite_tables(files: &Files, root: &Path) -> Result<()> {
    let page = files.find(PAGE).with_context(|| format!("there is no {PAGE}"))?;
    let mut text = page.text.clone();
    for (name, table) in tables(root)? {
        let Some((before, _, after)) = between_markers(&text, &name) else {
            let (begin, end) = markers(&name);
            bail!(
                "{PAGE} has no table of {name}: put {begin} and {end} on lines of their own, where it shall be"
            );
        };
        text = format!("{before}{table}{after}");
    }
    if text != page.text {
        fs::write(root.join(PAGE), text).with_context(|| format!("cannot write {PAGE}"))?;
        println!("rewrote the tables of settings of {PAGE}");
    }
    Ok(())
}

fn markers(name: &str) -> (String, String) {
    (
        format!("<!-- settings:{name}:begin -->"),
        format!("<!-- settings:{name}:end -->"),
    )
}

/// What comes before the table, with the opening marker; the table; the rest.
fn between_markers<'a>(text: &'a str, name: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let (begin, end) = markers(name);
    let begin = text.find(&begin)? + begin.len();
    let end = begin + text[begin..].find(&end)?;
    Some((&text[..begin], &text[begin..end], &text[end..]))
}

/// The table of each command, by its name: `backstock-api serve`.
fn tables(root: &Path) -> Result<Vec<(String, String)>> {
    let programs = build(root)?;
    let mut said: BTreeMap<&str, BTreeSet<Setting>> = BTreeMap::new();
    let mut tables = Vec::new();
    for (program, command) in COMMANDS {
        let path = programs
            .get(program)
            .with_context(|| format!("cargo built no {program}"))?;
        let name = [&[program], command].concat().join(" ");
        let settings = help::read(&ask(path, command)?)
            .with_context(|| format!("`{name} --help` has a form that isn't expected"))?;
        let before = said.entry(program).or_default();
        tables.push((name, table(&settings, before)));
        before.extend(settings);
    }
    Ok(tables)
}

fn ask(program: &Path, command: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(command)
        .arg("--help")
        // The values of its own environment would be shown. What is wider than a terminal isn't wrapped.
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

/// Builds the programs where they aren't, and says where they are. As for all tests: other selections of packages have
/// other features of the libraries, and would compile half of them again.
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
        bail!("api, worker and simulators can't be built, and their --help not be asked for");
    }
    let mut programs = BTreeMap::new();
    for line in String::from_utf8(output.stdout)?.lines() {
        let message: Value = serde_json::from_str(line).context("cargo said no JSON")?;
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

/// The settings that no command before has, and the names of the others.
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

/// A table's cell ends at a `|`, also within code.
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
    fn what_a_command_before_has_is_only_named() {
        let (log, strict) = (setting("--log", Some("BACKSTOCK_LOG")), setting("--strict", None));
        let table = table(&[log.clone(), strict], &BTreeSet::from([log]));
        assert!(table.contains("| – | `--strict` | – | – |"), "{table}");
        assert!(table.ends_with("\nAs above: `BACKSTOCK_LOG`.\n"), "{table}");
        assert!(!table.contains("`--log`"), "{table}");
    }

    #[test]
    fn each_table_is_found_between_its_own_markers() {
        let text = "a\n<!-- settings:x y:begin -->\nold\n<!-- settings:x y:end -->\nrest\n";
        let (before, found, after) = between_markers(text, "x y").unwrap();
        assert_eq!(found, "\nold\n");
        assert_eq!(format!("{before}{found}{after}"), text);
        assert!(between_markers(text, "x").is_none());
    }
}
