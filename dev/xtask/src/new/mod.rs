//! `cargo xtask new`: writes a compiling and tested start of a slice, a consumer or a background task, and inserts it
//! where it belongs.
//!
//! Everything is done in memory and formatted first, so that nothing is written when a step fails. Read next: `starts.rs`
//! for what is written, `source.rs` for how the places of insertions are found.

mod name;
mod source;
mod starts;
#[cfg(test)]
mod tests;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use local_services::workspace_root;

use self::name::Placeholders;
use self::starts::Start;

/// The identifiers that a start adds. One that exists would be a second item of this name, or hidden by it.
const IDENTIFIERS: [&str; 5] = [
    "__name__",
    "__Name__",
    "list___name__",
    "__name___in_flight",
    "__name___interval",
];

/// What to write.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Kind {
    /// Routes of the api, with their part of its state
    Slice,
    /// A consumer of events in the worker
    Consumer,
    /// A periodic task of the worker
    Task,
}

/// A file in memory.
struct Planned {
    path: String,
    /// `None` for a new file.
    before: Option<String>,
    after: String,
}

/// Writes into this workspace. Prints what was written and what to do next.
pub(crate) fn new(kind: Kind, name: &str) -> Result<ExitCode> {
    let (written, next) = generate(&workspace_root()?, kind, name)?;
    for file in written {
        println!(
            "{} {}",
            if file.before.is_some() {
                "changed"
            } else {
                "created"
            },
            file.path
        );
    }
    println!("next:\n  {}", next.join("\n  "));
    Ok(ExitCode::SUCCESS)
}

fn generate(root: &Path, kind: Kind, name: &str) -> Result<(Vec<Planned>, Vec<String>)> {
    name::validate(name)?;
    let start = match kind {
        Kind::Slice => starts::SLICE,
        Kind::Consumer => starts::CONSUMER,
        Kind::Task => starts::TASK,
    };
    let placeholders = Placeholders::new(name, &env_prefix(root)?);
    let mut planned = plan(root, &start, &placeholders)?;
    let manifest = read(root, "Cargo.toml")?;
    let edition = manifest
        .split("edition = \"")
        .nth(1)
        .and_then(|rest| rest.split('"').next());
    let edition = edition.context("Cargo.toml names no edition")?;
    for file in planned.iter_mut().filter(|file| file.path.ends_with(".rs")) {
        file.after = format(root, edition, &file.after).with_context(|| file.path.clone())?;
    }
    write(root, &planned)?;
    Ok((
        planned,
        start.next.iter().map(|step| placeholders.fill(step)).collect(),
    ))
}

/// Edits come first, because "is used in api/src/lib.rs" says more than "exists".
fn plan(root: &Path, start: &Start, placeholders: &Placeholders) -> Result<Vec<Planned>> {
    let mut planned = Vec::new();
    let optional = start
        .optional_edits
        .iter()
        .filter(|(path, _)| root.join(path).exists());
    for (path, edits) in start.edits.iter().chain(optional) {
        let before = read(root, path)?;
        if path.ends_with(".rs") {
            check_unused(&before, path, placeholders)?;
        }
        let after = source::edit(&before, edits, &|text| placeholders.fill(text))
            .with_context(|| path.to_string())?;
        planned.push(Planned {
            path: path.to_string(),
            before: Some(before),
            after,
        });
    }
    for (path, template) in start.files {
        let path = placeholders.fill(path);
        ensure!(
            !root.join(&path).exists(),
            "{path} exists: choose another name, or delete it first"
        );
        check_unused(template, "the template", placeholders)?;
        planned.push(Planned {
            path,
            before: None,
            after: placeholders.fill(template),
        });
    }
    Ok(planned)
}

fn check_unused(source: &str, place: &str, placeholders: &Placeholders) -> Result<()> {
    for identifier in IDENTIFIERS.map(|identifier| placeholders.fill(identifier)) {
        let is_used = source::has_identifier(source, &identifier).with_context(|| place.to_owned())?;
        ensure!(!is_used, "`{identifier}` is used in {place}: choose another name");
    }
    Ok(())
}

fn read(root: &Path, path: &str) -> Result<String> {
    fs::read_to_string(root.join(path)).with_context(|| format!("cannot read {path}"))
}

/// The beginning of the names of all environment variables, from one that every service has.
fn env_prefix(root: &Path) -> Result<String> {
    let settings = read(root, "worker/src/settings.rs")?;
    let mut names = settings
        .split("env = \"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next());
    let prefix = names.find_map(|name| name.strip_suffix("_INTERNAL_LISTEN"));
    Ok(prefix
        .context("worker/src/settings.rs has no variable …_INTERNAL_LISTEN")?
        .to_owned())
}

/// Formats as `cargo fmt` does, but from stdin: given a path, rustfmt also formats its submodules.
fn format(root: &Path, edition: &str, text: &str) -> Result<String> {
    let mut rustfmt = Command::new("rustfmt")
        .args(["--edition", edition])
        .current_dir(root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start rustfmt: run rustup component add rustfmt")?;
    // Dropping stdin ends the input.
    rustfmt
        .stdin
        .take()
        .context("stdin is piped")?
        .write_all(text.as_bytes())?;
    let output = rustfmt.wait_with_output()?;
    ensure!(output.status.success(), "rustfmt rejects it");
    Ok(String::from_utf8(output.stdout)?)
}

/// Writes all files. When one fails, restores those before it.
fn write(root: &Path, planned: &[Planned]) -> Result<()> {
    for (index, file) in planned.iter().enumerate() {
        let path = root.join(&file.path);
        let directory = path.parent().context("a file is in a directory")?;
        if let Err(error) = fs::create_dir_all(directory).and_then(|()| fs::write(&path, &file.after)) {
            for written in &planned[..=index] {
                let path = root.join(&written.path);
                // The first error is the one to report.
                let _ = match &written.before {
                    Some(before) => fs::write(path, before),
                    None => fs::remove_file(path),
                };
            }
            bail!("cannot write {}: {error}", file.path);
        }
    }
    Ok(())
}
