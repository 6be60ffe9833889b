//! `cargo xtask prepare`: regenerates `.sqlx/`, the offline data that sqlx checks queries against.
//!
//! sqlx's checked macros write it: with a database and an output directory they describe each query there. This happens
//! only when a crate is compiled, so the sources are touched first.

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use local_services::{Purpose, Services, install_missing, workspace_root};

/// Rewrites `.sqlx/`.
pub(crate) fn regenerate() -> Result<ExitCode> {
    let root = workspace_root()?;
    let described = read_descriptions(&describe(&root)?)?;
    let committed = root.join(".sqlx");
    if committed.exists() {
        fs::remove_dir_all(&committed).context("cannot remove .sqlx")?;
    }
    fs::create_dir_all(&committed).context("cannot create .sqlx")?;
    for (name, text) in &described {
        fs::write(committed.join(name), text).with_context(|| format!("cannot write .sqlx/{name}"))?;
    }
    println!("described {} queries", described.len());
    Ok(ExitCode::SUCCESS)
}

/// Fails when `.sqlx/` is out of date.
pub(crate) fn check() -> Result<ExitCode> {
    let root = workspace_root()?;
    let described = read_descriptions(&describe(&root)?)?;
    let committed = read_descriptions(&root.join(".sqlx"))?;
    let mut is_current = true;
    for (name, text) in &described {
        if committed.get(name) != Some(text) {
            println!(".sqlx/{name}:1: missing or out of date, for: {}", query(text));
            is_current = false;
        }
    }
    for (name, text) in committed
        .iter()
        .filter(|(name, _)| !described.contains_key(*name))
    {
        println!(".sqlx/{name}:1: no longer used: {}", query(text));
        is_current = false;
    }
    if is_current {
        println!("prepare: the data of {} queries is current", described.len());
        return Ok(ExitCode::SUCCESS);
    }
    println!("prepare: run cargo xtask prepare and commit .sqlx/");
    Ok(ExitCode::FAILURE)
}

/// Compiles all crates that use sqlx against a migrated database. Returns the directory of the descriptions.
fn describe(root: &Path) -> Result<PathBuf> {
    install_missing()?;
    let services = Services::start(Purpose::Tests)?;
    let database = format!("prepare_{}", std::process::id());
    let psql = |database: &str, arguments: &[&str]| psql(&services, database, arguments);
    psql("postgres", &["-c", &format!("create database {database}")])?;
    let described = migrations(root)
        .and_then(|migrations| {
            migrations
                .iter()
                .try_for_each(|file| apply(file, &|arguments| psql(&database, arguments)))
        })
        .and_then(|()| compile(root, &services.database_url(&database)));
    psql("postgres", &["-c", &format!("drop database {database}")])?;
    services.stop()?;
    described
}

/// Applies a migration like the migrator: in a transaction, unless the migration opts out.
fn apply(file: &str, psql: &dyn Fn(&[&str]) -> Result<()>) -> Result<()> {
    let sql = fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?;
    match sql.starts_with("-- no-transaction") {
        true => psql(&["-f", file]),
        false => psql(&["--single-transaction", "-f", file]),
    }
}

fn psql(services: &Services, database: &str, arguments: &[&str]) -> Result<()> {
    let program = services.postgres_bin().join("psql");
    let output = Command::new(&program)
        .args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"])
        .arg(services.database_url(database))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {}", program.display()))?;
    if !output.status.success() {
        bail!(
            "{}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}

/// The migrations in order: their names begin with their version.
fn migrations(root: &Path) -> Result<Vec<String>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(root.join("migrations")).context("cannot read migrations/")? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.ends_with(".sql") && name.starts_with(|first: char| first.is_ascii_digit()) {
            paths.push(path.display().to_string());
        }
    }
    paths.sort();
    Ok(paths)
}

fn compile(root: &Path, database_url: &str) -> Result<PathBuf> {
    let directory = root.join("target/sqlx-prepare");
    if directory.exists() {
        fs::remove_dir_all(&directory).context("cannot empty target/sqlx-prepare")?;
    }
    fs::create_dir_all(&directory).context("cannot create target/sqlx-prepare")?;
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["check", "--quiet", "--all-targets"])
        .current_dir(root);
    for name in crates_with_queries(root)? {
        touch_sources(&root.join(&name))?;
        command.arg(format!("--package={name}"));
    }
    let status = command
        .env("SQLX_OFFLINE", "false")
        .env("SQLX_OFFLINE_DIR", &directory)
        .env("DATABASE_URL", database_url)
        .status()
        .context("cannot run cargo check")?;
    if !status.success() {
        bail!("the workspace does not compile against its schema; cargo's messages are above");
    }
    Ok(directory)
}

fn crates_with_queries(root: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(root).context("cannot read the workspace's root")? {
        let entry = entry?;
        let manifest = fs::read_to_string(entry.path().join("Cargo.toml")).unwrap_or_default();
        if manifest.lines().any(|line| line.starts_with("sqlx.workspace")) {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Makes cargo recompile the crate.
fn touch_sources(directory: &Path) -> Result<()> {
    for entry in fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            touch_sources(&path)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let file = File::options().append(true).open(&path);
            file.and_then(|file| file.set_modified(SystemTime::now()))
                .with_context(|| format!("cannot touch {}", path.display()))?;
        }
    }
    Ok(())
}

/// File names and contents. Empty when the directory doesn't exist.
fn read_descriptions(directory: &Path) -> Result<BTreeMap<String, String>> {
    let mut descriptions = BTreeMap::new();
    let Ok(entries) = fs::read_dir(directory) else {
        return Ok(descriptions);
    };
    for entry in entries {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        descriptions.insert(
            name,
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?,
        );
    }
    Ok(descriptions)
}

/// The query of a description, on one line.
fn query(description: &str) -> String {
    let json: serde_json::Value = serde_json::from_str(description).unwrap_or_default();
    json["query"]
        .as_str()
        .unwrap_or("an unknown query")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}
