//! The worker's settings: what `--help` documents.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use storefront::settings::{AmqpSettings, DatabaseSettings, LogSettings, parse_millis};
use storefront::variants::Variants;

/// Everything that the worker needs.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// Where operators connect: health, metrics, variants. Never open it to the world
    #[arg(long, env = "BACKSTOCK_INTERNAL_LISTEN", default_value = "127.0.0.1:9090")]
    pub internal_listen: SocketAddr,

    /// A preset, then changes: optimized | baseline[,lesson=arm…]
    #[arg(long, env = "BACKSTOCK_VARIANTS", default_value = "optimized")]
    pub variants: Variants,

    /// How long work in flight may take to end after SIGTERM, in milliseconds
    #[arg(long = "drain-timeout-ms", env = "BACKSTOCK_DRAIN_TIMEOUT_MS", default_value = "10000",
          value_parser = parse_millis)]
    pub drain_timeout: Duration,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub database: DatabaseSettings,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub amqp: AmqpSettings,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub log: LogSettings,
}
