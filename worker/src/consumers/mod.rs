//! The consumers. Each handles one event, from a queue of its own.
//!
//! A message may be delivered more than once (at-least-once delivery): after a crash, a lost acknowledgement,
//! or a repeated publication. So a consumer inserts the message's id into `inbox` in the transaction of its
//! work (idempotent consumer). Its calls to third parties are either idempotent (the label by its key, the
//! capture by the payment) or guarded by a lease (the emails, see `inbox.rs`). Read next: `consume_loop.rs`
//! for a message's path, then one consumer.

mod acks;
mod confirmation_email;
mod consume_loop;
mod inbox;
pub mod message;
mod sales_counts;
mod shipping_label;
mod welcome_email;

use platform::postgres::InstrumentedPool;
use shop::messages::{Consumer, Event};
use shop::third_parties::carrier::Carrier;
use shop::third_parties::mail::{MailError, Mailer};
use shop::third_parties::payment::PaymentGateway;
use techniques::Selection;
use uuid::Uuid;

use crate::batch::StatementError;
use crate::settings::ConsumerSettings;

pub use consume_loop::ConsumeLoop;
use inbox::EmailInbox;
use message::Message;
use sales_counts::{Direction, SalesCounts, SalesMessage};
use shipping_label::LabelStatements;

/// The dependencies of the consumers.
#[derive(Debug, Clone)]
pub struct ConsumerContext {
    pub pool: InstrumentedPool,
    pub payments: PaymentGateway,
    pub carrier: Carrier,
    pub mailer: Mailer,
    pub settings: ConsumerSettings,
    emails: EmailInbox,
    confirmed_orders: confirmation_email::OrderReader,
    labels: LabelStatements,
    sales_counts: SalesCounts,
}

/// The clients of the third parties.
#[derive(Debug, Clone)]
pub struct ThirdParties {
    pub payments: PaymentGateway,
    pub carrier: Carrier,
    pub mailer: Mailer,
}

impl ConsumerContext {
    /// Doesn't connect yet.
    pub fn new(
        pool: InstrumentedPool,
        third_parties: ThirdParties,
        settings: ConsumerSettings,
        selection: &Selection,
    ) -> Self {
        let ThirdParties {
            payments,
            carrier,
            mailer,
        } = third_parties;
        let max_batch = |consumer| usize::from(settings.in_flight(consumer));
        let max_emails = max_batch(Consumer::ConfirmationEmail);
        Self {
            emails: EmailInbox::new(&pool, max_emails, settings.email_claim),
            confirmed_orders: confirmation_email::order_reader(&pool, max_emails),
            labels: LabelStatements::new(&pool, max_batch(Consumer::ShippingLabel)),
            sales_counts: SalesCounts::select(selection.sales_counts, &pool, max_batch(Consumer::Popularity)),
            pool,
            payments,
            carrier,
            mailer,
            settings,
        }
    }
}

/// How a message was handled successfully.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandlerOutcome {
    Done,
    /// It was handled before, or there is nothing left to do.
    AlreadyDone,
}

/// Why a message wasn't handled.
#[derive(Debug, thiserror::Error)]
pub enum HandlerError {
    /// A retry may succeed.
    #[error("{0}")]
    Retryable(String),
    /// No retry can succeed, so an operator has to look at the message.
    #[error("{0}")]
    Permanent(String),
    /// Another worker is handling the same message. Retried later, without counting as a failed attempt.
    #[error("another worker is sending this email")]
    Busy,
}

impl From<sqlx::Error> for HandlerError {
    fn from(error: sqlx::Error) -> Self {
        HandlerError::Retryable(format!("Postgres: {error}"))
    }
}

impl From<StatementError> for HandlerError {
    fn from(error: StatementError) -> Self {
        HandlerError::Retryable(error.to_string())
    }
}

impl From<MailError> for HandlerError {
    fn from(error: MailError) -> Self {
        match error {
            MailError::Rejected(_) => HandlerError::Permanent(error.to_string()),
            MailError::Unavailable(_) => HandlerError::Retryable(error.to_string()),
        }
    }
}

/// Dispatches an event to the consumer's handler.
async fn handle_event(
    context: &ConsumerContext,
    consumer: Consumer,
    message_id: Uuid,
    event: Event,
) -> Result<HandlerOutcome, HandlerError> {
    match (consumer, event) {
        (Consumer::ConfirmationEmail, Event::OrderPaid { order_id }) => {
            confirmation_email::send(context, message_id, order_id).await
        }
        (Consumer::ShippingLabel, Event::OrderPaid { order_id }) => {
            shipping_label::ship(context, message_id, order_id).await
        }
        (Consumer::Popularity, Event::OrderPaid { order_id }) => {
            count_sales(context, message_id, order_id, Direction::Sold).await
        }
        (Consumer::CancelledSales, Event::OrderCancelled { order_id }) => {
            count_sales(context, message_id, order_id, Direction::Cancelled).await
        }
        (Consumer::WelcomeEmail, Event::CustomerRegistered { customer_id }) => {
            welcome_email::send(context, message_id, customer_id).await
        }
        _ => Err(HandlerError::Permanent(format!(
            "this consumer doesn't handle `{}`",
            event.name()
        ))),
    }
}

async fn count_sales(
    context: &ConsumerContext,
    message_id: Uuid,
    order_id: Uuid,
    direction: Direction,
) -> Result<HandlerOutcome, HandlerError> {
    let message = SalesMessage {
        message_id,
        order_id,
        direction,
    };
    context.sales_counts.count(message).await
}
