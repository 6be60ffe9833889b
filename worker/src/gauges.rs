//! What waits: in the queues, in the outbox, among the orders. Counted now and then for the metrics, by every worker alike,
//! so whoever reads them takes one worker's word and doesn't add them up.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use sqlx::PgPool;
use uuid::Uuid;

use crate::broker::{Broker, BrokerError};
use crate::metrics::{self, LastDelivered};
use crate::parts::{Parts, Stop, keep_alive};

/// How logs call it.
const PART: &str = "gauges";

/// How long the broker may take to say how long its queues are.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Why nothing was counted. It is tried again.
#[derive(Debug, thiserror::Error)]
enum GaugeError {
    #[error(transparent)]
    Broker(#[from] BrokerError),
    #[error("Postgres failed: {0}")]
    Database(#[from] sqlx::Error),
}

/// What is counted, and how often.
#[derive(Debug, Clone, Copy)]
pub struct Gauges<'a> {
    /// Where outbox and orders are.
    pub pool: &'a PgPool,
    /// Where the queues are.
    pub broker: &'a Broker,
    /// Between two counts.
    pub interval: Duration,
}

impl Gauges<'_> {
    /// Counts until the signal comes. Says in `parts` how it is.
    pub async fn run(self, parts: &Parts, stop: &Stop) {
        keep_alive(PART, parts, stop, || self.session(parts, stop)).await;
    }

    async fn session(self, parts: &Parts, stop: &Stop) -> Result<(), GaugeError> {
        let channel = self.broker.channel().await?;
        let mut queues = Queues::default();
        while !stop.is_given() {
            self.count_rows().await?;
            for queue in self.broker.topology().queues() {
                let passive = QueueDeclareOptions {
                    passive: true,
                    ..Default::default()
                };
                let asking = channel.queue_declare(queue.as_str().into(), passive, FieldTable::default());
                let answer = tokio::time::timeout(ANSWER_TIMEOUT, asking).await;
                let answer = answer
                    .map_err(|_| BrokerError::Timeout("count its messages"))?
                    .map_err(BrokerError::from)?;
                queues.saw(&queue, answer.message_count());
            }
            parts.works(PART);
            stop.pause(self.interval).await;
        }
        let _ = channel.close(200, "the worker stops".into()).await;
        Ok(())
    }

    async fn count_rows(self) -> Result<(), sqlx::Error> {
        let outbox = sqlx::query!(
            r#"
            select count(*) as "events!",
                   coalesce(extract(epoch from clock_timestamp() - min(created_at)), 0)::float8 as "oldest_age_s!"
            from outbox
            "#
        );
        let outbox = outbox.fetch_one(self.pool).await?;
        metrics::outbox(outbox.events, outbox.oldest_age_s.max(0.0));
        let waiting = sqlx::query!(
            r#"
            select (select count(*) from orders where status = 'pending_payment') as "pending_payment!",
                   (select count(*) from orders where status = 'paid') as "paid!"
            "#
        );
        let waiting = waiting.fetch_one(self.pool).await?;
        metrics::orders_waiting("pending_payment", waiting.pending_payment);
        metrics::orders_waiting("paid", waiting.paid);
        Ok(())
    }
}

/// How old the oldest message of each queue is at most. The broker doesn't say when a message came; but a queue gives its
/// oldest first, so what is left is no older than what this process was given last, nor than the last time at which the
/// queue was empty.
#[derive(Debug, Default)]
struct Queues {
    last_empty: HashMap<String, SystemTime>,
}

impl Queues {
    fn saw(&mut self, queue: &str, messages: u32) {
        let now = SystemTime::now();
        let age = if messages == 0 {
            self.last_empty.insert(queue.to_owned(), now);
            Duration::ZERO
        } else {
            // A queue that was never seen empty: since this process began to look.
            let last_empty = *self.last_empty.entry(queue.to_owned()).or_insert(now);
            let last_given = LastDelivered::of(queue).unwrap_or(UNIX_EPOCH);
            now.duration_since(last_empty.max(last_given)).unwrap_or_default()
        };
        metrics::queue(queue, messages, age);
    }
}

/// When an event happened: a message's id is a UUIDv7, which begins with its time.
pub fn time_of(message: Uuid) -> Option<SystemTime> {
    let (seconds, nanoseconds) = message.get_timestamp()?.to_unix();
    Some(UNIX_EPOCH + Duration::new(seconds, nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_knows_when_it_was_made() {
        let before = SystemTime::now() - Duration::from_millis(2);
        let at = time_of(Uuid::now_v7()).unwrap();
        assert!(at >= before && at <= SystemTime::now());
        assert_eq!(time_of(Uuid::from_u128(1)), None);
    }
}
