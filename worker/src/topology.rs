//! Exchanges and queues: what is declared on every connection. Declaring what exists changes nothing, so each process
//! does it, and a broker that lost everything has it again.
//!
//! ```text
//! backstock.events ──(order.paid)──▶ backstock.shipping_label ──▶ consumer ──in vain──▶ backstock.retry.5000ms
//!   topic, durable                     ▲ quorum     │ delivered too often                 fanout, and a quorum queue
//!                                      │            ▼                                     whose messages end after 5 s
//!                                      │      backstock.shipping_label.dead               │
//!                                      └────────────── under the queue's name ────────────┘
//! ```
//!
//! A delay is a queue whose messages all live equally long: a message can't wait behind one that waits longer, as it
//! would with a time to live for each message. All consumers share the delays: a message goes through the delay's
//! exchange under the name of its own queue, keeps that as its routing key, and so finds its way back.

use std::time::Duration;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, ExchangeKind};
use storefront::messages::{Consumer, EXCHANGE};

/// How often the broker delivers a message before it takes it for the cause of the crashes that follow. Far above what
/// restarts of workers cause. What a consumer reports as failed is counted apart, in `x-attempt`.
const DELIVERY_LIMIT: i64 = 20;

/// Looking at a dead letter delivers it; nobody looks this often. (RabbitMQ 4 has a limit of 20 where none is set, and
/// drops what is over it.)
const DEAD_LETTER_DELIVERY_LIMIT: i64 = 1_000_000;

/// What the worker needs of the broker.
#[derive(Debug, Clone)]
pub struct Topology {
    /// In growing order.
    delays: Vec<Duration>,
}

impl Topology {
    /// With these delays, of which there is at least one.
    pub fn new(mut delays: Vec<Duration>) -> Self {
        delays.sort();
        delays.dedup();
        Self { delays }
    }

    /// The exchange of the delay for an attempt, the first being 1. Failures grow rarer: each attempt waits as long as
    /// its place says, or as its neighbour's. Which of them is drawn from `random`, so that messages that failed
    /// together don't come back together.
    pub fn delay(&self, attempt: u32, random: u8) -> String {
        let last = self.delays.len() - 1;
        let place = (attempt.max(1) as usize - 1).min(last);
        let neighbour = (place + 1).min(last);
        delay_name(
            self.delays[if random.is_multiple_of(2) {
                place
            } else {
                neighbour
            }],
        )
    }

    /// The names of all queues.
    pub fn queues(&self) -> Vec<String> {
        let of_consumers = Consumer::ALL
            .into_iter()
            .flat_map(|consumer| [consumer.queue(), consumer.dead_letter_queue()]);
        of_consumers
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
            let to_the_dead = ("x-dead-letter-routing-key", text(&dead));
            let arguments = moving_on().into_iter().chain([limit, to_the_dead]);
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
        // The name says how long: another delay is another queue, and what waits in the old one still comes back.
        let name = delay_name(delay);
        let millis = i64::try_from(delay.as_millis()).expect("settings allow ten minutes");
        declare_exchange(channel, &name, ExchangeKind::Fanout).await?;
        let lifetime = ("x-message-ttl", AMQPValue::LongLongInt(millis));
        declare_quorum_queue(channel, &name, moving_on().into_iter().chain([lifetime])).await?;
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

/// A message moves on through the default exchange, and is forgotten here when it has arrived there; RabbitMQ does that
/// for queues that refuse what they can't hold instead of dropping it. Without it, a crash at that moment loses it.
fn moving_on() -> [(&'static str, AMQPValue); 3] {
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
        let topology = Topology::new([5, 1, 25].map(Duration::from_secs).into());
        let names = |attempt| [0, 1].map(|random| topology.delay(attempt, random));
        assert_eq!(names(1), ["backstock.retry.1000ms", "backstock.retry.5000ms"]);
        assert_eq!(names(2), ["backstock.retry.5000ms", "backstock.retry.25000ms"]);
        assert_eq!(names(3), ["backstock.retry.25000ms", "backstock.retry.25000ms"]);
        assert_eq!(names(99), names(3));
    }
}
