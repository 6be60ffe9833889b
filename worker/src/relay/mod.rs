//! The relay: publishes the outbox to RabbitMQ and deletes the events that the broker has confirmed
//! (transactional outbox).
//!
//! After a notification the relay waits a moment for further events (`BACKSTOCK_RELAY_LINGER_MS`), because events that share a
//! window share its round trips, and those of the consumers.
//!
//! A window of rows is claimed in a transaction (`for update skip locked`, so that several relays share the
//! work), published with publisher confirms, and deleted row by row as confirmed. Unconfirmed rows stay. A
//! crash at any point leaves rows or duplicates messages but never loses one (at-least-once delivery), and
//! consumers deduplicate messages by id. Read next: `window.rs`.

mod low_water_mark;
mod wake;
mod window;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use lapin::Channel;
use low_water_mark::LowWaterMark;
use platform::postgres::InstrumentedPool;
use shop::messages::{Consumer, EVENTS};
use tokio::sync::Notify;

use crate::broker::{Broker, BrokerError};
use crate::components::{HealthRegistry, ShutdownToken, supervise};
use crate::metrics;
use crate::settings::RelaySettings;
pub use wake::listen;

/// The component's name in the readiness response.
pub const COMPONENT: &str = "relay";

/// How long an unroutable event is skipped, so that such events don't fill every window.
const UNROUTABLE_PAUSE: Duration = Duration::from_secs(5);

/// The most event types that are skipped. In practice there are none.
const MAX_UNROUTABLE: usize = 100;

/// Why the relay was interrupted.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// RabbitMQ failed.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// Postgres failed.
    #[error("Postgres failed: {0}")]
    Database(#[from] sqlx::Error),
    /// Some events of a window were not confirmed. They stay in the outbox.
    #[error("{0} events were not confirmed in time, or were rejected")]
    Unconfirmed(usize),
}

/// The relay and its dependencies.
#[derive(Debug, Clone, Copy)]
pub struct Relay<'a> {
    pub pool: &'a InstrumentedPool,
    pub broker: &'a Broker,
    pub settings: &'a RelaySettings,
    /// Notified after commits.
    pub wake: &'a Notify,
}

impl Relay<'_> {
    /// Relays until shutdown. The window in flight is finished first.
    pub async fn run(self, health: &HealthRegistry, shutdown: &ShutdownToken) {
        supervise(COMPONENT, health, shutdown, || {
            self.publish_until_failure(health, shutdown)
        })
        .await;
    }

    /// Relays on one channel until it fails.
    async fn publish_until_failure(
        self,
        health: &HealthRegistry,
        shutdown: &ShutdownToken,
    ) -> Result<(), RelayError> {
        let channel = self.broker.channel().await?;
        let selecting = channel.confirm_select(Default::default());
        let selected = tokio::time::timeout(self.settings.confirm_timeout, selecting).await;
        selected
            .map_err(|_| BrokerError::Timeout("enable publisher confirms"))?
            .map_err(BrokerError::from)?;
        self.declare(&channel).await?;
        health.mark_healthy(COMPONENT);
        let mut unroutable = UnroutableEvents::default();
        let mut low_water_mark = LowWaterMark::new(self.settings.relay_full_look);
        while !shutdown.is_cancelled() {
            let window = self
                .relay_window(&channel, &unroutable.current(), &mut low_water_mark)
                .await?;
            metrics::relayed(window.confirmed);
            if !window.returned.is_empty() {
                metrics::returned(window.returned.len());
                for event in &window.returned {
                    unroutable.add(event);
                }
                self.declare(&channel).await?;
            }
            if window.unconfirmed > 0 {
                return Err(RelayError::Unconfirmed(window.unconfirmed));
            }
            if window.claimed < self.settings.relay_window {
                tokio::select! {
                    () = self.wake.notified() => self.linger(shutdown).await,
                    () = shutdown.sleep(self.settings.relay_poll) => {}
                }
            }
        }
        let _ = channel.close(200, "worker shutdown".into()).await;
        Ok(())
    }

    /// Waits for further events, so that they share a window and its round trips.
    async fn linger(self, shutdown: &ShutdownToken) {
        shutdown.sleep(self.settings.relay_linger).await;
        // The next window contains the events of notifications up to now.
        let _ = self.wake.notified().now_or_never();
    }

    /// Declares the topology again, because a queue may have been deleted since the connection was opened.
    async fn declare(self, channel: &Channel) -> Result<(), BrokerError> {
        let declaring = self.broker.topology().declare(channel);
        let declared = tokio::time::timeout(self.settings.confirm_timeout, declaring).await;
        Ok(declared.map_err(|_| BrokerError::Timeout("declare the queues"))??)
    }
}

/// Event types that the broker returned as unroutable, because their queue was deleted, or will be declared
/// by a newer worker.
#[derive(Debug, Default)]
struct UnroutableEvents {
    until: HashMap<String, Instant>,
}

impl UnroutableEvents {
    fn add(&mut self, event: &str) {
        if self.until.len() < MAX_UNROUTABLE {
            tracing::error!(
                event,
                "RabbitMQ has no queue for this event; it stays in the outbox"
            );
            self.until
                .insert(event.to_owned(), Instant::now() + UNROUTABLE_PAUSE);
        }
    }

    fn current(&mut self) -> Vec<String> {
        let now = Instant::now();
        self.until.retain(|_, until| *until > now);
        self.until.keys().cloned().collect()
    }
}

/// Whether a message of this event must reach a queue. A known event without a consumer may be
/// discarded by the topic exchange. An event unknown to this build may have a consumer in another
/// build, so it must be routed.
fn must_be_routed(event: &str) -> bool {
    let is_known = EVENTS.contains(&event);
    !is_known || Consumer::ALL.iter().any(|consumer| consumer.event() == event)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_events_without_a_consumer_may_be_discarded() {
        for event in EVENTS {
            let has_consumer = Consumer::ALL.iter().any(|consumer| consumer.event() == event);
            assert_eq!(must_be_routed(event), has_consumer, "{event}");
        }
        assert!(must_be_routed("order.eaten"));
    }
}
