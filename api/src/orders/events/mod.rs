//! How the shop publishes what happened to an order: the lesson `events`.
//!
//! An event is something that became true with a transaction. Each arm is asked twice: what it adds to the transaction
//! ([`Events::row`]), and what it does once that is committed ([`Events::after_commit`]).

#[cfg(feature = "baselines")]
pub mod dual_write;

pub mod outbox;

use storefront::orders::{OutboxRow, PendingEvent};
use storefront::variants::Events as Arm;

use crate::settings::OrderSettings;

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
    pub fn row<'a>(&self, event: &'a PendingEvent) -> OutboxRow<'a> {
        match self {
            #[cfg(feature = "baselines")]
            Self::DualWrite(_) => OutboxRow {
                message_id: None,
                ..event.outbox_row()
            },
            Self::Outbox(_) => event.outbox_row(),
        }
    }

    /// Once the transaction is committed.
    pub async fn after_commit(&self, event: &PendingEvent) {
        match self {
            #[cfg(feature = "baselines")]
            Self::DualWrite(dual_write) => dual_write.publish(event).await,
            Self::Outbox(outbox) => {
                let _ = event; // the relay finds its row
                outbox.wake_relay();
            }
        }
    }
}
