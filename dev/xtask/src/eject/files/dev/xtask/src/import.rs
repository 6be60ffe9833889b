//! `cargo xtask import FILE`: imports a Shopify product export into the database of the local shop.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use local_services::{Purpose, Services};

use crate::up::{DATABASE, build_product};

/// Runs `backstock-api import`. A running shop shows the products within a second; it need not be running.
pub(crate) fn import(file: &Path, arguments: &[String]) -> Result<ExitCode> {
    if !file.is_file() {
        bail!("there is no file {}", file.display());
    }
    let programs = build_product()?;
    let services = Services::start(Purpose::Shop)?;
    let status = Command::new(programs.join("backstock-api"))
        .arg("import")
        .arg(file)
        .args(arguments)
        .env("BACKSTOCK_DATABASE_URL", services.database_url(DATABASE))
        .status()
        .context("cannot run backstock-api")?;
    services.stop()?;
    if !status.success() {
        eprintln!("The import failed. If the shop has no data yet, run `make up` once.");
    }
    Ok(ExitCode::from(
        u8::try_from(status.code().unwrap_or(1)).unwrap_or(1),
    ))
}
