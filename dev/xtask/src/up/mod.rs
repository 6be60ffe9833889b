//! `cargo xtask up`: two shops side by side, each an api and a worker with its own database, Redis database and virtual
//! host, and the simulated third parties that both use.
//!
//! Read next: `shop.rs` for the differences between the shops, `third_parties.rs`, `processes.rs`.

mod banner;
mod demo;
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
use techniques::Selection;

use self::lock::UpLock;
use self::processes::{ExitReason, Processes};
use self::secrets::Secrets;
pub(crate) use self::shop::LocalShop;

/// The scale of the shops' data: 200,000 products.
const SCALE: &str = "s";

/// Starts the servers, the third parties and both shops. Returns after a signal, or when a process has died.
pub(crate) fn up(left: Selection, right: Selection) -> Result<ExitCode> {
    install_missing()?;
    let lock = UpLock::acquire()?;
    let shops = [(LocalShop::Left, left), (LocalShop::Right, right)];
    let programs = build_product()?;
    check_ports("the third parties need", &third_parties::PORTS)?;
    for shop in LocalShop::BOTH {
        check_ports(&format!("the {} shop needs", shop.name()), &shop.ports())?;
    }
    let services = Services::start(Purpose::Shop)?;
    for (shop, selection) in &shops {
        prepare_database(&services, &programs, *shop, selection)?;
        services.create_vhost(shop.name())?;
    }
    let secrets = Secrets::load_or_create()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let ended = runtime.block_on(async {
        let mut processes = Processes::default();
        processes.start(&programs, third_parties::process(&secrets.carrier))?;
        for (shop, selection) in &shops {
            let environment = shop.environment(&services, selection, &secrets);
            for spec in shop.processes(&environment) {
                processes.start(&programs, spec)?;
            }
        }
        let when_ready = async || banner::print(&shops, demo::try_sign_in().await);
        let ended = processes.run(when_ready).await;
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

/// Stops a running `up`, and its servers unless another command, such as the lab, uses them.
pub(crate) fn down() -> Result<ExitCode> {
    lock::stop_holder()?;
    if stop_unused(Purpose::Shop)? == StopOutcome::StillInUse {
        eprintln!("The shops are down. Another command still uses the servers; they stop when it ends.");
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds the programs, including the tools that prepare the data, and returns their directory.
pub(crate) fn build_product() -> Result<PathBuf> {
    let packages = ["api", "worker", "simulators", "loadtests", "xtask"];
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

/// Clones the shop's database from the template of its scale and index set. If the database exists, only its index set
/// is changed, so that imported products are kept.
fn prepare_database(
    services: &Services,
    programs: &Path,
    shop: LocalShop,
    selection: &Selection,
) -> Result<()> {
    let indexes = selection.indexes.as_str();
    let run = |program: &str, database: &str, arguments: &[&str]| -> Result<()> {
        let status = Command::new(programs.join(program))
            .args(arguments)
            .env("BACKSTOCK_DATABASE_URL", services.database_url(database))
            .env("BACKSTOCK_REDIS_URL", services.redis_url(shop.redis_database()))
            .env("BACKSTOCK_AMQP_URL", services.amqp_url(shop.name()))
            .stdout(Stdio::null()) // Progress and errors go to standard error.
            .status()
            .with_context(|| format!("cannot run {program}"))?;
        if !status.success() {
            bail!(
                "`{program} {}` failed; its messages are above",
                arguments.join(" ")
            );
        }
        Ok(())
    };
    let database = shop.database();
    let prepare = [
        "database",
        "prepare",
        "--scale",
        SCALE,
        "--name",
        database,
        "--indexes",
        indexes,
    ];
    run("backstock-lab", "postgres", &prepare)?;
    run("backstock-api", database, &["migrate", "--indexes", indexes])
}
