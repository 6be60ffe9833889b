//! A shop under test: a `backstock-api serve` process with the variants that a comparison asks for.
//!
//! The process gets only the settings that are given here: what the lab's own environment says of Backstock does not
//! reach it, so that a measurement does not depend on the shell it was started from.

mod variants;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use child_process::ChildProcess;

use crate::load::{Request, Target, fetch};

/// How long a shop may take until it is ready.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// How long a shop may take to end by itself, requests in flight included.
const STOP_PATIENCE: Duration = Duration::from_secs(15);

/// Starts that are tried: between choosing a free port and its use, another program may take it.
const STARTS: usize = 3;

/// The lab signs nobody in, but the api insists on a secret.
const LAB_SECRET: &str = "lab:this-secret-protects-nothing-but-the-lab";

/// What a shop is started with.
#[derive(Debug, Clone)]
pub struct ShopSettings {
    /// The `backstock-api` binary.
    pub api_binary: PathBuf,
    /// `BACKSTOCK_VARIANTS`, for example `optimized,pagination=offset`.
    pub variants: String,
    /// `BACKSTOCK_DATABASE_URL`; through a proxy where distance is injected.
    pub database_url: String,
    /// `BACKSTOCK_REDIS_URL`, likewise.
    pub redis_url: String,
    /// `BACKSTOCK_AMQP_URL`, likewise; `None` where the api needs no broker.
    pub amqp_url: Option<String>,
    /// The file that takes the process's standard error and output.
    pub log_path: PathBuf,
    /// Further variables of the environment.
    pub extra_env: Vec<(String, String)>,
    /// Whether the binary is another build than the lab: it may lack lessons, and its presets may have other arms.
    pub is_other_build: bool,
}

/// A running shop. Dropping it ends the process at once.
#[derive(Debug)]
pub struct Shop {
    address: SocketAddr,
    internal_address: SocketAddr,
    start_up_time: Duration,
    process: ChildProcess,
}

impl Shop {
    /// Starts the api on free loopback ports, waits until it is ready, and checks that it runs the variants that it
    /// was asked for.
    pub async fn start(settings: ShopSettings) -> Result<Shop> {
        for _ in 1..STARTS {
            match Shop::try_start(&settings).await {
                Err(error) if format!("{error:#}").contains("in use") => {}
                started => return started,
            }
        }
        Shop::try_start(&settings).await
    }

    async fn try_start(settings: &ShopSettings) -> Result<Shop> {
        let [address, internal_address] = free_addresses()?;
        let started = Instant::now();
        let command = settings.command(address, internal_address);
        let process = ChildProcess::start("the shop", command, &settings.log_path)?;
        wait_until_ready(internal_address, &process).await?;
        let start_up_time = started.elapsed();
        let answer = fetch(
            &Target::new(internal_address),
            &Request::get("/internal/variants")?,
        )
        .await?;
        if settings.is_other_build {
            variants::check_named(&settings.variants, &answer.body)?;
        } else {
            variants::check(&settings.variants, &answer.body)?;
        }
        Ok(Shop {
            address,
            internal_address,
            start_up_time,
            process,
        })
    }

    /// Where the API listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The API as a target of load.
    pub fn target(&self) -> Target {
        Target::new(self.address)
    }

    /// Where health, metrics and variants are.
    pub fn internal_address(&self) -> SocketAddr {
        self.internal_address
    }

    /// The api's process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// From the start of the process until it was ready.
    pub fn start_up_time(&self) -> Duration {
        self.start_up_time
    }

    /// Asks the process to end (SIGTERM), and waits until it has.
    pub async fn stop(self) -> Result<()> {
        self.process.stop(STOP_PATIENCE).await
    }
}

impl ShopSettings {
    fn command(&self, address: SocketAddr, internal_address: SocketAddr) -> Command {
        let mut command = program(&self.api_binary);
        command
            .arg("serve")
            .env("BACKSTOCK_LISTEN", address.to_string())
            .env("BACKSTOCK_INTERNAL_LISTEN", internal_address.to_string())
            .env("BACKSTOCK_VARIANTS", &self.variants)
            .env("BACKSTOCK_DATABASE_URL", &self.database_url)
            .env("BACKSTOCK_REDIS_URL", &self.redis_url)
            .env("BACKSTOCK_JWT_SECRETS", LAB_SECRET)
            .envs(self.amqp_url.iter().map(|url| ("BACKSTOCK_AMQP_URL", url)))
            .envs(self.extra_env.iter().cloned());
        command
    }
}

/// A program of the product, without any setting that the lab's own environment has.
pub(crate) fn program(path: &Path) -> Command {
    let mut command = child_process::command(path);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("BACKSTOCK_") {
            command.env_remove(name);
        }
    }
    command
}

/// Addresses that nobody listens on.
pub(crate) fn free_addresses<const COUNT: usize>() -> Result<[SocketAddr; COUNT]> {
    // All are held until all are known, so that they differ.
    let mut held = Vec::with_capacity(COUNT);
    let mut addresses = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); COUNT];
    for address in &mut addresses {
        let listener = TcpListener::bind(*address).context("no free port for a shop")?;
        *address = listener.local_addr()?;
        held.push(listener);
    }
    Ok(addresses)
}

async fn wait_until_ready(internal: SocketAddr, process: &ChildProcess) -> Result<()> {
    let target = Target::new(internal);
    let ready = Request::get("/readyz")?;
    let last_answer = Mutex::new(None);
    let is_ready = || async {
        // An error means that it does not listen yet.
        let Ok(answer) = fetch(&target, &ready).await else {
            return false;
        };
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        *last_answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
        answer.status.is_success()
    };
    let result = process.wait_until_ready(START_PATIENCE, is_ready).await;
    match last_answer.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(answer) => result.with_context(|| format!("/readyz says: {answer}")),
        None => result,
    }
}
