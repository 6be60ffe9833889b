//! When a new customer's welcome mail is sent: the lesson `welcome_email`.
//!
//! Both arms write the event `customer.registered` in the transaction that inserts the customer. The arm that sends
//! the mail itself marks the event as already handled by the worker's consumer.

#[cfg(feature = "baselines")]
pub mod inline;

pub mod queued;

use shop::email_address::EmailAddress;
use shop::messages::Event;
use shop::third_parties::mail::Mailer;
use uuid::Uuid;

use crate::database::Transaction;

techniques::component! {
    /// Sends the welcome mail.
    pub WelcomeEmail: techniques::WelcomeEmail {
        baseline Inline = inline::Inline,
        optimized Queued = queued::Queued,
    }
    pub select(mailer: &Mailer);

    async fn insert(&self, transaction: &mut Transaction<'_>, row: EventRow<'_>) -> Result<(), sqlx::Error>;

    /// What the request still has to do after the commit. A mail that can't be sent is logged and fails nothing,
    /// because the customer is registered.
    pub async fn after_commit(&self, customer: NewCustomer<'_>);
}

/// A customer who has just registered.
#[derive(Debug, Clone, Copy)]
pub struct NewCustomer<'c> {
    pub id: Uuid,
    pub email: &'c EmailAddress,
    pub name: &'c str,
}

impl WelcomeEmail {
    /// Writes the event, in the transaction of the registration.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn write_event(
        &self,
        transaction: &mut Transaction<'_>,
        customer: Uuid,
        trace_context: Option<&str>,
    ) -> Result<(), sqlx::Error> {
        let event = EventRow {
            message_id: Uuid::now_v7(),
            event: Event::CustomerRegistered {
                customer_id: customer,
            },
            trace_context,
        };
        self.insert(transaction, event).await
    }
}

struct EventRow<'e> {
    message_id: Uuid,
    event: Event,
    trace_context: Option<&'e str>,
}
