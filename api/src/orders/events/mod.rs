//! How events of an order are published: the lesson `events`.
//!
//! An event is a fact that a transaction made true. Each arm has two hooks: what it adds to the transaction
//! ([`Events::row`]), and what it does after the commit ([`Events::after_commit`]).

#[cfg(feature = "baselines")]
pub mod dual_write;

pub mod outbox;

use shop::orders::{OutboxRow, PendingEvent};
use techniques::Events as Arm;

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
    /// Builds the arm, without connecting to anything.
    ///
    /// # Errors
    /// When the database's URL can't be parsed.
    pub fn new(
        arm: Arm,
        settings: &OrderSettings,
        database: &platform::settings::DatabaseSettings,
    ) -> Result<Self, platform::postgres::UrlError> {
        let _ = settings; // unused without baselines
        Ok(match arm {
            #[cfg(feature = "baselines")]
            Arm::DualWrite => Self::DualWrite(Box::new(dual_write::DualWrite::new(settings))),
            Arm::Outbox => Self::Outbox(outbox::Outbox::new(database)?),
        })
    }

    /// What the transaction writes to the outbox.
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

    /// Runs after the commit.
    pub async fn after_commit(&self, event: &PendingEvent) {
        match self {
            #[cfg(feature = "baselines")]
            Self::DualWrite(dual_write) => dual_write.publish(event).await,
            Self::Outbox(outbox) => {
                let _ = event; // the relay reads its row
                outbox.notify_relay();
            }
        }
    }
}
