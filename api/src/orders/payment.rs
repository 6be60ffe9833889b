//! The payment of a reserved order: authorizes it at the gateway, and records the outcome. The transitions are in
//! `shop/src/orders/`, which the worker uses too.
//!
//! An order is settled once: a later attempt, by a client's retry or the worker's reconciliation, changes nothing and
//! is `PaymentOutcome::AlreadySettled`. Read next: `after_commit.rs` for what a paid order triggers.

use shop::messages::Event;
use shop::orders::{
    BoundKey, FailureReason, Payment, PendingEvent, discard_order, discard_order_within, fail_order,
    fail_order_within, order_reached, pay_order,
};
use shop::third_parties::payment::{Authorization, AuthorizationOutcome};
use uuid::Uuid;

use super::Orders;
use super::idempotency::RequestKey;
use super::order::{Order, Status, TimelineEvent, now};
use crate::database::InstrumentedConnection;
use crate::web::error::ApiError;
use crate::web::timings::Timings;

/// How often a connection is requested once the payment is authorized. Each wait has a timeout.
const CONNECTION_ATTEMPTS: u32 = 5;

/// The parts of an order request that its payment needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct PaymentRequest<'a> {
    pub(super) key: &'a RequestKey,
    /// The gateway's token for the payment method.
    pub(super) payment_token: &'a str,
    /// W3C trace context, for the order's event.
    pub(super) trace_context: Option<&'a str>,
}

/// The outcome of authorizing a payment.
#[derive(Debug)]
pub(super) enum PaymentOutcome {
    /// Paid, with its event committed.
    Paid {
        order: Box<Order>,
        body: Vec<u8>,
        payment_id: String,
        event: PendingEvent,
    },
    /// Declined by the bank: the order has failed, and its stock was returned.
    Declined,
    /// The gateway doesn't know the payment token: the order was deleted.
    Discarded,
    /// The gateway didn't respond. The worker reconciles the order later.
    Unknown(Box<Order>),
    /// Another request, or the worker, settled it meanwhile.
    AlreadySettled { order: Uuid, payment_id: Option<String> },
}

/// Authorizes the payment of a reserved order without holding a connection, and records the outcome.
///
/// # Errors
/// When a statement fails.
pub(super) async fn pay(
    orders: &Orders,
    timings: &Timings,
    request: PaymentRequest<'_>,
    order: Order,
) -> Result<PaymentOutcome, ApiError> {
    let authorized = authorize(orders, request, &order).await;
    match authorized {
        AuthorizationOutcome::Declined { .. } | AuthorizationOutcome::UnknownToken => {
            compensate(orders, timings, request, &order, authorized).await
        }
        AuthorizationOutcome::Authorized { .. } | AuthorizationOutcome::Unknown => {
            let mut connection = acquire_with_retry(orders, timings).await?;
            record(orders, &mut connection, request, order, authorized).await
        }
    }
}

/// Compensation: returns the stock of a declined order. It queues for the SKUs, because this updates their rows.
async fn compensate(
    orders: &Orders,
    timings: &Timings,
    request: PaymentRequest<'_>,
    order: &Order,
    authorized: AuthorizationOutcome,
) -> Result<PaymentOutcome, ApiError> {
    let skus = order.items.iter().map(|line| line.sku.as_str());
    let _turn = orders.sku_queue.acquire_for_compensation(skus).await?;
    let mut connection = acquire_with_retry(orders, timings).await?;
    if authorized == AuthorizationOutcome::UnknownToken {
        let is_discarded = discard_order(&mut connection, order.id, bound_key(request)).await?;
        return Ok(discarded(order.id, is_discarded));
    }
    let reason = FailureReason::Declined(Some(bound_key(request)));
    let has_failed = fail_order(&mut connection, order.id, reason, now()).await?;
    if has_failed {
        order_reached("payment_failed");
    }
    Ok(declined(order.id, has_failed))
}

