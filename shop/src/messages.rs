//! Messages over RabbitMQ: the events, their format, and the names of exchanges and queues. The api writes
//! events to the outbox; the worker relays and consumes them, and declares the topology.
//!
//! A message is small: a version and ids (claim check). A consumer reads the rest from Postgres, where it is
//! current; a copy in the message would be as stale as its queue is long. Apart from its body, a message has
//! a `message_id` for deduplication, a `content_type`, persistent delivery, and the header `traceparent` (W3C
//! Trace Context) of the request that caused it.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The topic exchange of all events. The routing key is the event's name.
pub const EXCHANGE: &str = "backstock.events";

/// The version that is written. Readers reject others.
pub const VERSION: u64 = 1;

pub const CONTENT_TYPE: &str = "application/json";

/// The header with the trace context of the request that caused an event.
pub const TRACEPARENT: &str = "traceparent";

/// The header with the number of failed attempts. Absent for none.
pub const ATTEMPT: &str = "x-attempt";

/// The Postgres channel that wakes relays: `notify outbox`, sent after a commit and never inside the
/// transaction, where it would serialize commits.
pub const WAKE_CHANNEL: &str = "outbox";

/// AMQP's delivery mode for a persistent message.
const PERSISTENT: u8 = 2;

/// The properties of a message.
pub fn properties(message_id: Uuid, event: &str, trace_context: Option<&str>) -> BasicProperties {
    let mut headers = FieldTable::default();
    if let Some(context) = trace_context {
        headers.insert(TRACEPARENT.into(), AMQPValue::LongString(context.into()));
    }
    BasicProperties::default()
        .with_message_id(message_id.to_string().into())
        .with_type(event.into())
        .with_content_type(CONTENT_TYPE.into())
        .with_delivery_mode(PERSISTENT)
        .with_headers(headers)
}

/// A domain event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// An order was paid: its side work can begin.
    OrderPaid {
        order_id: Uuid,
    },
    OrderCancelled {
        order_id: Uuid,
    },
    /// A customer created an account.
    CustomerRegistered {
        customer_id: Uuid,
    },
}

/// All event names, which are the routing keys.
pub const EVENTS: [&str; 3] = ["order.paid", "order.cancelled", "customer.registered"];

/// Why this build can't read a message.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableMessage {
    #[error("`{0}` is not an event that this build knows")]
    Event(String),
    #[error("the body has version {0}; this build reads version {VERSION}")]
    Version(u64),
    #[error("the body is unreadable: {0}")]
    Body(#[from] serde_json::Error),
}

#[derive(Serialize, Deserialize)]
struct OrderBody {
    v: u64,
    order_id: Uuid,
}

#[derive(Serialize, Deserialize)]
struct CustomerBody {
    v: u64,
    customer_id: Uuid,
}

impl Event {
    /// The name, which is the routing key.
    pub const fn name(&self) -> &'static str {
        match self {
            Event::OrderPaid { .. } => "order.paid",
            Event::OrderCancelled { .. } => "order.cancelled",
            Event::CustomerRegistered { .. } => "customer.registered",
        }
    }

    /// The body, in the current version.
    pub fn body(&self) -> serde_json::Value {
        let v = VERSION;
        let body = match *self {
            Event::OrderPaid { order_id } | Event::OrderCancelled { order_id } => {
                serde_json::to_value(OrderBody { v, order_id })
            }
            Event::CustomerRegistered { customer_id } => {
                serde_json::to_value(CustomerBody { v, customer_id })
            }
        };
        body.expect("numbers and ids are always JSON")
    }

    /// Parses what [`Event::body`] returns. Unknown fields are ignored: only incompatible changes
    /// need a new version.
    ///
    /// # Errors
    /// When this build doesn't know the event, or can't read its version or body.
    pub fn parse(name: &str, body: &[u8]) -> Result<Self, UnreadableMessage> {
        #[derive(Deserialize)]
        struct Versioned {
            v: u64,
        }
        let Versioned { v } = serde_json::from_slice(body)?;
        if v != VERSION {
            return Err(UnreadableMessage::Version(v));
        }
        Ok(match name {
            "order.paid" => Event::OrderPaid {
                order_id: serde_json::from_slice::<OrderBody>(body)?.order_id,
            },
            "order.cancelled" => Event::OrderCancelled {
                order_id: serde_json::from_slice::<OrderBody>(body)?.order_id,
            },
            "customer.registered" => Event::CustomerRegistered {
                customer_id: serde_json::from_slice::<CustomerBody>(body)?.customer_id,
            },
            _ => return Err(UnreadableMessage::Event(name.to_owned())),
        })
    }
}

