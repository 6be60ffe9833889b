//! What waits: in the queues, in the outbox, among the orders. Counted now and then for the metrics, by every worker alike,
//! so whoever reads them takes one worker's word and doesn't add them up.
//!
//! Rows and queues are counted apart: while the broker is away, somebody has to say that the outbox grows. What can't be
//! counted is no number until it can, instead of the last one that was seen.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use storefront::messages::Consumer;
use storefront::postgres::MeasuredPool;
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::broker::{Broker, BrokerError};
use crate::metrics::{self, LastDelivered};
use crate::parts::{Parts, Stop, keep_alive};

/// How long the broker may take to say how long a queue is.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Rows of a kind that are counted.
const MOST_COUNTED: i64 = 10_000;

/// What is counted, and how often.
#[derive(Debug)]
pub struct Gauges {
    /// Where outbox and orders are.
    pub pool: MeasuredPool,
    /// Where the queues are.
    pub broker: std::sync::Arc<Broker>,
    /// Between two counts.
    pub interval: Duration,
    /// Whether this process consumes: only then it knows how far a consumer's queue has come.
    pub consumes: bool,
}

impl Gauges {
    /// Counts until the signal comes. Its faults are no reason to call the process unready: it works, and nobody counts.
    pub async fn run(self, stop: &Stop) {
        let (parts, queues) = (Parts::default(), Mutex::new(Queues::default()));
        tokio::join!(
            keep_alive("counting rows", &parts, stop, || self.rows(stop)),
            keep_alive("counting messages", &parts, stop, || self.messages(&queues, stop)),
        );
    }

    async fn rows(&self, stop: &Stop) -> Result<(), sqlx::Error> {
        while !stop.is_given() {
            if let Err(error) = self.count_rows().await {
                metrics::outbox(f64::NAN, f64::NAN);
                metrics::orders_waiting("pending_payment", f64::NAN);
                metrics::orders_waiting("paid", f64::NAN);
                return Err(error);
            }
            stop.pause(self.interval).await;
        }
        Ok(())
    }

    async fn count_rows(&self) -> Result<(), sqlx::Error> {
        // Counted up to a bound: a worker that is so far behind needs no exact number, and the count would be what is slow.
        let outbox = sqlx::query!(
            r#"
            select count(*) as "events!",
                   coalesce(extract(epoch from clock_timestamp() - min(created_at)), 0)::float8 as "oldest_age_s!"
            from (select created_at from outbox order by id limit $1) first
            "#,
            MOST_COUNTED
        );
        let outbox = outbox.fetch_one(&self.pool).await?;
        metrics::outbox(outbox.events as f64, outbox.oldest_age_s.max(0.0));
        let waiting = sqlx::query!(
            r#"
            select (select count(*) from (select from orders where status = 'pending_payment' limit $1) o)
                       as "pending_payment!",
                   (select count(*) from (select from orders where status = 'paid' limit $1) o) as "paid!"
            "#,
            MOST_COUNTED
        );
        let waiting = waiting.fetch_one(&self.pool).await?;
        metrics::orders_waiting("pending_payment", waiting.pending_payment as f64);
        metrics::orders_waiting("paid", waiting.paid as f64);
        Ok(())
    }

    async fn messages(&self, queues: &Mutex<Queues>, stop: &Stop) -> Result<(), BrokerError> {
        let counted = self.count_messages(&mut *queues.lock().await, stop).await;
        if counted.is_err() {
            for queue in self.broker.topology().queues() {
                metrics::queue(&queue, f64::NAN);
                metrics::queue_age(&queue, f64::NAN);
            }
        }
        counted
    }

    async fn count_messages(&self, queues: &mut Queues, stop: &Stop) -> Result<(), BrokerError> {
        let (_connection, channel) = self.broker.channel_apart().await?;
        while !stop.is_given() {
            for queue in self.broker.topology().queues() {
                let passive = QueueDeclareOptions {
                    passive: true,
                    ..Default::default()
                };
                let asking = channel.queue_declare(queue.as_str().into(), passive, FieldTable::default());
                let answer = tokio::time::timeout(ANSWER_TIMEOUT, asking).await;
                let messages = answer
                    .map_err(|_| BrokerError::Timeout("count its messages"))??
                    .message_count();
                metrics::queue(&queue, f64::from(messages));
                let age = queues.age_of_oldest(&queue, messages);
                if self.consumes || !Consumer::ALL.iter().any(|consumer| consumer.queue() == queue) {
                    metrics::queue_age(&queue, age.as_secs_f64());
                }
            }
            stop.pause(self.interval).await;
        }
        let _ = channel.close(200, "the worker stops".into()).await;
        Ok(())
    }
}

/// About how old the oldest message of each queue is. The broker doesn't say when a message came; but a queue gives its
/// oldest first, so what is left is hardly older than what this process was given last, nor than the last time at which
/// the queue was empty. What happened before this process began to look is not known: the age begins there.
#[derive(Debug, Default)]
struct Queues {
    last_empty: HashMap<String, SystemTime>,
}

impl Queues {
    fn age_of_oldest(&mut self, queue: &str, messages: u32) -> Duration {
        let now = SystemTime::now();
        if messages == 0 {
            self.last_empty.insert(queue.to_owned(), now);
            return Duration::ZERO;
        }
        let last_empty = *self.last_empty.entry(queue.to_owned()).or_insert(now);
        let last_given = LastDelivered::of(queue).unwrap_or(UNIX_EPOCH);
        now.duration_since(last_empty.max(last_given)).unwrap_or_default()
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

    #[test]
    fn an_empty_queue_has_no_age_and_a_standing_one_grows_old() {
        let mut queues = Queues::default();
        assert_eq!(queues.age_of_oldest("q", 0), Duration::ZERO);
        let an_hour_ago = SystemTime::now() - Duration::from_secs(3600);
        queues.last_empty.insert("q".to_owned(), an_hour_ago);
        assert!(queues.age_of_oldest("q", 3) >= Duration::from_secs(3600));
        LastDelivered::was("q".to_owned(), SystemTime::now());
        assert!(queues.age_of_oldest("q", 2) < Duration::from_secs(60));
    }
}