/// Sends the authorization with the order's id as idempotency key, so that a repeated one finds the same payment.
pub(super) async fn authorize(
    orders: &Orders,
    request: PaymentRequest<'_>,
    order: &Order,
) -> AuthorizationOutcome {
    let authorization = Authorization {
        order: order.id,
        total: order.totals.total,
        payment_token: request.payment_token,
    };
    orders.payments.authorize(authorization).await
}

/// Retries, because the payment is authorized: a 503 now would leave an order for the worker to reconcile.
async fn acquire_with_retry<'t>(
    orders: &Orders,
    timings: &'t Timings,
) -> Result<InstrumentedConnection<'t>, sqlx::Error> {
    let mut attempt = 1;
    loop {
        match orders.database.acquire(timings).await {
            Err(sqlx::Error::PoolTimedOut) if attempt < CONNECTION_ATTEMPTS => attempt += 1,
            connection => return connection,
        }
    }
}

/// Records the gateway's result, in the connection's transaction if it has one.
///
/// # Errors
/// When a statement fails.
pub(super) async fn record(
    orders: &Orders,
    connection: &mut InstrumentedConnection<'_>,
    request: PaymentRequest<'_>,
    order: Order,
    authorized: AuthorizationOutcome,
) -> Result<PaymentOutcome, ApiError> {
    match authorized {
        AuthorizationOutcome::Authorized { payment_id } => {
            record_paid(orders, connection, request, order, payment_id).await
        }
        AuthorizationOutcome::Declined { .. } => {
            let reason = FailureReason::Declined(Some(bound_key(request)));
            let has_failed = fail_order_within(connection, order.id, reason, now()).await?;
            Ok(declined(order.id, has_failed))
        }
        AuthorizationOutcome::UnknownToken => {
            let is_discarded = discard_order_within(connection, order.id, bound_key(request)).await?;
            Ok(discarded(order.id, is_discarded))
        }
        AuthorizationOutcome::Unknown => {
            request.key.unlock(connection).await?;
            Ok(PaymentOutcome::Unknown(Box::new(order)))
        }
    }
}

/// The new status, the event and the key's response, in one statement.
async fn record_paid(
    orders: &Orders,
    connection: &mut InstrumentedConnection<'_>,
    request: PaymentRequest<'_>,
    mut order: Order,
    payment_id: String,
) -> Result<PaymentOutcome, ApiError> {
    let paid_at = now();
    order.status = Status::Paid;
    order.timeline.push(TimelineEvent {
        event: "paid".into(),
        at: paid_at,
    });
    let body = serde_json::to_vec(&order).map_err(ApiError::internal)?;
    let event = PendingEvent::new(
        Event::OrderPaid { order_id: order.id },
        request.trace_context.map(str::to_owned),
    );
    let payment = Payment {
        order: order.id,
        payment_id: &payment_id,
        at: paid_at,
        event: orders.events.row(&event),
        message_id: event.message_id,
        done_by_caller: orders.checkout.handled_in_request(),
        response: Some((bound_key(request), &body)),
    };
    if !pay_order(connection, payment).await? {
        return Ok(PaymentOutcome::AlreadySettled {
            order: order.id,
            payment_id: Some(payment_id),
        });
    }
    order_reached("paid");
    Ok(PaymentOutcome::Paid {
        order: Box::new(order),
        body,
        payment_id,
        event,
    })
}

fn bound_key(request: PaymentRequest<'_>) -> BoundKey<'_> {
    BoundKey {
        owner: &request.key.owner,
        key: &request.key.key,
    }
}

fn declined(order: Uuid, has_failed: bool) -> PaymentOutcome {
    match has_failed {
        true => PaymentOutcome::Declined,
        false => PaymentOutcome::AlreadySettled {
            order,
            payment_id: None,
        },
    }
}

fn discarded(order: Uuid, is_discarded: bool) -> PaymentOutcome {
    match is_discarded {
        true => PaymentOutcome::Discarded,
        false => PaymentOutcome::AlreadySettled {
            order,
            payment_id: None,
        },
    }
}
