//! Exchanges and queues, declared on every connection. Declaration is idempotent, so every process does it,
//! and a broker that lost its definitions gets them back.
//!
//! ```text
//! backstock.events ──(order.paid)──▶ backstock.shipping_label ──▶ consumer ──failed──▶ backstock.retry.5000ms
//!   topic, durable                     ▲ quorum     │ delivery limit                    fanout, and a quorum queue
//!                                      │            ▼                                   with a message TTL of 5 s
//!                                      │      backstock.shipping_label.dead             │
//!                                      └───────────── by the queue's name ──────────────┘
//! ```
//!
//! A delay is a queue with one TTL for all its messages. Per-message TTLs would cause head-of-line blocking:
//! a message would wait behind one with a longer TTL. All consumers share the delay queues. A message is
//! published to the delay's exchange with its own queue's name as the routing key, which leads it back when
//! it expires.

use std::time::Duration;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, ExchangeKind};
use shop::messages::{Consumer, EXCHANGE};

/// Deliveries after which the broker treats a message as poison: one that crashes its workers. Far above the
/// number of redeliveries that restarts cause. Failed attempts that a consumer reports are counted
/// separately, in `x-attempt`.
const DELIVERY_LIMIT: i64 = 20;

/// Inspecting a dead letter counts as a delivery, so the limit is unreachable. Without one, RabbitMQ 4
/// applies a default of 20 and drops the message beyond it.
const DEAD_LETTER_DELIVERY_LIMIT: i64 = 1_000_000;

/// The delays before a message is retried: at least one, in ascending order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryDelays(Vec<Duration>);

impl RetryDelays {
    /// Sorts the delays and drops duplicates. `None` without any delay, because a failed message would then
    /// have no queue to wait in.
    pub fn new(mut delays: Vec<Duration>) -> Option<Self> {
        delays.sort();
        delays.dedup();
        (!delays.is_empty()).then_some(Self(delays))
    }

    /// The exchange of the delay after a failed attempt, counted from 1: backoff with jitter. `random` picks
    /// between the attempt's delay and the next longer one, so that messages that failed together aren't
    /// redelivered together.
    pub fn exchange(&self, attempt: u32, random: u8) -> String {
        let last = self.0.len() - 1;
        let index = (attempt.max(1) as usize - 1).min(last);
        let next = (index + 1).min(last);
        delay_name(self.0[if random.is_multiple_of(2) { index } else { next }])
    }
}

/// The exchanges and queues that the worker needs.
#[derive(Debug, Clone)]
pub struct Topology {
    delays: Vec<Duration>,
}

impl Topology {
    /// The queues of all consumers, and a queue for each delay.
    pub fn new(delays: &RetryDelays) -> Self {
        Self {
            delays: delays.0.clone(),
        }
    }

    /// Only the consumers' queues, for a command that delays no message.
    pub fn without_delays() -> Self {
        Self { delays: Vec::new() }
    }

    /// The names of all queues.
    pub fn queues(&self) -> Vec<String> {
        let consumer_queues = Consumer::ALL
            .into_iter()
            .flat_map(|consumer| [consumer.queue(), consumer.dead_letter_queue()]);
        consumer_queues
            .chain(self.delays.iter().map(|delay| delay_name(*delay)))
            .collect()
    }

