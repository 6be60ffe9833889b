//! What the worker counts. Names follow Prometheus; labels are bounded sets.

use storefront::messages::Consumer;

/// Describes every metric, so that `/metrics` has a `# HELP` line for each.
pub fn describe() {
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
