//! How events of an order are published: the lesson `events`.
//!
//! An event is a fact that a transaction made true. Each arm has two hooks: what it adds to the transaction
//! (`row`), and what it does after the commit (`after_commit`).

#[cfg(feature = "baselines")]
pub mod dual_write;

pub mod outbox;

use platform::postgres::UrlError;
use platform::settings::DatabaseSettings;
use shop::orders::{OutboxRow, PendingEvent};

use crate::settings::OrderSettings;

techniques::component! {
    /// Publishes the events of orders.
    pub Events: techniques::Events {
        baseline DualWrite = dual_write::DualWrite,
        optimized Outbox = outbox::Outbox,
    }
    pub select(database: &DatabaseSettings, settings: &OrderSettings) -> Result<Self, UrlError>;

    /// What the transaction writes to the outbox.
    pub fn row['a](&self, event: &'a PendingEvent) -> OutboxRow<'a>;

    /// Runs after the commit.
    pub async fn after_commit(&self, event: &PendingEvent);
}
