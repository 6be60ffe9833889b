//! `cargo xtask up`: the shop, an api and a worker with private servers, and the simulated third parties.
//!
//! Read next: `shop.rs`, `third_parties.rs`, `processes.rs`.

mod banner;
mod lock;
mod processes;
mod secrets;
mod shop;
mod third_parties;

use std::env;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use local_services::{Purpose, Services, StopOutcome, install_missing, stop_unused, workspace_root};

use self::lock::UpLock;
use self::processes::{ExitReason, Processes};
use self::secrets::Secrets;
pub(crate) use self::shop::DATABASE;

/// The products of a new database.
const SEED: &str = "dev/seed/products.csv";

/// Starts everything. Returns after a signal, or when a process died.
pub(crate) fn up() -> Result<ExitCode> {
    install_missing()?;
    let lock = UpLock::acquire()?;
    let programs = build_product()?;
    check_ports("the third parties need", &third_parties::PORTS)?;
    check_ports("the shop needs", &shop::PORTS)?;
    let services = Services::start(Purpose::Shop)?;
    let secrets = Secrets::load_or_create()?;
    prepare_database(&services, &programs, &secrets.admin)?;
    services.create_vhost(shop::VHOST)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let ended = runtime.block_on(async {
        let mut processes = Processes::default();
        processes.start(&programs, third_parties::process(&secrets.carrier))?;
        for spec in shop::processes(&services, &secrets) {
            processes.start(&programs, spec)?;
        }
        let ended = processes.run(async || banner::print(&secrets.admin)).await;
        eprintln!("stopping");
        processes.stop().await;
        ended
    })?;
    services.stop()?;
    drop(lock);
    match ended {
        ExitReason::Requested => Ok(ExitCode::SUCCESS),
        ExitReason::Died { message } => bail!("{message}"),
    }
}

/// Stops a running `up`, and its servers unless another command uses them.
pub(crate) fn down() -> Result<ExitCode> {
    lock::stop_holder()?;
    if stop_unused(Purpose::Shop)? == StopOutcome::StillInUse {
        eprintln!("The shop is down. The servers stop when the other process that uses them has ended.");
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds the programs, and returns their directory.
pub(crate) fn build_product() -> Result<PathBuf> {
    let packages = ["api", "worker", "simulators", "xtask"];
    let packages = packages.map(|package| format!("--package={package}"));
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let root = workspace_root()?;
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--release"])
        .args(packages)
        .current_dir(&root)
        .status()
        .context("cannot run cargo")?;
    if !status.success() {
        bail!("the build failed; cargo's messages are above");
    }
    let target =
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |target| root.join(target));
    Ok(target.join("release"))
}

fn check_ports(needed_by: &str, ports: &[u16]) -> Result<()> {
    for port in ports {
        if let Err(error) = TcpListener::bind(("127.0.0.1", *port)) {
            bail!("{needed_by} port {port}, which is in use ({error}): stop the program that listens there");
        }
    }
    Ok(())
}

/// Brings the database up to date. A new one gets the products of the seed, and an admin.
fn prepare_database(services: &Services, programs: &Path, admin_password: &str) -> Result<()> {
    let is_new = create_database(services)?;
    run_api(services, programs, &["migrate"], &[])?;
    if is_new {
        let seed = workspace_root()?.join(SEED);
        let seed = seed.to_str().context("the path of the seed isn't UTF-8")?;
        run_api(services, programs, &["import", seed], &[])?;
        let password = [("BACKSTOCK_ADMIN_PASSWORD", admin_password)];
        run_api(services, programs, &["create-admin", shop::ADMIN_EMAIL], &password)?;
    }
    Ok(())
}

/// Returns whether there was none.
fn create_database(services: &Services) -> Result<bool> {
    let psql = |statement: String| -> Result<String> {
        let output = Command::new(services.postgres_bin().join("psql"))
            .args([&services.database_url("postgres"), "-tAc", &statement])
            .stderr(Stdio::inherit())
            .output()
            .context("cannot run psql")?;
        if !output.status.success() {
            bail!("`{statement}` failed; psql's message is above");
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let known = psql(format!(
        "select count(*) from pg_database where datname = '{DATABASE}'"
    ))?;
    if known != "0" {
        return Ok(false);
    }
    psql(format!("create database {DATABASE}"))?;
    Ok(true)
}

/// Runs a command of the api on the shop's database.
fn run_api(
    services: &Services,
    programs: &Path,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> Result<()> {
    let status = Command::new(programs.join("backstock-api"))
        .args(arguments)
        .env("BACKSTOCK_DATABASE_URL", services.database_url(DATABASE))
        .envs(environment.iter().copied())
        .stdout(Stdio::null()) // Progress and errors go to standard error.
        .status()
        .context("cannot run backstock-api")?;
    if !status.success() {
        bail!(
            "`backstock-api {}` failed; its messages are above",
            arguments.join(" ")
        );
    }
    Ok(())
}
