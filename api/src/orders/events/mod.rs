//! How the shop says what happened to an order: the lesson `events`.
//!
//! An event is something that became true with a transaction. Each arm is asked twice: what it adds to the transaction
//! ([`Events::row`]), and what it does once that is committed ([`Events::committed`]).

#[cfg(feature = "baselines")]
pub mod dual_write;

pub mod outbox;

use storefront::messages::Event;
use storefront::variants::Events as Arm;
use uuid::Uuid;

use crate::settings::OrderSettings;

/// Something that is true once a transaction is committed.
#[derive(Debug, Clone)]
pub struct Said {
    /// By which consumers know it again.
    pub message_id: Uuid,
    /// What happened.
    pub event: Event,
    /// W3C trace context of the request that caused it.
    pub trace_context: Option<String>,
}

impl Said {
    /// It gets its message id here.
    pub fn new(event: Event, trace_context: Option<String>) -> Self {
        Self {
            message_id: Uuid::now_v7(),
            event,
            trace_context,
        }
    }
}

/// The columns of a row of `outbox`, which is written when `message_id` isn't null.
#[derive(Debug)]
pub struct OutboxRow<'a> {
    /// Null in the arm that writes none.
    pub message_id: Option<Uuid>,
    /// The routing key.
    pub event: &'static str,
    /// Ids and a version.
    pub body: serde_json::Value,
    /// W3C trace context.
    pub trace_context: Option<&'a str>,
}

/// The arm of `events` that this process was built with.
pub enum Events {
    /// See [`dual_write`].
    #[cfg(feature = "baselines")]
    DualWrite(Box<dual_write::DualWrite>),
    /// See [`outbox`].
    Outbox(outbox::Outbox),
}

impl Events {
    /// Builds the arm. Connects to nothing yet.
    ///
    /// # Errors
    /// When the database's URL can't be parsed.
    pub fn new(
        arm: Arm,
        settings: &OrderSettings,
        database: &storefront::settings::DatabaseSettings,
    ) -> Result<Self, storefront::postgres::UrlError> {
        let _ = settings; // a build without baselines needs nothing of it
        Ok(match arm {
            #[cfg(feature = "baselines")]
            Arm::DualWrite => Self::DualWrite(Box::new(dual_write::DualWrite::new(settings))),
            Arm::Outbox => Self::Outbox(outbox::Outbox::new(database)?),
        })
    }

    /// What the transaction writes.
    pub fn row<'a>(&self, said: &'a Said) -> OutboxRow<'a> {
        let message_id = match self {
            #[cfg(feature = "baselines")]
            Self::DualWrite(_) => None,
            Self::Outbox(_) => Some(said.message_id),
        };
        OutboxRow {
            message_id,
            event: said.event.name(),
            body: said.event.body(),
            trace_context: said.trace_context.as_deref(),
        }
    }

    /// Once the transaction is committed.
    pub async fn committed(&self, said: &Said) {
        match self {
            #[cfg(feature = "baselines")]
            Self::DualWrite(dual_write) => dual_write.publish(said).await,
            Self::Outbox(outbox) => {
                let _ = said; // its row is there for the relay
                outbox.wake_relay();
            }
        }
    }
}
