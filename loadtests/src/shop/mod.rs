//! A shop under test: a `backstock-api serve` process with the variants that a comparison asks for.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};

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
}

/// A running shop. Dropping it ends the process.
#[derive(Debug)]
pub struct Shop {
    address: SocketAddr,
    internal_address: SocketAddr,
    pid: u32,
    start_up_time: Duration,
}

impl Shop {
    /// Starts the api on free loopback ports, waits until it is ready, and checks that it runs the variants that it
    /// was asked for.
    pub async fn start(_settings: ShopSettings) -> Result<Shop> {
        bail!("the shop is not built yet")
    }

    /// Where the API listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where health, metrics and variants are.
    pub fn internal_address(&self) -> SocketAddr {
        self.internal_address
    }

    /// The api's process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// From the start of the process until it was ready.
    pub fn start_up_time(&self) -> Duration {
        self.start_up_time
    }

    /// Asks the process to end (SIGTERM), and waits until it has.
    pub async fn stop(self) -> Result<()> {
        bail!("the shop is not built yet")
    }
}
