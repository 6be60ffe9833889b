//! What happens after the commit that changed an order: its event is published, the arm of `checkout` does its side work,
//! and a payment that the order no longer needs is voided. If the process dies here, the worker does what is left, with the
//! optimized arms.

use shop::orders::{Cancelled, PendingEvent};
use uuid::Uuid;

use super::idempotency::RequestKey;
use super::order::{Order, Status};
use super::payment::PaymentOutcome;
use super::response::OrderOutcome;
use super::void::void_payment;
use super::{Orders, show_order};
use crate::web::error::ApiError;
use crate::web::timings::Timings;

/// After a payment.
///
/// # Errors
/// When a statement fails.
pub(super) async fn finish_payment(
    orders: &Orders,
    timings: &Timings,
    key: &RequestKey,
    outcome: PaymentOutcome,
) -> Result<OrderOutcome, ApiError> {
    match outcome {
        PaymentOutcome::Paid {
            order,
            body,
            payment_id,
            event,
        } => {
            orders.events.after_commit(&event).await;
            orders
                .checkout
                .after_payment(orders, timings, &order, &payment_id)
                .await;
            Ok(OrderOutcome::Placed {
                order: (order.id, order.token_hash),
                body,
            })
        }
        PaymentOutcome::Declined => Ok(OrderOutcome::Declined),
        PaymentOutcome::Discarded => Ok(OrderOutcome::UnknownPaymentToken),
        PaymentOutcome::Unknown(order) => Ok(OrderOutcome::Pending {
            order: (order.id, order.token_hash),
            body: serde_json::to_vec(&order).map_err(ApiError::internal)?,
        }),
        PaymentOutcome::AlreadySettled { order, payment_id } => {
            let mut connection = orders.database.acquire(timings).await?;
            let order = show_order::read_order(&mut connection, order, None).await?;
            drop(connection);
            let order = order.ok_or_else(|| ApiError::internal("an order was discarded twice"))?;
            if matches!(order.status, Status::PaymentFailed | Status::Cancelled) && payment_id.is_some() {
                void_payment(orders, timings, order.id, payment_id).await?;
            }
            store_settled_response(orders, timings, key, order).await
        }
    }
}

/// Stores, under this request's key, the response for an order that another request or the worker has settled.
///
/// # Errors
/// When the statement fails.
pub(super) async fn store_settled_response(
    orders: &Orders,
    timings: &Timings,
    key: &RequestKey,
    order: Order,
) -> Result<OrderOutcome, ApiError> {
    let mut connection = orders.database.acquire(timings).await?;
    if order.status == Status::PaymentFailed {
        key.store_response(&mut connection, 402, &[]).await?;
        return Ok(OrderOutcome::Declined);
    }
    let body = serde_json::to_vec(&order).map_err(ApiError::internal)?;
    key.store_response(&mut connection, 201, &body).await?;
    Ok(OrderOutcome::Placed {
        order: (order.id, order.token_hash),
        body,
    })
}

/// After a cancellation.
///
/// # Errors
/// When the statement that records the void fails.
pub(super) async fn finish_cancellation(
    orders: &Orders,
    timings: &Timings,
    order: Uuid,
    cancelled: Cancelled,
    event: &PendingEvent,
) -> Result<(), ApiError> {
    orders.events.after_commit(event).await;
    void_payment(orders, timings, order, cancelled.payment_id).await
}
