//! **Technique**: a transactional outbox: the event is written in the registration's transaction; the worker sends
//! the mail.
//! **Cost**: one more row in the transaction, and another process that relays and consumes it.
//! **Fails when**: the worker is down: mails are delayed, none is lost. A mail is sent twice if the mail server's
//! response to the worker was lost (at-least-once delivery).
//! **Source**: <https://microservices.io/patterns/data/transactional-outbox.html>

use shop::third_parties::mail::Mailer;

use super::{EventRow, NewCustomer};
use crate::database::Transaction;

/// The worker sends the mail.
pub struct Queued;

impl Queued {
    /// Needs nothing.
    pub fn new(_mailer: &Mailer) -> Self {
        Self
    }

    /// Does nothing: the worker consumes the event.
    pub async fn after_commit(&self, _customer: NewCustomer<'_>) {}

    pub(super) async fn insert(
        &self,
        transaction: &mut Transaction<'_>,
        row: EventRow<'_>,
    ) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "insert into outbox (message_id, event, body, trace_context) values ($1, $2, $3, $4)",
            row.message_id,
            row.event.name(),
            row.event.body(),
            row.trace_context,
        )
        .execute(&mut **transaction)
        .await?;
        Ok(())
    }
}