    /// Declares everything that doesn't exist yet.
    ///
    /// # Errors
    /// When the channel fails, or a queue exists with other properties.
    pub async fn declare(&self, channel: &Channel) -> Result<(), lapin::Error> {
        declare_exchange(channel, EXCHANGE, ExchangeKind::Topic).await?;
        for consumer in Consumer::ALL {
            let (queue, dead) = (consumer.queue(), consumer.dead_letter_queue());
            let limit = (
                "x-delivery-limit",
                AMQPValue::LongLongInt(DEAD_LETTER_DELIVERY_LIMIT),
            );
            declare_quorum_queue(channel, &dead, [limit]).await?;
            let limit = ("x-delivery-limit", AMQPValue::LongLongInt(DELIVERY_LIMIT));
            let dead_letter_key = ("x-dead-letter-routing-key", text(&dead));
            let arguments = dead_lettering().into_iter().chain([limit, dead_letter_key]);
            declare_quorum_queue(channel, &queue, arguments).await?;
            channel
                .queue_bind(
                    queue.into(),
                    EXCHANGE.into(),
                    consumer.event().into(),
                    QueueBindOptions::default(),
                    FieldTable::default(),
                )
                .await?;
        }
        for delay in &self.delays {
            self.declare_delay(channel, *delay).await?;
        }
        Ok(())
    }

    async fn declare_delay(&self, channel: &Channel, delay: Duration) -> Result<(), lapin::Error> {
        // The name contains the delay. Changing the setting declares another queue, and the
        // old one still drains.
        let name = delay_name(delay);
        let millis = i64::try_from(delay.as_millis()).expect("settings allow ten minutes");
        declare_exchange(channel, &name, ExchangeKind::Fanout).await?;
        let lifetime = ("x-message-ttl", AMQPValue::LongLongInt(millis));
        declare_quorum_queue(channel, &name, dead_lettering().into_iter().chain([lifetime])).await?;
        channel
            .queue_bind(
                name.clone().into(),
                name.into(),
                "".into(),
                QueueBindOptions::default(),
                FieldTable::default(),
            )
            .await
    }
}

fn delay_name(delay: Duration) -> String {
    format!("backstock.retry.{}ms", delay.as_millis())
}

/// Dead letters go through the default exchange with at-least-once semantics: the source queue deletes a
/// message only after the target has confirmed it. RabbitMQ requires `reject-publish` for that. With the
/// default, at-most-once, a crash during the transfer loses the message.
fn dead_lettering() -> [(&'static str, AMQPValue); 3] {
    [
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-strategy", text("at-least-once")),
        ("x-overflow", text("reject-publish")),
    ]
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

async fn declare_exchange(channel: &Channel, name: &str, kind: ExchangeKind) -> Result<(), lapin::Error> {
    let options = ExchangeDeclareOptions {
        durable: true,
        ..Default::default()
    };
    channel
        .exchange_declare(name.into(), kind, options, FieldTable::default())
        .await
}

async fn declare_quorum_queue(
    channel: &Channel,
    name: &str,
    arguments: impl IntoIterator<Item = (&'static str, AMQPValue)>,
) -> Result<(), lapin::Error> {
    let mut table = FieldTable::default();
    table.insert("x-queue-type".into(), text("quorum"));
    for (key, value) in arguments {
        table.insert(key.into(), value);
    }
    let options = QueueDeclareOptions {
        durable: true,
        ..Default::default()
    };
    channel.queue_declare(name.into(), options, table).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_with_the_attempts_and_differ_between_messages() {
        let delays = RetryDelays::new([5, 1, 25].map(Duration::from_secs).into()).unwrap();
        let names = |attempt| [0, 1].map(|random| delays.exchange(attempt, random));
        assert_eq!(names(1), ["backstock.retry.1000ms", "backstock.retry.5000ms"]);
        assert_eq!(names(2), ["backstock.retry.5000ms", "backstock.retry.25000ms"]);
        assert_eq!(names(3), ["backstock.retry.25000ms", "backstock.retry.25000ms"]);
        assert_eq!(names(99), names(3));
    }

    #[test]
    fn there_is_at_least_one_delay_and_a_single_one_serves_every_attempt() {
        assert_eq!(RetryDelays::new(Vec::new()), None);
        let second = Duration::from_secs(1);
        let delays = RetryDelays::new(vec![second, second]).unwrap();
        for attempt in [0, 1, 2, u32::MAX] {
            for random in [0, 1] {
                assert_eq!(delays.exchange(attempt, random), "backstock.retry.1000ms");
            }
        }
    }
}
