//! What the worker counts. Names follow Prometheus; labels are bounded sets.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use storefront::messages::Consumer;

/// What became of a message.
const OUTCOMES: [&str; 5] = ["done", "repeated", "busy", "retried", "dead"];

/// Describes every metric, so that `/metrics` has a `# HELP` line for each.
pub fn describe() {
    storefront::server::describe_metrics();
    metrics::describe_counter!("outbox_relayed_total", "Events that the broker confirmed.");
    metrics::describe_counter!(
        "outbox_returned_total",
        "Events for which the broker had no queue. They stay in the outbox."
    );
    metrics::describe_counter!("messages_consumed_total", "Messages by what became of them.");
    metrics::describe_counter!(
        "messages_dead_lettered_total",
        "Messages that a person has to look at."
    );
    metrics::describe_counter!(
        "upkeep_rows_total",
        "Rows that upkeep settled or purged, by task."
    );
    metrics::describe_counter!(
        "background_task_failures_total",
        "Failed attempts of a background task, which is retried."
    );
    metrics::describe_gauge!(
        "sales_oldest_uncounted_age_seconds",
        "Since when the oldest sale isn't in the order of best sellers yet; 0 when all are."
    );
    metrics::describe_gauge!(
        "outbox_events",
        "Events that wait in the outbox; from 10 000 on, at most so many."
    );
    metrics::describe_gauge!(
        "outbox_oldest_event_age_seconds",
        "How long the oldest event has waited in the outbox; 0 when it is empty."
    );
    metrics::describe_gauge!("queue_messages", "Messages that wait in a queue.");
    metrics::describe_gauge!(
        "queue_oldest_message_age_seconds",
        "About how long the oldest message of a queue has waited, as far as this process has seen; 0 when it is empty."
    );
    metrics::describe_gauge!(
        "orders_waiting",
        "Orders that wait for what comes next, by status; from 10 000 on, at most so many."
    );
    metrics::describe_histogram!(
        "message_duration_seconds",
        "Time that the work on a message took."
    );
    metrics::describe_histogram!(
        "message_age_seconds",
        "Time from an event until the work on its message was done."
    );
    // What has not happened yet is 0, which a rule can count with; what isn't there it can't.
    relayed(0);
    returned(0);
    for task in crate::upkeep::purges() {
        metrics::counter!("background_task_failures_total", "task" => task).increment(0);
    }
    for consumer in Consumer::ALL {
        let consumer = consumer.as_str();
        for outcome in OUTCOMES {
            metrics::counter!("messages_consumed_total", "consumer" => consumer, "outcome" => outcome)
                .increment(0);
        }
        metrics::counter!("messages_dead_lettered_total", "consumer" => consumer).increment(0);
        let _ = metrics::histogram!("message_duration_seconds", "consumer" => consumer);
        let _ = metrics::histogram!("message_age_seconds", "consumer" => consumer);
    }
}

/// The broker has them.
pub fn relayed(events: usize) {
    metrics::counter!("outbox_relayed_total").increment(events as u64);
}

/// The broker has no queue for them.
pub fn returned(events: usize) {
    metrics::counter!("outbox_returned_total").increment(events as u64);
}

/// `outcome` is `done`, `repeated`, `busy`, `retried` or `dead`.
pub fn consumed(consumer: Consumer, outcome: &'static str) {
    metrics::counter!("messages_consumed_total", "consumer" => consumer.as_str(), "outcome" => outcome)
        .increment(1);
    if outcome == "dead" {
        metrics::counter!("messages_dead_lettered_total", "consumer" => consumer.as_str()).increment(1);
    }
}

/// Rows that a task of upkeep dealt with.
pub fn upkept(task: &'static str, rows: u64) {
    metrics::counter!("upkeep_rows_total", "task" => task).increment(rows);
}

/// A background task failed, and is retried.
pub fn task_failed(task: &'static str) {
    metrics::counter!("background_task_failures_total", "task" => task).increment(1);
}

/// How long the oldest sale isn't in the order of best sellers.
pub fn sales_age(age: Duration) {
    metrics::gauge!("sales_oldest_uncounted_age_seconds").set(age.as_secs_f64());
}

/// How many events wait, and the oldest one's age in seconds.
pub fn outbox(events: f64, oldest_age_s: f64) {
    metrics::gauge!("outbox_events").set(events);
    metrics::gauge!("outbox_oldest_event_age_seconds").set(oldest_age_s);
}

/// Orders of a status that is left for another.
pub fn orders_waiting(status: &'static str, orders: f64) {
    metrics::gauge!("orders_waiting", "status" => status).set(orders);
}

/// How long a queue is.
pub fn queue(queue: &str, messages: f64) {
    metrics::gauge!("queue_messages", "queue" => queue.to_owned()).set(messages);
}

/// About how old its oldest message is, in seconds.
pub fn queue_age(queue: &str, age_s: f64) {
    metrics::gauge!("queue_oldest_message_age_seconds", "queue" => queue.to_owned()).set(age_s);
}

/// The work on a message has ended.
pub fn worked(consumer: Consumer, took: Duration) {
    metrics::histogram!("message_duration_seconds", "consumer" => consumer.as_str()).record(took);
}

/// What an event of this time asked for is done.
pub fn done(consumer: Consumer, event_at: SystemTime) {
    let age = event_at.elapsed().unwrap_or_default();
    metrics::histogram!("message_age_seconds", "consumer" => consumer.as_str()).record(age);
}

/// When the message was made that a queue gave this process last.
pub struct LastDelivered;

static LAST_DELIVERED: LazyLock<Mutex<HashMap<String, SystemTime>>> = LazyLock::new(Mutex::default);

impl LastDelivered {
    /// A queue gave a message of this time.
    pub fn was(queue: String, made_at: SystemTime) {
        let mut last = LAST_DELIVERED.lock().unwrap_or_else(PoisonError::into_inner);
        last.insert(queue, made_at);
    }

    /// Of a queue that has given one.
    pub fn of(queue: &str) -> Option<SystemTime> {
        let last = LAST_DELIVERED.lock().unwrap_or_else(PoisonError::into_inner);
        last.get(queue).copied()
    }
}
