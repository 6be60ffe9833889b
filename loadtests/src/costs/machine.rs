//! What the measurements were taken on: the machine and the versions of the stores.

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

/// A machine and its stores, as a report states them. What is not known is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Processors that the lab may use.
    pub cores: usize,
    /// The processor's name.
    pub cpu: String,
    /// Memory, for example `23.5 GiB`.
    pub memory: String,
    /// The kernel's release.
    pub kernel: String,
    /// Version of Postgres.
    pub postgres: Option<String>,
    /// Version of Redis.
    pub redis: Option<String>,
    /// Version of RabbitMQ.
    pub rabbitmq: Option<String>,
}

/// The stores whose versions are asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct StoreUrls<'a> {
    /// Any database of the server.
    pub postgres: Option<&'a str>,
    /// `redis://…`
    pub redis: Option<&'a str>,
    /// `amqp://…`
    pub amqp: Option<&'a str>,
}

/// Describes this machine and the stores. A store that cannot be reached is an error: what cannot be asked for its
/// version cannot be measured either.
pub async fn machine(_stores: StoreUrls<'_>) -> Result<Machine> {
    bail!("not built yet")
}
