//! A delivery, read: who it is, what it says, how often it was worked on.

use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable};
use storefront::messages::{ATTEMPT, Consumer, Event, TRACEPARENT};
use uuid::Uuid;

/// Why a message is a dead letter, for a person.
const REASON: &str = "x-reason";

/// The longest reason that is kept. Headers travel with the message.
const MAX_REASON_CHARS: usize = 500;

/// What a delivery says.
#[derive(Debug, Clone)]
pub struct Message {
    /// By which consumers know it again.
    pub id: Uuid,
    /// What happened.
    pub event: Event,
    /// Failed attempts at it.
    pub attempts: u32,
    /// The request that caused it.
    pub trace_context: Option<String>,
}

impl Message {
    /// Reads a delivery to a consumer.
    ///
    /// # Errors
    /// When it means nothing to this build: which it will not, however often it comes.
    pub fn read(consumer: Consumer, delivery: &Delivery) -> Result<Self, String> {
        let properties = &delivery.properties;
        let id = message_id(properties).ok_or("the message has no `message_id` that is a UUID")?;
        // Not the routing key: after a delay that is the queue's name.
        let event = Event::parse(consumer.event(), &delivery.data).map_err(|error| error.to_string())?;
        Ok(Self {
            id,
            event,
            attempts: attempts(properties),
            trace_context: text(properties, TRACEPARENT),
        })
    }
}

/// The id that the relay gave it.
pub fn message_id(properties: &BasicProperties) -> Option<Uuid> {
    properties.message_id().as_ref()?.as_str().parse().ok()
}

/// Failed attempts at it.
pub fn attempts(properties: &BasicProperties) -> u32 {
    match header(properties, ATTEMPT) {
        Some(AMQPValue::LongInt(attempts)) => u32::try_from(*attempts).unwrap_or(0),
        Some(AMQPValue::LongLongInt(attempts)) => u32::try_from(*attempts).unwrap_or(0),
        _ => 0,
    }
}

/// Why it is a dead letter: in our words, else in the broker's.
pub fn reason(properties: &BasicProperties) -> String {
    text(properties, REASON)
        .or_else(|| text(properties, "x-first-death-reason").map(|reason| format!("the broker: {reason}")))
        .unwrap_or_else(|| "unknown".to_owned())
}

/// What the message carries on, with another number of attempts and, for a dead letter, a reason.
pub fn carried_on(delivery: &Delivery, attempts: u32, why: Option<&str>) -> BasicProperties {
    let mut headers = FieldTable::default();
    for (name, value) in delivery.properties.headers().iter().flatten() {
        // The broker's own record of where it died; with each round it would grow.
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

/// A header that is a text.
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
