//! What the shop says over RabbitMQ: the events, their form, and the names of exchanges and queues. The api writes events
//! to the outbox; the worker relays and consumes them, and declares what is named here.
//!
//! A message is small: a version and ids. Whoever needs more reads it from Postgres, where it is true *now*; a copy in a
//! message would be as old as its queue is long. Apart from its body it has `message_id`, by which a consumer knows it
//! again, `content_type`, persistent delivery, and the header `traceparent` (W3C Trace Context) of the request that
//! caused it.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The topic exchange of all events. The routing key is the event's name.
pub const EXCHANGE: &str = "backstock.events";

/// The version that is written. A reader refuses others, since it can't know what they mean.
pub const VERSION: u64 = 1;

/// The media type of every body.
pub const CONTENT_TYPE: &str = "application/json";

/// The header with the trace context of the request that caused an event.
pub const TRACEPARENT: &str = "traceparent";

/// The header that counts the failed attempts at a message. Without it: none.
pub const ATTEMPT: &str = "x-attempt";

/// The channel of Postgres on which relays are woken: `notify outbox`, sent after a commit, never inside the
/// transaction, where it would make commits take turns.
pub const WAKE_CHANNEL: &str = "outbox";

/// How AMQP spells "keep it on disk".
const PERSISTENT: u8 = 2;

/// What goes with a body.
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

/// Something that happened in the shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// An order was paid: what follows a purchase can begin.
    OrderPaid {
        /// Which.
        order_id: Uuid,
    },
    /// An order was cancelled.
    OrderCancelled {
        /// Which.
        order_id: Uuid,
    },
    /// Somebody opened an account.
    CustomerRegistered {
        /// Who.
        customer_id: Uuid,
    },
}

/// The names of all events: the routing keys.
pub const EVENTS: [&str; 3] = ["order.paid", "order.cancelled", "customer.registered"];

/// Why a message means nothing to this build.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableMessage {
    /// No event has this name.
    #[error("`{0}` is no event that this build knows")]
    Event(String),
    /// It was written in another version.
    #[error("the body has version {0}; this build reads version {VERSION}")]
    Version(u64),
    /// The body is not what the event says it is.
    #[error("the body is unreadable: {0}")]
    Body(#[from] serde_json::Error),
}

#[derive(Serialize, Deserialize)]
struct OfOrder {
    v: u64,
    order_id: Uuid,
}

#[derive(Serialize, Deserialize)]
struct OfCustomer {
    v: u64,
    customer_id: Uuid,
}

impl Event {
    /// Its name: the routing key.
    pub const fn name(&self) -> &'static str {
        match self {
            Event::OrderPaid { .. } => "order.paid",
            Event::OrderCancelled { .. } => "order.cancelled",
            Event::CustomerRegistered { .. } => "customer.registered",
        }
    }

    /// Its body, in the version that this build writes.
    pub fn body(&self) -> serde_json::Value {
        let v = VERSION;
        let body = match *self {
            Event::OrderPaid { order_id } | Event::OrderCancelled { order_id } => {
                serde_json::to_value(OfOrder { v, order_id })
            }
            Event::CustomerRegistered { customer_id } => serde_json::to_value(OfCustomer { v, customer_id }),
        };
        body.expect("numbers and ids are always JSON")
    }

    /// Reads what [`Event::body`] wrote. Fields that are added later don't disturb: a new version is for changes that
    /// a reader must know of.
    ///
    /// # Errors
    /// When the event, its version or its body is none that this build knows.
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
                order_id: serde_json::from_slice::<OfOrder>(body)?.order_id,
            },
            "order.cancelled" => Event::OrderCancelled {
                order_id: serde_json::from_slice::<OfOrder>(body)?.order_id,
            },
            "customer.registered" => Event::CustomerRegistered {
                customer_id: serde_json::from_slice::<OfCustomer>(body)?.customer_id,
            },
            _ => return Err(UnreadableMessage::Event(name.to_owned())),
        })
    }
}

/// Who does something about an event. Each has a queue of its own, and rows of its own in `inbox`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Consumer {
    /// Confirms a paid order by email.
    ConfirmationEmail,
    /// Has the label of a paid order's parcel made, and takes the money.
    ShippingLabel,
    /// Counts what was sold, for the order `best_selling`.
    Popularity,
    /// Takes the units of a cancelled order off that count.
    CancelledSales,
    /// Welcomes a new customer by email.
    WelcomeEmail,
}

impl Consumer {
    /// All of them.
    pub const ALL: [Consumer; 5] = [
        Consumer::ConfirmationEmail,
        Consumer::ShippingLabel,
        Consumer::Popularity,
        Consumer::CancelledSales,
        Consumer::WelcomeEmail,
    ];

    /// As `inbox`, metrics and the command line call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Consumer::ConfirmationEmail => "confirmation_email",
            Consumer::ShippingLabel => "shipping_label",
            Consumer::Popularity => "popularity",
            Consumer::CancelledSales => "cancelled_sales",
            Consumer::WelcomeEmail => "welcome_email",
        }
    }

    /// The name of the event that it waits for.
    pub const fn event(self) -> &'static str {
        match self {
            Consumer::ConfirmationEmail | Consumer::ShippingLabel | Consumer::Popularity => "order.paid",
            Consumer::CancelledSales => "order.cancelled",
            Consumer::WelcomeEmail => "customer.registered",
        }
    }

    /// Its queue.
    pub fn queue(self) -> String {
        format!("backstock.{}", self.as_str())
    }

    /// Where its messages wait for a person when they can't be worked off.
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
    fn an_event_is_read_as_it_was_written() {
        for event in every_event() {
            let body = event.body().to_string();
            assert_eq!(Event::parse(event.name(), body.as_bytes()).unwrap(), event);
        }
        assert_eq!(every_event().map(|event| event.name()), EVENTS);
    }

    #[test]
    fn a_field_that_was_added_later_does_not_disturb() {
        let body = br#"{"v":1,"order_id":"00000000-0000-0000-0000-000000000001","gift":true}"#;
        assert!(Event::parse("order.paid", body).is_ok());
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let fault = |name: &str, body: &str| Event::parse(name, body.as_bytes()).unwrap_err().to_string();
        assert!(fault("order.paid", r#"{"v":2,"order_id":"x"}"#).contains("version 2"));
        assert!(fault("order.eaten", r#"{"v":1}"#).contains("order.eaten"));
        assert!(fault("order.paid", r#"{"v":1}"#).contains("order_id"));
        assert!(fault("order.paid", "}").contains("unreadable"));
    }

    #[test]
    fn every_consumer_waits_for_an_event_that_exists_and_is_found_by_its_name() {
        for consumer in Consumer::ALL {
            assert!(EVENTS.contains(&consumer.event()));
            assert_eq!(consumer.as_str().parse::<Consumer>().unwrap(), consumer);
        }
    }
}
