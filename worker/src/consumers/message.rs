//! Parses deliveries: the message's id, event, failed attempts and trace context.

use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable};
use shop::messages::{ATTEMPT, Consumer, Event, TRACEPARENT};
use uuid::Uuid;

/// The header that tells an operator why a message is a dead letter.
const REASON: &str = "x-reason";

/// Longer reasons are truncated, because headers are sent with every delivery.
const MAX_REASON_CHARS: usize = 500;

/// A parsed delivery.
#[derive(Debug, Clone)]
pub struct Message {
    /// Used for deduplication in the inbox.
    pub id: Uuid,
    pub event: Event,
    /// Failed attempts.
    pub attempts: u32,
    /// The trace of the request that caused the event.
    pub trace_context: Option<String>,
}

impl Message {
    /// Parses a delivery to a consumer.
    ///
    /// # Errors
    /// When this build can't parse it. Permanent, because a redelivery has the same content.
    pub fn parse(consumer: Consumer, delivery: &Delivery) -> Result<Self, String> {
        let properties = &delivery.properties;
        let id = message_id(properties).ok_or("the message has no `message_id` that is a UUID")?;
        // The event isn't taken from the routing key, because after a retry delay that is the queue's name.
        let event = Event::parse(consumer.event(), &delivery.data).map_err(|error| error.to_string())?;
        Ok(Self {
            id,
            event,
            attempts: attempts(properties),
            trace_context: text(properties, TRACEPARENT),
        })
    }
}

/// The message's id, set by the relay.
pub fn message_id(properties: &BasicProperties) -> Option<Uuid> {
    properties.message_id().as_ref()?.as_str().parse().ok()
}

/// The number of failed attempts.
pub fn attempts(properties: &BasicProperties) -> u32 {
    match header(properties, ATTEMPT) {
        Some(AMQPValue::LongInt(attempts)) => u32::try_from(*attempts).unwrap_or(0),
        Some(AMQPValue::LongLongInt(attempts)) => u32::try_from(*attempts).unwrap_or(0),
        _ => 0,
    }
}

/// Why the message is a dead letter: the consumer's reason, otherwise the broker's.
pub fn reason(properties: &BasicProperties) -> String {
    text(properties, REASON)
        .or_else(|| text(properties, "x-first-death-reason").map(|reason| format!("the broker: {reason}")))
        .unwrap_or_else(|| "unknown".to_owned())
}

/// The properties of a retried or dead-lettered message, with a new number of attempts and
/// a dead letter's reason.
pub fn redelivery_properties(delivery: &Delivery, attempts: u32, why: Option<&str>) -> BasicProperties {
    let mut headers = FieldTable::default();
    for (name, value) in delivery.properties.headers().iter().flatten() {
        // Drops the broker's own death records, which would grow with each retry.
        if !name.as_str().starts_with("x-") {
            headers.insert(name.clone(), value.clone());
        }
    }
    if attempts > 0 {
        let attempts = i32::try_from(attempts).unwrap_or(i32::MAX);
        headers.insert(ATTEMPT.into(), AMQPValue::LongInt(attempts));
    }
    if let Some(why) = why {
        let why: String = why.chars().take(MAX_REASON_CHARS).collect();
        headers.insert(REASON.into(), AMQPValue::LongString(why.into()));
    }
    delivery.properties.clone().with_headers(headers)
}

/// The value of a text header.
pub fn text(properties: &BasicProperties, name: &str) -> Option<String> {
    match header(properties, name)? {
        AMQPValue::LongString(text) => Some(text.to_string()),
        AMQPValue::ShortString(text) => Some(text.to_string()),
        _ => None,
    }
}

fn header<'a>(properties: &'a BasicProperties, name: &str) -> Option<&'a AMQPValue> {
    properties.headers().as_ref()?.inner().get(name)
}
