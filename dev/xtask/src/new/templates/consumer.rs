//! Handles each paid order once. Say here what is done with it, and why that may be repeated.
//!
//! Its writes to Postgres belong in the transaction that records the message in `inbox` (idempotent consumer). A call to
//! a third party can't be rolled back, so it needs an idempotency key. It belongs before the transaction, which holds a
//! connection.

use shop::messages::Consumer;
use uuid::Uuid;

use super::{ConsumerContext, HandlerError, HandlerOutcome, inbox};

const CONSUMER: Consumer = Consumer::__Name__;

/// Handles a paid order, once.
pub(super) async fn handle(
    context: &ConsumerContext,
    message_id: Uuid,
    order_id: Uuid,
) -> Result<HandlerOutcome, HandlerError> {
    let mut connection = context.pool.acquire().await?;
    let mut transaction = connection.begin().await?;
    if !inbox::record(&mut *transaction, CONSUMER, message_id).await? {
        return Ok(HandlerOutcome::AlreadyDone);
    }
    // The statements that do the work replace this line.
    tracing::debug!(%order_id, consumer = CONSUMER.as_str(), "handled an order");
    transaction.commit().await?;
    Ok(HandlerOutcome::Done)
}
