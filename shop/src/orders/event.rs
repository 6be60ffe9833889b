//! A domain event of a transaction, and its row in the transactional outbox.

use uuid::Uuid;

use crate::messages::Event;

/// An event to publish after its transaction is committed.
#[derive(Debug, Clone)]
pub struct PendingEvent {
    /// Consumers detect duplicates by it (at-least-once delivery).
    pub message_id: Uuid,
    pub event: Event,
    /// W3C trace context of the request that caused it.
    pub trace_context: Option<String>,
}

impl PendingEvent {
    /// With a new message id.
    pub fn new(event: Event, trace_context: Option<String>) -> Self {
        Self {
            message_id: Uuid::now_v7(),
            event,
            trace_context,
        }
    }

    /// The row that enqueues it.
    pub fn outbox_row(&self) -> OutboxRow<'_> {
        OutboxRow {
            message_id: Some(self.message_id),
            event: self.event.name(),
            body: self.event.body(),
            trace_context: self.trace_context.as_deref(),
        }
    }
}

/// A row of `outbox`. The transitions insert it unless `message_id` is null.
#[derive(Debug)]
pub struct OutboxRow<'a> {
    /// Null when the event isn't published through the outbox.
    pub message_id: Option<Uuid>,
    /// The routing key.
    pub event: &'static str,
    pub body: serde_json::Value,
    pub trace_context: Option<&'a str>,
}
