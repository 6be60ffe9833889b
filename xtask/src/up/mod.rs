//! `cargo xtask up`: two shops side by side, each an api and a worker with its own database, Redis database and virtual
//! host, and the third parties that both work with.
//!
//! Read next: `side.rs` for what tells the shops apart, `third_parties.rs`, `children.rs` for the processes.

mod announcement;
mod children;
mod demo;
mod http;
mod lock;
mod secrets;
mod side;
mod third_parties;

use std::env;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use local_services::{Purpose, Services, Stopped, install_missing, stop_unused, workspace_root};
use storefront::variants::Variants;

use self::children::{Children, Ended};
use self::lock::UpLock;
use self::secrets::Secrets;
pub(crate) use self::side::Side;

/// The scale of the shops' data: 200,000 products.
const SCALE: &str = "s";

/// Starts everything, and returns when it was asked to stop, or when a process died.
pub(crate) fn up(left: Variants, right: Variants) -> Result<ExitCode> {
    install_missing()?;
    let lock = UpLock::take()?;
    let sides = [(Side::Left, left), (Side::Right, right)];
    let programs = build_product()?;
    check_ports("the third parties need", &third_parties::PORTS)?;
    for side in Side::BOTH {
        check_ports(&format!("the {} shop needs", side.name()), &side.ports())?;
    }
    let services = Services::start(Purpose::Shop)?;
    for (side, variants) in &sides {
        prepare_database(&services, &programs, *side, variants)?;
        services.create_vhost(side.name())?;
    }
    let secrets = Secrets::of_home()?;
    // One thread: the kernel ties a child's fate to the thread that started it, see `children.rs`.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let ended = runtime.block_on(async {
        let mut children = Children::default();
        children.start(&programs, third_parties::child(&secrets.carrier))?;
        for (side, variants) in &sides {
            let environment = side.environment(&services, variants, &secrets);
            for child in side.children(&environment) {
                children.start(&programs, child)?;
            }
        }
        let when_ready = async || announcement::announce(&sides, demo::try_sign_in().await);
        let ended = children.run(when_ready).await;
        eprintln!("stopping");
        children.stop().await;
        ended
    })?;
    services.stop()?;
    drop(lock);
    match ended {
        Ended::Asked => Ok(ExitCode::SUCCESS),
        Ended::Died { words } => bail!("{words}"),
    }
}

/// Stops a running `up`, and its servers unless another command, such as the lab, uses them.
pub(crate) fn down() -> Result<ExitCode> {
    lock::stop_holder()?;
    if stop_unused(Purpose::Shop)? == Stopped::StillUsed {
        eprintln!("The shops are down; the servers stop when that has ended.");
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds what the shops consist of, and says where it is.
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

fn check_ports(who_needs: &str, ports: &[u16]) -> Result<()> {
    for port in ports {
        if let Err(fault) = TcpListener::bind(("127.0.0.1", *port)) {
            bail!("{who_needs} port {port}, which is busy ({fault}): end the program that listens there");
        }
    }
    Ok(())
}

/// Clones the shop's database from the template of its scale and index set, unless it exists; then only the index set
/// is brought in line, so that imported products stay.
fn prepare_database(services: &Services, programs: &Path, side: Side, variants: &Variants) -> Result<()> {
    let indexes = variants.indexes.as_str();
    let run = |program: &str, database: &str, arguments: &[&str]| -> Result<()> {
        let status = Command::new(programs.join(program))
            .args(arguments)
            .env("BACKSTOCK_DATABASE_URL", services.database_url(database))
            .env("BACKSTOCK_REDIS_URL", services.redis_url(side.redis_database()))
            .env("BACKSTOCK_AMQP_URL", services.amqp_url(side.name()))
            .stdout(Stdio::null()) // Progress and faults go to the other stream.
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
    let database = side.database();
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
