//! **Technique**: the request sends the mail before its response.
//! **Cost**: the mail server's latency, in every registration. No connection or lock is held meanwhile.
//! **Fails when**: the mail server is slow: so is registration. If it is down, or the process dies between the commit
//! and the mail, the mail is lost.
//! **Source**: <https://microservices.io/patterns/data/transactional-outbox.html>, the problem that the outbox
//! solves.

use shop::emails;
use shop::messages::Consumer;
use shop::third_parties::mail::Mailer;

use super::{EventRow, NewCustomer};
use crate::database::Transaction;

/// The arm `welcome_email=inline`.
pub struct Inline {
    mailer: Mailer,
}

impl Inline {
    pub(super) fn new(mailer: &Mailer) -> Self {
        Self {
            mailer: mailer.clone(),
        }
    }

    pub(super) async fn insert(
        &self,
        transaction: &mut Transaction<'_>,
        row: EventRow<'_>,
    ) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "with heard as (insert into inbox (message_id, consumer) values ($1, $5))
             insert into outbox (message_id, event, body, trace_context) values ($1, $2, $3, $4)",
            row.message_id,
            row.event.name(),
            row.event.body(),
            row.trace_context,
            Consumer::WelcomeEmail.as_str(),
        )
        .execute(&mut **transaction)
        .await?;
        Ok(())
    }

    pub(super) async fn after_commit(&self, customer: NewCustomer<'_>) {
        let email = emails::Welcome {
            name: customer.name.to_owned(),
        }
        .email();
        let cause = format!("welcome-{}", customer.id);
        if let Err(error) = self.mailer.send(customer.email.as_str(), &cause, &email).await {
            tracing::warn!(customer_id = %customer.id, %error, "the welcome mail was not sent");
        }
    }
}
