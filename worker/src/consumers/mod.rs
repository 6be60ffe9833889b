//! The consumers: each waits for one event, in a queue of its own, and does one thing about it.
//!
//! A message may come twice: after a crash, a lost acknowledgement, a relay that said it again. So a consumer writes
//! into `inbox`, in the transaction of its work, that it has done a message, and what it does elsewhere is either
//! idempotent (the label by its key, the capture by the payment) or claimed beforehand (the emails, see `inbox.rs`). Read next:
//! `session.rs` for the way of a message, then one consumer.

mod acks;
mod confirmation_email;
mod inbox;
pub mod message;
mod sales_counts;
mod session;
mod shipping_label;
mod welcome_email;

use storefront::messages::{Consumer, Event};
use storefront::postgres::MeasuredPool;
use storefront::third_parties::carrier::Carrier;
use storefront::third_parties::mail::{MailError, Mailer};
use storefront::third_parties::payment::PaymentGateway;
use storefront::variants::Variants;
use uuid::Uuid;

use crate::batch::StatementError;
use crate::settings::ConsumerSettings;

use inbox::Emails;
use message::Message;
use sales_counts::{Counted, Direction, SalesCounts};
pub use session::Consuming;
use shipping_label::Labels;

/// What consumers work with.
#[derive(Debug, Clone)]
pub struct Tools {
    /// The shop.
    pub pool: MeasuredPool,
    /// Takes the money.
    pub payments: PaymentGateway,
    /// Makes labels.
    pub carrier: Carrier,
    /// Sends emails.
    pub mailer: Mailer,
    /// How consumers work.
    pub settings: ConsumerSettings,
    /// The statements of emails, of what they confirm, and of labels.
    emails: Emails,
    confirmed_orders: confirmation_email::Orders,
    labels: Labels,
    sales_counts: SalesCounts,
}

/// The third parties.
#[derive(Debug, Clone)]
pub struct ThirdParties {
    /// Takes the money.
    pub payments: PaymentGateway,
    /// Makes labels.
    pub carrier: Carrier,
    /// Sends emails.
    pub mailer: Mailer,
}

impl Tools {
    /// Connects to nothing yet.
    pub fn new(
        pool: MeasuredPool,
        third_parties: ThirdParties,
        settings: ConsumerSettings,
        variants: &Variants,
    ) -> Self {
        let ThirdParties {
            payments,
            carrier,
            mailer,
        } = third_parties;
        let most = |consumer| usize::from(settings.in_flight(consumer));
        let emails = most(Consumer::ConfirmationEmail);
        Self {
            emails: Emails::new(&pool, emails, settings.email_claim),
            confirmed_orders: confirmation_email::orders(&pool, emails),
            labels: Labels::new(&pool, most(Consumer::ShippingLabel)),
            sales_counts: SalesCounts::new(variants.sales_counts, &pool, most(Consumer::Popularity)),
            pool,
            payments,
            carrier,
            mailer,
            settings,
        }
    }
}

/// How the work on a message ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// It is done.
    Now,
    /// It was done before, or there is nothing to do any more.
    Before,
}

/// How it ended otherwise.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It may work later.
    #[error("{0}")]
    Later(String),
    /// It will never work: a person has to look at it.
    #[error("{0}")]
    Never(String),
    /// Somebody else is working on this very message. Looked at again later; it isn't this attempt's fault.
    #[error("another worker is sending this email")]
    Busy,
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        Fault::Later(format!("Postgres: {error}"))
    }
}

impl From<StatementError> for Fault {
    fn from(error: StatementError) -> Self {
        Fault::Later(error.to_string())
    }
}

impl From<MailError> for Fault {
    fn from(error: MailError) -> Self {
        match error {
            MailError::Rejected(_) => Fault::Never(error.to_string()),
            MailError::Unavailable(_) => Fault::Later(error.to_string()),
        }
    }
}

/// What the event asks of the consumer.
async fn work(tools: &Tools, consumer: Consumer, message_id: Uuid, event: Event) -> Result<Done, Fault> {
    match (consumer, event) {
        (Consumer::ConfirmationEmail, Event::OrderPaid { order_id }) => {
            confirmation_email::send(tools, message_id, order_id).await
        }
        (Consumer::ShippingLabel, Event::OrderPaid { order_id }) => {
            shipping_label::ship(tools, message_id, order_id).await
        }
        (Consumer::Popularity, Event::OrderPaid { order_id }) => {
            count(tools, message_id, order_id, Direction::Sold).await
        }
        (Consumer::CancelledSales, Event::OrderCancelled { order_id }) => {
            count(tools, message_id, order_id, Direction::Cancelled).await
        }
        (Consumer::WelcomeEmail, Event::CustomerRegistered { customer_id }) => {
            welcome_email::send(tools, message_id, customer_id).await
        }
        _ => Err(Fault::Never(format!(
            "`{}` is nothing for this consumer",
            event.name()
        ))),
    }
}

async fn count(tools: &Tools, message_id: Uuid, order_id: Uuid, direction: Direction) -> Result<Done, Fault> {
    let counted = Counted {
        message_id,
        order_id,
        direction,
    };
    tools.sales_counts.count(counted).await
}