/// A consumer of events. Each has its own queue, and its own rows in `inbox` (idempotent consumer).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Consumer {
    /// Mails the confirmation of a paid order.
    ConfirmationEmail,
    /// Requests the label of a paid order's parcel, and captures the payment.
    ShippingLabel,
    /// Counts sold units, for the order `best_selling`.
    Popularity,
    /// Subtracts a cancelled order's units from that count.
    CancelledSales,
    /// Mails a welcome to a new customer.
    WelcomeEmail,
}

impl Consumer {
    pub const ALL: [Consumer; 5] = [
        Consumer::ConfirmationEmail,
        Consumer::ShippingLabel,
        Consumer::Popularity,
        Consumer::CancelledSales,
        Consumer::WelcomeEmail,
    ];

    /// The name in `inbox`, metrics and the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Consumer::ConfirmationEmail => "confirmation_email",
            Consumer::ShippingLabel => "shipping_label",
            Consumer::Popularity => "popularity",
            Consumer::CancelledSales => "cancelled_sales",
            Consumer::WelcomeEmail => "welcome_email",
        }
    }

    /// The event that it consumes.
    pub const fn event(self) -> &'static str {
        match self {
            Consumer::ConfirmationEmail | Consumer::ShippingLabel | Consumer::Popularity => "order.paid",
            Consumer::CancelledSales => "order.cancelled",
            Consumer::WelcomeEmail => "customer.registered",
        }
    }

    /// The queue from which it consumes, bound to its event.
    pub fn queue(self) -> String {
        format!("backstock.{}", self.as_str())
    }

    /// The queue of messages that couldn't be handled, for an operator to inspect.
    pub fn dead_letter_queue(self) -> String {
        format!("backstock.{}.dead", self.as_str())
    }
}

impl std::str::FromStr for Consumer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Consumer::ALL
            .into_iter()
            .find(|consumer| consumer.as_str() == text);
        found.ok_or_else(|| {
            let names = Consumer::ALL.map(Consumer::as_str).join(", ");
            format!("there is no consumer `{text}`; there are {names}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_event() -> [Event; 3] {
        let [order_id, customer_id] = [1, 2].map(Uuid::from_u128);
        [
            Event::OrderPaid { order_id },
            Event::OrderCancelled { order_id },
            Event::CustomerRegistered { customer_id },
        ]
    }

    #[test]
    fn an_event_survives_body_and_parse() {
        for event in every_event() {
            let body = event.body().to_string();
            assert_eq!(Event::parse(event.name(), body.as_bytes()).unwrap(), event);
        }
        assert_eq!(every_event().map(|event| event.name()), EVENTS);
    }

    #[test]
    fn an_unknown_field_is_ignored() {
        let body = br#"{"v":1,"order_id":"00000000-0000-0000-0000-000000000001","gift":true}"#;
        assert!(Event::parse("order.paid", body).is_ok());
    }

    #[test]
    fn an_unreadable_message_is_described() {
        let fault = |name: &str, body: &str| Event::parse(name, body.as_bytes()).unwrap_err().to_string();
        assert!(fault("order.paid", r#"{"v":2,"order_id":"x"}"#).contains("version 2"));
        assert!(fault("order.eaten", r#"{"v":1}"#).contains("order.eaten"));
        assert!(fault("order.paid", r#"{"v":1}"#).contains("order_id"));
        assert!(fault("order.paid", "}").contains("unreadable"));
    }

    #[test]
    fn every_consumer_has_an_existing_event_and_is_found_by_its_name() {
        for consumer in Consumer::ALL {
            assert!(EVENTS.contains(&consumer.event()));
            assert_eq!(consumer.as_str().parse::<Consumer>().unwrap(), consumer);
        }
    }
}
