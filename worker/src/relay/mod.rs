//! The relay: says to RabbitMQ what the outbox holds, and forgets what the broker has confirmed.
//!
//! A window of rows is claimed in a transaction (`for update skip locked`, so that several relays share the work),
//! published, and deleted when each is confirmed; what isn't confirmed in time stays. A crash at any point leaves rows
//! or repeats messages, never loses one: consumers know a message again by its id. Read next: `window.rs`.

mod floor;
mod wake;
mod window;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use lapin::Channel;
use storefront::messages::{Consumer, EVENTS};
use storefront::postgres::MeasuredPool;
use tokio::sync::Notify;

use crate::broker::{Broker, BrokerError};
use crate::metrics;
use crate::parts::{Parts, Stop, keep_alive};
use crate::settings::RelaySettings;

use floor::Floor;
pub use wake::listen;

/// The name under which health speaks of it.
pub const PART: &str = "relay";

/// How long an event for which the broker has no queue is left alone, so that it doesn't fill each window.
const HELD_BACK: Duration = Duration::from_secs(5);

/// At most so many kinds of events are held back; in practice there are none.
const MOST_HELD_BACK: usize = 100;

/// Why a session of the relay ended.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// RabbitMQ's part.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// Postgres' part.
    #[error("Postgres failed: {0}")]
    Database(#[from] sqlx::Error),
    /// Some messages of a window were not confirmed. They stay in the outbox.
    #[error("{0} events were not confirmed in time, or were refused")]
    Unconfirmed(usize),
}

/// What a relay works with.
#[derive(Debug, Clone, Copy)]
pub struct Relay<'a> {
    /// Where the outbox is.
    pub pool: &'a MeasuredPool,
    /// Who hears of it.
    pub broker: &'a Broker,
    /// How much at a time, and how often.
    pub settings: &'a RelaySettings,
    /// Rung after commits.
    pub wake: &'a Notify,
}

impl Relay<'_> {
    /// Relays until the signal comes. The window that is under way is finished first.
    pub async fn run(self, parts: &Parts, stop: &Stop) {
        keep_alive(PART, parts, stop, || self.session(parts, stop)).await;
    }

    /// Relays on one channel, until it fails.
    async fn session(self, parts: &Parts, stop: &Stop) -> Result<(), RelayError> {
        let channel = self.broker.channel().await?;
        let selecting = channel.confirm_select(Default::default());
        let selected = tokio::time::timeout(self.settings.confirm_timeout, selecting).await;
        selected
            .map_err(|_| BrokerError::Timeout("begin to confirm"))?
            .map_err(BrokerError::from)?;
        self.declare(&channel).await?;
        parts.works(PART);
        let mut held_back = HeldBack::default();
        let mut floor = Floor::new(self.settings.relay_full_look);
        while !stop.is_given() {
            let window = self.relay_window(&channel, &held_back.now(), &mut floor).await?;
            metrics::relayed(window.confirmed);
            if !window.returned.is_empty() {
                metrics::returned(window.returned.len());
                for event in &window.returned {
                    held_back.add(event);
                }
                self.declare(&channel).await?;
            }
            if window.unconfirmed > 0 {
                return Err(RelayError::Unconfirmed(window.unconfirmed));
            }
            if window.claimed < self.settings.relay_window {
                tokio::select! {
                    () = self.wake.notified() => {}
                    () = stop.pause(self.settings.relay_poll) => {}
                }
            }
        }
        let _ = channel.close(200, "the worker stops".into()).await;
        Ok(())
    }

    /// Somebody may have deleted what was declared when the connection was opened.
    async fn declare(self, channel: &Channel) -> Result<(), BrokerError> {
        let declaring = self.broker.topology().declare(channel);
        let declared = tokio::time::timeout(self.settings.confirm_timeout, declaring).await;
        Ok(declared.map_err(|_| BrokerError::Timeout("declare the queues"))??)
    }
}

/// Events that the broker returned: their queue is gone, or is declared by a newer worker.
#[derive(Debug, Default)]
struct HeldBack {
    until: HashMap<String, Instant>,
}

impl HeldBack {
    fn add(&mut self, event: &str) {
        if self.until.len() < MOST_HELD_BACK {
            tracing::error!(
                event,
                "RabbitMQ has no queue for this event; it stays in the outbox"
            );
            self.until.insert(event.to_owned(), Instant::now() + HELD_BACK);
        }
    }

    fn now(&mut self) -> Vec<String> {
        let now = Instant::now();
        self.until.retain(|_, until| *until > now);
        self.until.keys().cloned().collect()
    }
}

/// Whether a message of this event must reach a queue. Events that nobody waits for yet may vanish at the exchange,
/// which is what a topic is for; but of an event that this build doesn't know it can't say that.
fn must_be_routed(event: &str) -> bool {
    let is_known = EVENTS.contains(&event);
    !is_known || Consumer::ALL.iter().any(|consumer| consumer.event() == event)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_goes_nowhere_only_if_this_build_knows_that_no_consumer_waits_for_it() {
        for event in EVENTS {
            let is_awaited = Consumer::ALL.iter().any(|consumer| consumer.event() == event);
            assert_eq!(must_be_routed(event), is_awaited, "{event}");
        }
        assert!(must_be_routed("order.eaten"));
    }
}
