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
use techniques::WelcomeEmail;
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

/// A customer who has just registered.
#[derive(Debug, Clone, Copy)]
pub struct NewCustomer<'c> {
    pub id: Uuid,
    pub email: &'c EmailAddress,
    pub name: &'c str,
}

impl Welcome {
    /// Builds the arm, which connects lazily.
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
        match self {
            #[cfg(feature = "baselines")]
            Self::Inline(inline) => inline.write_event(transaction, event).await,
            Self::Queued(queued) => queued.write_event(transaction, event).await,
        }
    }

    /// What the request still has to do after the commit. A mail that can't be sent is logged and fails nothing,
    /// because the customer is registered.
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

struct EventRow<'e> {
    message_id: Uuid,
    event: Event,
    trace_context: Option<&'e str>,
}
