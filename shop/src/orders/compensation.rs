//! Compensation: an order that ends without being shipped returns its stock, its coupon's use and its cart,
//! in the transaction that ends it. Its payment is voided afterwards, at the gateway.
//!
//! Each function is a transaction, retried after a deadlock. Those named `…_within` run
//! in the caller's transaction.

use platform::postgres::{Counter, InstrumentedConnection, is_deadlock};
use sqlx::types::time::OffsetDateTime;
use uuid::Uuid;

use super::coupon::release_coupon;
use super::stock::return_stock;
use super::{ATTEMPTS, BoundKey, OutboxRow};

/// Why an unpaid order fails.
#[derive(Debug, Clone, Copy)]
pub enum FailureReason<'a> {
    /// The bank declined, so there is nothing to void, which is recorded. The response is stored under the
    /// request's key.
    Declined(Option<BoundKey<'a>>),
    /// The gateway knows no payment, and the reservation expired at this time. If a retry has extended it
    /// since, nothing is changed.
    NotPaid(OffsetDateTime),
}

/// Fails an unpaid order. Its cart can be ordered again, under another key. Returns whether the order was
/// still unpaid.
///
/// # Errors
/// When a statement fails.
pub async fn fail_order<C: Counter + Sync>(
    connection: &mut InstrumentedConnection<'_, C>,
    order: Uuid,
    reason: FailureReason<'_>,
    at: OffsetDateTime,
) -> Result<bool, sqlx::Error> {
    let mut attempt = 1;
    loop {
        let ended = async {
            let mut transaction = connection.begin().await?;
            let failed = fail_order_within(&mut transaction, order, reason, at).await?;
            transaction.commit().await?;
            Ok(failed)
        };
        match ended.await {
            Err(error) if is_deadlock(&error) && attempt < ATTEMPTS => attempt += 1,
            ended => return ended,
        }
    }
}

/// See [`fail_order`].
///
/// # Errors
/// When a statement fails.
pub async fn fail_order_within<C: Counter + Sync>(
    transaction: &mut InstrumentedConnection<'_, C>,
    order: Uuid,
    reason: FailureReason<'_>,
    at: OffsetDateTime,
) -> Result<bool, sqlx::Error> {
    let (is_declined, key, reserved_until) = match reason {
        FailureReason::Declined(key) => (true, key, None),
        FailureReason::NotPaid(reserved_until) => (false, None, Some(reserved_until)),
    };
    let failed = sqlx::query_scalar!(
        "with failed as (
             update orders
             set status = 'payment_failed', cart_id = null, updated_at = $2, put_back = 0,
                 payment_voided_at = case when $3 then $2::timestamptz end
             where id = $1 and status = 'pending_payment' and ($4::timestamptz is null or reserved_until = $4)
             returning id, coupon_code
         ), event as (
             insert into order_events (order_id, id, at, event) select id, $5, $2, 'payment_failed' from failed
         ), answered as (
             update idempotency_keys set answer_status = 402, answer = '', locked_until = null
             from failed
             where owner = $6 and key = $7
         )
         select coupon_code from failed",
        order,
        at,
        is_declined,
        reserved_until,
        Uuid::now_v7(),
        key.map(|key| key.owner),
        key.map(|key| key.key)
    );
    let Some(coupon) = failed.fetch_optional(&mut *transaction).await? else {
        return Ok(false);
    };
    return_holdings(transaction, order, coupon.as_deref()).await?;
    Ok(true)
}

/// Deletes an unpaid order with its key, as if it had never been placed, because the gateway doesn't know its
/// payment token. Returns whether the order was still unpaid.
///
/// # Errors
/// When a statement fails.
pub async fn discard_order<C: Counter + Sync>(
    connection: &mut InstrumentedConnection<'_, C>,
    order: Uuid,
    key: BoundKey<'_>,
) -> Result<bool, sqlx::Error> {
    let mut attempt = 1;
    loop {
        let ended = async {
            let mut transaction = connection.begin().await?;
            let discarded = discard_order_within(&mut transaction, order, key).await?;
            transaction.commit().await?;
            Ok(discarded)
        };
        match ended.await {
            Err(error) if is_deadlock(&error) && attempt < ATTEMPTS => attempt += 1,
            ended => return ended,
        }
    }
}

