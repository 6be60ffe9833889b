//! Welcomes a new customer by email.

use shop::emails::Welcome;
use shop::messages::Consumer;
use uuid::Uuid;

use super::inbox::{self, OutgoingEmail};
use super::{ConsumerContext, HandlerError, HandlerOutcome};

const CONSUMER: Consumer = Consumer::WelcomeEmail;

/// Sends the welcome email, once.
pub(super) async fn send(
    context: &ConsumerContext,
    message_id: Uuid,
    customer_id: Uuid,
) -> Result<HandlerOutcome, HandlerError> {
    let compose = async {
        let customer = sqlx::query!("select email, name from customers where id = $1", customer_id)
            .fetch_optional(&context.pool)
            .await?
            .ok_or_else(|| HandlerError::Permanent(format!("customer {customer_id} doesn't exist")))?;
        Ok(Some(OutgoingEmail {
            to: customer.email,
            cause: format!("{message_id}.welcome"),
            email: Welcome { name: customer.name }.email(),
        }))
    };
    inbox::send_once(context, CONSUMER, message_id, None, compose).await
}
