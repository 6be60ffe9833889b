//! Paying an order, and recording a void.

use platform::postgres::{Counter, InstrumentedConnection};
use sqlx::types::time::OffsetDateTime;
use uuid::Uuid;

use super::{BoundKey, OutboxRow};
use crate::messages::Consumer;

/// A payment to record.
#[derive(Debug)]
pub struct Payment<'a> {
    pub order: Uuid,
    /// The gateway's id of the payment.
    pub payment_id: &'a str,
    pub at: OffsetDateTime,
    pub event: OutboxRow<'a>,
    /// The event's message id, whether the outbox publishes it or not.
    pub message_id: Uuid,
    /// Consumers whose work the caller does: they are recorded in the inbox, so that the worker skips them.
    pub done_by_caller: &'static [Consumer],
    /// The request's key with the response to store. The worker has none.
    pub response: Option<(BoundKey<'a>, &'a [u8])>,
}

/// Records the status, its event, the outbox row and the key's response in one statement. Returns whether the
/// order was still unpaid.
///
/// # Errors
/// When the statement fails.
pub async fn pay_order<C: Counter + Sync>(
    connection: &mut InstrumentedConnection<'_, C>,
    payment: Payment<'_>,
) -> Result<bool, sqlx::Error> {
    let consumers: Vec<String> = payment
        .done_by_caller
        .iter()
        .map(|consumer| consumer.as_str().to_owned())
        .collect();
    let paid = sqlx::query_scalar!(
        r#"with paid as (
               update orders set status = 'paid', payment_id = $2, updated_at = $3, put_back = 0
               where id = $1 and status = 'pending_payment'
               returning id
           ), event as (
               insert into order_events (order_id, id, at, event) select id, $4, $3, 'paid' from paid
           ), queued as (
               insert into outbox (message_id, event, body, trace_context)
               select $5::uuid, $6, $7, $8 from paid where $5 is not null
           ), done as (
               insert into inbox (message_id, consumer) select $9, unnest($10::text[]) from paid
           ), answered as (
               update idempotency_keys set answer_status = 201, answer = $11, locked_until = null
               from paid
               where owner = $12 and key = $13
           )
           select count(*) as "paid!" from paid"#,
        payment.order,
        payment.payment_id,
        payment.at,
        Uuid::now_v7(),
        payment.event.message_id,
        payment.event.event,
        payment.event.body,
        payment.event.trace_context,
        payment.message_id,
        &consumers,
        payment.response.map(|(_, body)| body),
        payment.response.map(|(key, _)| key.owner),
        payment.response.map(|(key, _)| key.key)
    );
    Ok(paid.fetch_one(connection).await? > 0)
}

/// Records that no money is held any more for an ended order. Returns whether it wasn't recorded before.
///
/// # Errors
/// When the statement fails.
pub async fn record_void<C: Counter + Sync>(
    connection: &mut InstrumentedConnection<'_, C>,
    order: Uuid,
    payment_id: Option<&str>,
) -> Result<bool, sqlx::Error> {
    let voided = sqlx::query!(
        "update orders set payment_id = coalesce($2, payment_id), payment_voided_at = now(), put_back = 0
         where id = $1 and payment_voided_at is null",
        order,
        payment_id
    );
    Ok(voided.execute(connection).await?.rows_affected() > 0)
}
