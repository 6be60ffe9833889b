//! The worker's metrics. Names follow Prometheus conventions; each label has a bounded set of values.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use shop::messages::Consumer;

/// Outcomes of handling a message.
const OUTCOMES: [&str; 5] = ["done", "repeated", "busy", "retried", "dead"];

/// Describes every metric, so that `/metrics` has a `# HELP` line for each.
pub fn describe(cleanup_tasks: impl Iterator<Item = &'static str>) {
    platform::server::describe_metrics();
    metrics::describe_counter!("outbox_relayed_total", "Events that the broker confirmed.");
    metrics::describe_counter!(
        "outbox_returned_total",
        "Events that the broker returned as unroutable. They stay in the outbox."
    );
    metrics::describe_counter!("messages_consumed_total", "Handled messages, by outcome.");
    metrics::describe_counter!(
        "messages_dead_lettered_total",
        "Messages that became dead letters and need an operator."
    );
    metrics::describe_counter!(
        "upkeep_rows_total",
        "Rows that background tasks processed, by task."
    );
    metrics::describe_counter!(
        "background_task_failures_total",
        "Failed attempts of a background task, which is retried."
    );
    metrics::describe_gauge!(
        "sales_oldest_uncounted_age_seconds",
        "Age of the oldest sale that isn't in the best-seller ranking yet; 0 when all are."
    );
    metrics::describe_gauge!(
        "outbox_events",
        "Events waiting in the outbox, counted up to 10 000."
    );
    metrics::describe_gauge!(
        "outbox_oldest_event_age_seconds",
        "Age of the oldest event in the outbox; 0 when it is empty."
    );
    metrics::describe_gauge!("queue_messages", "Messages waiting in a queue.");
    metrics::describe_gauge!(
        "queue_oldest_message_age_seconds",
        "Estimated age of a queue's oldest message, as observed by this process; 0 when the queue is empty."
    );
    metrics::describe_gauge!(
        "orders_waiting",
        "Orders waiting for their next step, by status, counted up to 10 000."
    );
    metrics::describe_histogram!("message_duration_seconds", "Time taken to handle a message.");
    metrics::describe_histogram!(
        "message_age_seconds",
        "Time from an event until its message was handled."
    );
    // Counters start at 0, because an alerting rule can't evaluate a series that doesn't exist.
    relayed(0);
    returned(0);
    for task in cleanup_tasks {
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

/// Counts confirmed events.
pub fn relayed(events: usize) {
    metrics::counter!("outbox_relayed_total").increment(events as u64);
}

/// Counts unroutable events.
pub fn returned(events: usize) {
    metrics::counter!("outbox_returned_total").increment(events as u64);
}

/// Counts a handled message by its outcome, which is one of `OUTCOMES`.
pub fn consumed(consumer: Consumer, outcome: &'static str) {
    metrics::counter!("messages_consumed_total", "consumer" => consumer.as_str(), "outcome" => outcome)
        .increment(1);
    if outcome == "dead" {
        metrics::counter!("messages_dead_lettered_total", "consumer" => consumer.as_str()).increment(1);
    }
}

/// Counts rows that a background task processed.
pub fn rows_processed(task: &'static str, rows: u64) {
    metrics::counter!("upkeep_rows_total", "task" => task).increment(rows);
}

/// Counts a failed attempt of a background task.
pub fn task_failed(task: &'static str) {
    metrics::counter!("background_task_failures_total", "task" => task).increment(1);
}

/// Sets the age of the oldest sale that isn't in the best-seller ranking yet.
pub fn sales_age(age: Duration) {
    metrics::gauge!("sales_oldest_uncounted_age_seconds").set(age.as_secs_f64());
}

/// Sets the number of events waiting in the outbox, and the oldest one's age.
pub fn outbox(events: f64, oldest_age_s: f64) {
    metrics::gauge!("outbox_events").set(events);
    metrics::gauge!("outbox_oldest_event_age_seconds").set(oldest_age_s);
}

/// Sets the number of orders that are due to leave a status.
pub fn orders_waiting(status: &'static str, orders: f64) {
    metrics::gauge!("orders_waiting", "status" => status).set(orders);
}

/// Sets the number of messages waiting in a queue.
pub fn queue(queue: &str, messages: f64) {
    metrics::gauge!("queue_messages", "queue" => queue.to_owned()).set(messages);
}

/// Sets the estimated age of a queue's oldest message.
pub fn queue_age(queue: &str, age_s: f64) {
    metrics::gauge!("queue_oldest_message_age_seconds", "queue" => queue.to_owned()).set(age_s);
}

/// Records the time taken to handle a message.
pub fn handled(consumer: Consumer, took: Duration) {
    metrics::histogram!("message_duration_seconds", "consumer" => consumer.as_str()).record(took);
}

/// Records the age of an event when its message was handled successfully for the first time.
pub fn completed(consumer: Consumer, event_at: SystemTime) {
    let age = event_at.elapsed().unwrap_or_default();
    metrics::histogram!("message_age_seconds", "consumer" => consumer.as_str()).record(age);
}

/// The creation time of the last message that each queue delivered to this process.
pub struct LastDelivered;

static LAST_DELIVERED: LazyLock<Mutex<HashMap<String, SystemTime>>> = LazyLock::new(Mutex::default);

impl LastDelivered {
    pub fn record(queue: String, created_at: SystemTime) {
        let mut last = LAST_DELIVERED.lock().unwrap_or_else(PoisonError::into_inner);
        last.insert(queue, created_at);
    }

    /// `None` when the queue hasn't delivered a message to this process yet.
    pub fn get(queue: &str) -> Option<SystemTime> {
        let last = LAST_DELIVERED.lock().unwrap_or_else(PoisonError::into_inner);
        last.get(queue).copied()
    }
}
