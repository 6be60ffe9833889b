//! `cargo xtask import FILE`: imports a Shopify product export into the databases of both local shops.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use local_services::{Purpose, Services};

use crate::up::{LocalShop, build_product};

/// Runs `backstock-api import` for each shop. Running shops show the products within a second; they need not be running.
pub(crate) fn import(file: &Path, arguments: &[String]) -> Result<ExitCode> {
    if !file.is_file() {
        bail!("there is no file {}", file.display());
    }
    let programs = build_product()?;
    let services = Services::start(Purpose::Shop)?;
    let mut worst = 0;
    for shop in LocalShop::BOTH {
        println!("{} shop:", shop.name());
        let status = Command::new(programs.join("backstock-api"))
            .arg("import")
            .arg(file)
            .args(arguments)
            .env("BACKSTOCK_DATABASE_URL", services.database_url(shop.database()))
            .status()
            .context("cannot run backstock-api")?;
        worst = worst.max(status.code().unwrap_or(1));
    }
    services.stop()?;
    if worst != 0 {
        eprintln!("The import failed. If the shops have no data yet, run `make up` once.");
    }
    Ok(ExitCode::from(u8::try_from(worst).unwrap_or(1)))
}