/// See [`discard_order`].
///
/// # Errors
/// When a statement fails.
pub async fn discard_order_within<C: Counter + Sync>(
    transaction: &mut InstrumentedConnection<'_, C>,
    order: Uuid,
    key: BoundKey<'_>,
) -> Result<bool, sqlx::Error> {
    let pending = sqlx::query_scalar!(
        "select coupon_code from orders where id = $1 and status = 'pending_payment' for update",
        order
    );
    let Some(coupon) = pending.fetch_optional(&mut *transaction).await? else {
        return Ok(false);
    };
    let freed = sqlx::query!(
        "delete from idempotency_keys where owner = $2 and key = $3 and order_id = $1",
        order,
        key.owner,
        key.key
    );
    freed.execute(&mut *transaction).await?;
    return_holdings(transaction, order, coupon.as_deref()).await?;
    let deleted = sqlx::query!("delete from orders where id = $1", order);
    deleted.execute(transaction).await?;
    Ok(true)
}

/// A cancellation, with its event.
#[derive(Debug)]
pub struct Cancellation<'a> {
    pub order: Uuid,
    /// The customer who placed it…
    pub customer_id: Option<Uuid>,
    /// … or the SHA-256 of a guest's order token.
    pub token_hash: Option<&'a [u8]>,
    pub at: OffsetDateTime,
    pub event: OutboxRow<'a>,
}

/// An order that was just cancelled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cancelled {
    /// The gateway's id of its payment, if known.
    pub payment_id: Option<String>,
}

/// Cancels an order that isn't shipping yet. `None` when nothing was changed.
///
/// # Errors
/// When a statement fails.
pub async fn cancel_order<C: Counter + Sync>(
    connection: &mut InstrumentedConnection<'_, C>,
    cancellation: &Cancellation<'_>,
) -> Result<Option<Cancelled>, sqlx::Error> {
    let mut attempt = 1;
    loop {
        match cancel_once(connection, cancellation).await {
            Err(error) if is_deadlock(&error) && attempt < ATTEMPTS => attempt += 1,
            ended => return ended,
        }
    }
}

async fn cancel_once<C: Counter + Sync>(
    connection: &mut InstrumentedConnection<'_, C>,
    cancellation: &Cancellation<'_>,
) -> Result<Option<Cancelled>, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let cancelled = sqlx::query!(
        "with cancelled as (
             update orders set status = 'cancelled', updated_at = $4, put_back = 0
             where id = $1 and (customer_id = $2 or token_hash = $3) and status in ('pending_payment', 'paid')
               and shipping_started_at is null
             returning id, coupon_code, payment_id
         ), event as (
             insert into order_events (order_id, id, at, event) select id, $5, $4, 'cancelled' from cancelled
         ), queued as (
             insert into outbox (message_id, event, body, trace_context)
             select $6::uuid, $7, $8, $9 from cancelled where $6 is not null
         )
         select coupon_code, payment_id from cancelled",
        cancellation.order,
        cancellation.customer_id,
        cancellation.token_hash,
        cancellation.at,
        Uuid::now_v7(),
        cancellation.event.message_id,
        cancellation.event.event,
        cancellation.event.body,
        cancellation.event.trace_context
    );
    let Some(cancelled) = cancelled.fetch_optional(&mut *transaction).await? else {
        return Ok(None);
    };
    return_holdings(
        &mut transaction,
        cancellation.order,
        cancelled.coupon_code.as_deref(),
    )
    .await?;
    transaction.commit().await?;
    Ok(Some(Cancelled {
        payment_id: cancelled.payment_id,
    }))
}

/// Returns the stock, then the coupon's use (lock order).
async fn return_holdings<C: Counter + Sync>(
    transaction: &mut InstrumentedConnection<'_, C>,
    order: Uuid,
    coupon: Option<&str>,
) -> Result<(), sqlx::Error> {
    return_stock(transaction, order).await?;
    if let Some(coupon) = coupon {
        release_coupon(transaction, coupon).await?;
    }
    Ok(())
}
