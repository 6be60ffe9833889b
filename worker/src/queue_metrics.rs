//! Backlog metrics: the depth and age of queues and outbox, and waiting orders. Every worker samples the same
//! values, so a query must take their maximum, not their sum.
//!
//! Rows and queues are sampled independently, so that the growth of the outbox stays visible while the broker
//! is down. A value that can't be sampled is NaN rather than stale.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use platform::postgres::InstrumentedPool;
use shop::messages::Consumer;
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::broker::{Broker, BrokerError, RESPONSE_TIMEOUT};
use crate::components::{HealthRegistry, ShutdownToken, supervise};
use crate::metrics::{self, LastDelivered};

/// Counting stops at this number of rows.
const MAX_COUNTED: i64 = 10_000;

/// Samples backlogs periodically.
#[derive(Debug)]
pub struct QueueMetrics {
    pub pool: InstrumentedPool,
    pub broker: std::sync::Arc<Broker>,
    pub interval: Duration,
    /// Whether this process runs consumers. Only then does it know the age of the messages in their queues.
    pub consumes: bool,
}

impl QueueMetrics {
    /// Samples until shutdown. Its failures don't make the process unready, because the
    /// other components keep working.
    pub async fn run(self, shutdown: &ShutdownToken) {
        let (health, queues) = (HealthRegistry::default(), Mutex::new(Queues::default()));
        tokio::join!(
            supervise("counting rows", &health, shutdown, || self.rows(shutdown)),
            supervise("counting messages", &health, shutdown, || self
                .messages(&queues, shutdown)),
        );
    }

    async fn rows(&self, shutdown: &ShutdownToken) -> Result<(), sqlx::Error> {
        while !shutdown.is_cancelled() {
            if let Err(error) = self.count_rows().await {
                metrics::outbox(f64::NAN, f64::NAN);
                metrics::orders_waiting("pending_payment", f64::NAN);
                metrics::orders_waiting("paid", f64::NAN);
                return Err(error);
            }
            shutdown.sleep(self.interval).await;
        }
        Ok(())
    }

    async fn count_rows(&self) -> Result<(), sqlx::Error> {
        // The count is bounded. A longer backlog needs no exact number, and counting it would be slow.
        let outbox = sqlx::query!(
            r#"
            select count(*) as "events!",
                   coalesce(extract(epoch from clock_timestamp() - min(created_at)), 0)::float8 as "oldest_age_s!"
            from (select created_at from outbox order by id limit $1) first
            "#,
            MAX_COUNTED
        );
        let outbox = outbox.fetch_one(&self.pool).await?;
        metrics::outbox(outbox.events as f64, outbox.oldest_age_s.max(0.0));
        let waiting = sqlx::query!(
            r#"
            select (select count(*) from (select from orders where status = 'pending_payment' limit $1) o)
                       as "pending_payment!",
                   (select count(*) from (select from orders where status = 'paid' limit $1) o) as "paid!"
            "#,
            MAX_COUNTED
        );
        let waiting = waiting.fetch_one(&self.pool).await?;
        metrics::orders_waiting("pending_payment", waiting.pending_payment as f64);
        metrics::orders_waiting("paid", waiting.paid as f64);
        Ok(())
    }

    async fn messages(&self, queues: &Mutex<Queues>, shutdown: &ShutdownToken) -> Result<(), BrokerError> {
        let counted = self.count_messages(&mut *queues.lock().await, shutdown).await;
        if counted.is_err() {
            for queue in self.broker.topology().queues() {
                metrics::queue(&queue, f64::NAN);
                metrics::queue_age(&queue, f64::NAN);
            }
        }
        counted
    }

    async fn count_messages(&self, queues: &mut Queues, shutdown: &ShutdownToken) -> Result<(), BrokerError> {
        let (_connection, channel) = self.broker.isolated_channel().await?;
        while !shutdown.is_cancelled() {
            for queue in self.broker.topology().queues() {
                let passive = QueueDeclareOptions {
                    passive: true,
                    ..Default::default()
                };
                let declaring = channel.queue_declare(queue.as_str().into(), passive, FieldTable::default());
                let declared = tokio::time::timeout(RESPONSE_TIMEOUT, declaring).await;
                let messages = declared
                    .map_err(|_| BrokerError::Timeout("count its messages"))??
                    .message_count();
                metrics::queue(&queue, f64::from(messages));
                let age = queues.age_of_oldest(&queue, messages);
                if self.consumes || !Consumer::ALL.iter().any(|consumer| consumer.queue() == queue) {
                    metrics::queue_age(&queue, age.as_secs_f64());
                }
            }
            shutdown.sleep(self.interval).await;
        }
        let _ = channel.close(200, "worker shutdown".into()).await;
        Ok(())
    }
}

/// Estimates the age of each queue's oldest message. The broker doesn't report when a message arrived, but a
/// queue delivers its oldest message first. The remaining messages are therefore hardly older than the last
/// delivery to this process, or than the last time the queue was seen empty. Ages start with the process,
/// because it doesn't know about earlier times.
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
        let last_delivered = LastDelivered::get(queue).unwrap_or(UNIX_EPOCH);
        now.duration_since(last_empty.max(last_delivered))
            .unwrap_or_default()
    }
}

/// When an event happened. A message's id is a UUIDv7, which begins with a timestamp.
pub fn event_time(message: Uuid) -> Option<SystemTime> {
    let (seconds, nanoseconds) = message.get_timestamp()?.to_unix();
    Some(UNIX_EPOCH + Duration::new(seconds, nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_an_event_is_read_from_its_message_id() {
        let before = SystemTime::now() - Duration::from_millis(2);
        let at = event_time(Uuid::now_v7()).unwrap();
        assert!(at >= before && at <= SystemTime::now());
        assert_eq!(event_time(Uuid::from_u128(1)), None);
    }

    #[test]
    fn an_empty_queue_has_age_zero_and_a_stalled_one_ages() {
        let mut queues = Queues::default();
        assert_eq!(queues.age_of_oldest("q", 0), Duration::ZERO);
        let an_hour_ago = SystemTime::now() - Duration::from_secs(3600);
        queues.last_empty.insert("q".to_owned(), an_hour_ago);
        assert!(queues.age_of_oldest("q", 3) >= Duration::from_secs(3600));
        LastDelivered::record("q".to_owned(), SystemTime::now());
        assert!(queues.age_of_oldest("q", 2) < Duration::from_secs(60));
    }
}
