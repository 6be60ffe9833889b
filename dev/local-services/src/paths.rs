//! The paths of the workspace and of `.backstock/`, which holds data, logs, locks and secrets.
//!
//! Read next: `data_dirs.rs` for the layout of one purpose.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The directory of data, logs, locks and secrets: `BACKSTOCK_HOME`, or `.backstock` in the workspace root.
pub fn home_dir() -> Result<PathBuf> {
    match env::var_os("BACKSTOCK_HOME") {
        Some(home) if !home.is_empty() => {
            std::path::absolute(&home).with_context(|| format!("BACKSTOCK_HOME={}", home.display()))
        }
        _ => Ok(workspace_root()?.join(".backstock")),
    }
}

/// The nearest directory, from the current one upwards, whose `Cargo.toml` has a `[workspace]`.
pub fn workspace_root() -> Result<PathBuf> {
    let current = env::current_dir().context("the current directory is gone")?;
    for directory in current.ancestors() {
        if is_workspace(directory) {
            return Ok(directory.to_owned());
        }
    }
    bail!(
        "{} is not inside the Backstock workspace: change into it, or set BACKSTOCK_HOME to a directory for data and logs",
        current.display()
    )
}

fn is_workspace(directory: &Path) -> bool {
    fs::read_to_string(directory.join("Cargo.toml"))
        .is_ok_and(|manifest| manifest.lines().any(|line| line.trim() == "[workspace]"))
}
