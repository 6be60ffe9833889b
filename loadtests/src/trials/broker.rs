//! The broker as the lab uses it: connections, and a virtual host without what an earlier run left.

use anyhow::{Context, Result};
use lapin::options::QueueDeleteOptions;
use lapin::{Channel, Connection, ConnectionProperties};
use shop::messages::Consumer;
use std::time::{Duration, Instant};

use super::tap::TAP;

/// How long the broker may take to open a connection. It resets some while it makes a virtual host.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Before it is tried again.
const CONNECT_PAUSE: Duration = Duration::from_millis(100);

/// The delays that a worker's settings have by default, in milliseconds, and those of towns.
const RETRY_DELAYS_MS: [u32; 9] = [250, 500, 1_000, 2_000, 5_000, 25_000, 120_000, 600_000, 60_000];

/// A connection with a channel. Both live as long as the value.
pub(super) async fn connect(amqp_url: &str) -> Result<(Connection, Channel)> {
    let begun = Instant::now();
    let connection = loop {
        let connecting = Connection::connect(amqp_url, ConnectionProperties::default());
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, connecting)
            .await
            .context("the broker opens no connection")?;
        match connected {
            Ok(connection) => break connection,
            Err(error) if begun.elapsed() > CONNECT_TIMEOUT => {
                return Err(error).context("the broker opens no connection");
            }
            Err(_) => tokio::time::sleep(CONNECT_PAUSE).await,
        }
    };
    let channel = connection.create_channel().await?;
    Ok((connection, channel))
}

/// Deletes the shop's queues with all that is in them: their messages speak of orders of another database. Exchanges
/// keep nothing, and stay.
pub async fn empty_vhost(amqp_url: &str) -> Result<()> {
    let (connection, channel) = connect(amqp_url).await?;
    let of_consumers = Consumer::ALL
        .iter()
        .flat_map(|consumer| [consumer.queue(), consumer.dead_letter_queue()]);
    let delays = RETRY_DELAYS_MS.map(|delay| format!("backstock.retry.{delay}ms"));
    for queue in of_consumers.chain(delays).chain([TAP.to_owned()]) {
        channel
            .queue_delete(queue.clone().into(), QueueDeleteOptions::default())
            .await
            .with_context(|| format!("cannot delete the queue {queue}"))?;
    }
    connection.close(200, "done".into()).await?;
    Ok(())
}
