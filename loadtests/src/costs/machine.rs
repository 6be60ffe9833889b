//! What the measurements were taken on: the machine and the versions of the stores.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use sqlx::{Connection, PgConnection};
use tcp_proxy::StoreAddress;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long a store may take to say its version.
const PATIENCE: Duration = Duration::from_secs(5);

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
pub async fn machine(stores: StoreUrls<'_>) -> Result<Machine> {
    let mut machine = Machine {
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        cpu: field("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
        memory: memory().unwrap_or_default(),
        kernel: fs::read_to_string("/proc/sys/kernel/osrelease")
            .unwrap_or_default()
            .trim()
            .to_owned(),
        ..Machine::default()
    };
    if let Some(url) = stores.postgres {
        machine.postgres = Some(ask("Postgres", postgres_version(url)).await?);
    }
    if let Some(url) = stores.redis {
        machine.redis = Some(ask("Redis", redis_version(url)).await?);
    }
    if let Some(url) = stores.amqp {
        machine.rabbitmq = Some(ask("RabbitMQ", rabbitmq_version(url)).await?);
    }
    Ok(machine)
}

async fn ask(store: &str, version: impl Future<Output = Result<String>>) -> Result<String> {
    let answered = tokio::time::timeout(PATIENCE, version).await;
    answered
        .with_context(|| format!("{store} does not answer"))?
        .with_context(|| format!("cannot ask {store} for its version"))
}

async fn postgres_version(url: &str) -> Result<String> {
    let mut connection = PgConnection::connect(url).await?;
    let version: String = sqlx::query_scalar("show server_version")
        .fetch_one(&mut connection)
        .await?;
    connection.close().await?;
    // Distributions add their own: "15.18 (Debian 15.18-0+deb12u1)".
    Ok(version.split(' ').next().unwrap_or_default().to_owned())
}

async fn redis_version(url: &str) -> Result<String> {
    let mut connection = redis::Client::open(url)?
        .get_multiplexed_async_connection()
        .await?;
    let info: String = redis::cmd("INFO")
        .arg("server")
        .query_async(&mut connection)
        .await?;
    let version = info.lines().find_map(|line| line.strip_prefix("redis_version:"));
    Ok(version
        .context("its INFO names no redis_version")?
        .trim()
        .to_owned())
}

/// A broker states its version in the first frame of the handshake, before anybody has signed in.
async fn rabbitmq_version(url: &str) -> Result<String> {
    const PROTOCOL_HEADER: &[u8] = b"AMQP\x00\x00\x09\x01";
    const FRAME_HEADER_BYTES: usize = 7;
    const LONGEST_FRAME_BYTES: usize = 64 * 1024;

    let mut stream = TcpStream::connect(StoreAddress::parse(url)?.resolve()?).await?;
    stream.write_all(PROTOCOL_HEADER).await?;
    let mut header = [0; FRAME_HEADER_BYTES];
    stream.read_exact(&mut header).await?;
    let length = u32::from_be_bytes([header[3], header[4], header[5], header[6]]) as usize;
    ensure!(length <= LONGEST_FRAME_BYTES, "it does not speak AMQP 0-9-1");
    let mut frame = vec![0; length];
    stream.read_exact(&mut frame).await?;
    version_in_server_properties(&frame).context("its handshake names no version")
}

/// Finds the entry `version` of the table: the length of the key, the key, `S` for a long string, its length, itself.
fn version_in_server_properties(frame: &[u8]) -> Option<String> {
    const ENTRY: &[u8] = b"\x07versionS";
    let start = frame.windows(ENTRY.len()).position(|window| window == ENTRY)? + ENTRY.len();
    let (length, rest) = frame[start..].split_first_chunk::<4>()?;
    let version = rest.get(..u32::from_be_bytes(*length) as usize)?;
    String::from_utf8(version.to_vec()).ok()
}

fn memory() -> Option<String> {
    let kilobytes: f64 = field("/proc/meminfo", "MemTotal")?
        .strip_suffix("kB")?
        .trim()
        .parse()
        .ok()?;
    Some(format!("{:.1} GiB", kilobytes / 1024.0 / 1024.0))
}

/// The value behind `name:` in a file of such lines.
fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':'))?;
    Some(value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_brokers_version_is_found_in_its_handshake() {
        let frame = b"\x00\x0a\x00\x0a\x00\x09\x00\x00\x01\x00\x07productS\x00\x00\x00\x08RabbitMQ\
            \x07versionS\x00\x00\x00\x063.10.8\x00\x00";
        assert_eq!(version_in_server_properties(frame).unwrap(), "3.10.8");
        assert_eq!(
            version_in_server_properties(b"\x07versionS\x00\x00\x00\xffshort"),
            None
        );
        assert_eq!(version_in_server_properties(b"nothing"), None);
    }

    #[tokio::test]
    async fn the_machine_is_described_without_stores() {
        let machine = machine(StoreUrls::default()).await.unwrap();
        assert!(machine.cores > 0 && !machine.cpu.is_empty() && !machine.kernel.is_empty());
        assert!(machine.memory.ends_with("GiB"), "{}", machine.memory);
        assert_eq!(machine.postgres, None);
    }
}
