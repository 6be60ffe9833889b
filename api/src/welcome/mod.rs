//! When a new customer's welcome mail is sent: the lesson `welcome_email`.
//!
//! Both arms write the event `customer.registered` with the customer, for whoever wants to know. Where the request
//! sends the mail itself, it marks the event as worked off by the consumer that would send it.

#[cfg(feature = "baselines")]
pub mod inline;

pub mod queued;

use storefront::email_address::EmailAddress;
use storefront::messages::Event;
use storefront::third_parties::mail::Mailer;
use storefront::variants::WelcomeEmail;
use uuid::Uuid;

use crate::database::Transaction;

/// The arm of `welcome_email` that this process was built with.
pub enum Welcome {
    /// See [`inline`].
    #[cfg(feature = "baselines")]
    Inline(Box<inline::Inline>),
    /// See [`queued`].
    Queued(queued::Queued),
}

/// Somebody who has just registered.
#[derive(Debug, Clone, Copy)]
pub struct NewCustomer<'c> {
    /// Who.
    pub id: Uuid,
    /// Where the mail goes.
    pub email: &'c EmailAddress,
    /// Whom it greets.
    pub name: &'c str,
}

impl Welcome {
    /// Builds the arm. It connects when it is first used.
    #[cfg_attr(
        not(feature = "baselines"),
        allow(unused_variables, reason = "only a baseline sends mail itself")
    )]
    pub fn new(arm: WelcomeEmail, mailer: &Mailer) -> Self {
        match arm {
            #[cfg(feature = "baselines")]
            WelcomeEmail::Inline => Self::Inline(Box::new(inline::Inline::new(mailer.clone()))),
            WelcomeEmail::Queued => Self::Queued(queued::Queued),
        }
    }

    /// Writes the event, in the transaction that makes it true.
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
        match self {
            #[cfg(feature = "baselines")]
            Self::Inline(inline) => inline.write_event(transaction, event).await,
            Self::Queued(queued) => queued.write_event(transaction, event).await,
        }
    }

    /// After the commit: what the request still has to do. A mail that can't be sent is logged and fails nothing, for
    /// the customer is registered.
    pub async fn after_commit(&self, customer: NewCustomer<'_>) {
        match self {
            #[cfg(feature = "baselines")]
            Self::Inline(inline) => inline.send(customer).await,
            Self::Queued(_) => {
                let _ = customer;
            }
        }
    }
}

/// A row of `outbox`.
struct EventRow<'e> {
    message_id: Uuid,
    event: Event,
    trace_context: Option<&'e str>,
}
