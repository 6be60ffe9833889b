//! Welcomes a new customer by email.

use storefront::emails::Welcome;
use storefront::messages::Consumer;
use uuid::Uuid;

use super::inbox::{self, Mail};
use super::{Done, Fault, Tools};

const CONSUMER: Consumer = Consumer::WelcomeEmail;

/// Sends the welcome, once.
pub(super) async fn send(tools: &Tools, message_id: Uuid, customer_id: Uuid) -> Result<Done, Fault> {
    let write = async {
        let customer = sqlx::query!("select email, name from customers where id = $1", customer_id)
            .fetch_optional(&tools.pool)
            .await?
            .ok_or_else(|| Fault::Never(format!("customer {customer_id} doesn't exist")))?;
        Ok(Some(Mail {
            to: customer.email,
            cause: format!("{message_id}.welcome"),
            email: Welcome { name: customer.name }.email(),
        }))
    };
    inbox::once(tools, CONSUMER, message_id, None, write).await
}
