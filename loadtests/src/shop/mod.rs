//! A shop under test: a `backstock-api serve` process with the variants that a comparison asks for.
//!
//! The process gets only the settings that are given here: what the lab's own environment says of Backstock does not
//! reach it, so that a measurement does not depend on the shell it was started from. Read next: `keeper.rs`.

pub(crate) mod keeper;
mod variants;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::load::{Request, Target, fetch};
use keeper::Keeper;

/// How long a shop may take until it is ready.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// How often readiness is asked for. Short, since the time until it is ready is itself measured.
const READINESS_POLL: Duration = Duration::from_millis(2);

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
    keeper: Keeper,
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
        let mut keeper = Keeper::start(settings.command(address, internal_address), &settings.log_path)?;
        wait_until_ready(internal_address, &mut keeper, &settings.log_path).await?;
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
            keeper,
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
        self.keeper.pid()
    }

    /// From the start of the process until it was ready.
    pub fn start_up_time(&self) -> Duration {
        self.start_up_time
    }

    /// Asks the process to end (SIGTERM), and waits until it has.
    pub async fn stop(mut self) -> Result<()> {
        self.keeper.ask_to_end();
        let ended = tokio::time::timeout(STOP_PATIENCE, self.keeper.ended()).await;
        let status = ended.context("the shop did not end when it was asked to")?;
        if !status.success() {
            bail!("the shop ended with {status}");
        }
        Ok(())
    }
}

impl ShopSettings {
    fn command(&self, address: SocketAddr, internal_address: SocketAddr) -> keeper::Program {
        let mut environment = vec![
            ("BACKSTOCK_LISTEN".to_owned(), address.to_string()),
            (
                "BACKSTOCK_INTERNAL_LISTEN".to_owned(),
                internal_address.to_string(),
            ),
            ("BACKSTOCK_VARIANTS".to_owned(), self.variants.clone()),
            ("BACKSTOCK_DATABASE_URL".to_owned(), self.database_url.clone()),
            ("BACKSTOCK_REDIS_URL".to_owned(), self.redis_url.clone()),
            ("BACKSTOCK_JWT_SECRETS".to_owned(), LAB_SECRET.to_owned()),
        ];
        environment.extend(
            self.amqp_url
                .clone()
                .map(|url| ("BACKSTOCK_AMQP_URL".to_owned(), url)),
        );
        environment.extend(self.extra_env.iter().cloned());
        keeper::Program {
            path: self.api_binary.clone(),
            arguments: vec!["serve".to_owned()],
            environment,
        }
    }
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

async fn wait_until_ready(internal: SocketAddr, keeper: &mut Keeper, log: &Path) -> Result<()> {
    let target = Target::new(internal);
    let ready = Request::get("/readyz")?;
    let mut last_answer = None;
    let poll = async {
        loop {
            match fetch(&target, &ready).await {
                Ok(answer) if answer.status.is_success() => return,
                Ok(answer) => last_answer = Some(String::from_utf8_lossy(&answer.body).into_owned()),
                Err(_) => {} // It does not listen yet.
            }
            tokio::time::sleep(READINESS_POLL).await;
        }
    };
    tokio::select! {
        result = tokio::time::timeout(START_PATIENCE, poll) => {
            if result.is_err() {
                let last_answer = last_answer.unwrap_or_else(|| "nothing".to_owned());
                bail!("the shop was not ready within {START_PATIENCE:?}; /readyz says: {last_answer}; log: {}", log.display());
            }
            Ok(())
        }
        status = keeper.ended() => {
            bail!("the shop did not start ({status}): {} (log: {})", last_line(log), log.display())
        }
    }
}

fn last_line(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("it logged nothing")
        .to_owned()
}
