//! Installs the packages of missing servers through `install.sh`.
//!
//! Installing requires consent: running as root, `YES=1`, or a yes at the terminal.

use std::env;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::binaries::{epmd, how_to_install, in_path, postgres_directory, rabbitmq_directory, redis_server};

const SCRIPT: &str = include_str!("install.sh");

/// Installs Postgres, Redis, RabbitMQ and util-linux, except those that are present. A server isn't needed if an
/// environment variable has its URL.
pub fn install_missing() -> Result<()> {
    let packages = missing_packages();
    install(&packages)?;
    if packages.contains(&"postgresql") {
        postgres_directory(None)?; // The distribution's version may be too old.
    }
    Ok(())
}

/// Fails with a hint when a package is missing.
pub(crate) fn expect_installed() -> Result<()> {
    let packages = missing_packages().join(" ");
    if packages.is_empty() {
        return Ok(());
    }
    bail!("missing here: {packages}. {}", how_to_install(&packages))
}

fn missing_packages() -> Vec<&'static str> {
    let has_url = |variable: &str| env::var_os(variable).is_some_and(|url| !url.is_empty());
    let mut packages = Vec::new();
    if !has_url("BACKSTOCK_DATABASE_URL") && postgres_directory(None).is_err() {
        packages.push("postgresql");
    }
    if !has_url("BACKSTOCK_REDIS_URL") && redis_server().is_err() {
        packages.push("redis-server");
    }
    if !has_url("BACKSTOCK_AMQP_URL") && (rabbitmq_directory().is_err() || epmd().is_err()) {
        packages.push("rabbitmq-server");
    }
    if in_path("setsid").is_none() || in_path("flock").is_none() {
        packages.push("util-linux");
    }
    packages
}

/// Installs a tool of the lab whose package is named like its program, such as `wrk`.
pub fn install_tool(package: &str) -> Result<()> {
    if in_path(package).is_some() {
        return Ok(());
    }
    install(&[package])
}

fn install(packages: &[&str]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let names = packages.join(" ");
    if !Path::new("/etc/debian_version").exists() || in_path("apt-get").is_none() {
        bail!(
            "missing here: {names}. Install them with your system's package manager, or run everything in containers: \
             docker compose up"
        );
    }
    let is_root = rustix::process::geteuid().is_root();
    let manual_command = format!("sudo apt-get install --no-install-recommends {names}");
    if !is_root && in_path("sudo").is_none() {
        bail!(
            "missing here: {names}. There is no sudo; as root run: apt-get install --no-install-recommends {names}"
        );
    }
    if !is_root && env::var("YES").as_deref() != Ok("1") && !confirm(&names)? {
        bail!("missing here: {names}. Allow their installation with YES=1, or run: {manual_command}");
    }
    eprintln!("installing {names} (their system services stay off; other packages are left as they are)");
    let mut command = if is_root { Command::new("sh") } else { sudo() };
    let status = command
        .args(["-c", SCRIPT, "install"])
        .args(packages)
        .status()
        .context("cannot run the installation")?;
    if !status.success() {
        bail!("the installation failed; its messages are above. By hand: {manual_command}");
    }
    Ok(())
}

fn sudo() -> Command {
    let mut command = Command::new("sudo");
    command.arg("sh");
    command
}

fn confirm(names: &str) -> Result<bool> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(false);
    }
    eprint!("Install {names} with apt-get, through sudo? Their system services stay off. [y/N] ");
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
