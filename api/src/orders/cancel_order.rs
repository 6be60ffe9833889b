//! `POST /v1/orders/{id}/cancel`: cancels an order that isn't shipping yet. Stock and coupon are returned in the same
//! transaction; the payment is voided after the commit.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use shop::messages::Event;
use shop::orders::{Cancellation, PendingEvent, order_reached};
use uuid::Uuid;

use super::order::{Order, Status, now};
use super::show_order::{Reader, read_order, unknown_order};
use super::{Orders, after_commit};
use crate::sessions::MaybeCustomer;
use crate::web::answer::Answer;
use crate::web::error::{ApiError, Problem};
use crate::web::guest_tokens::OrderToken;
use crate::web::query::NoParameters;
use crate::web::timings::{RequestTimings, Timings};
use crate::web::trace_context::TraceContext;

/// Cancels an order.
#[utoipa::path(
    post,
    path = "/v1/orders/{id}/cancel",
    tag = "Orders",
    security((), ("bearer" = [])),
    params(
        ("id" = Uuid, Path, description = "The order's id"),
        ("x-order-token" = Option<String>, Header, description = "A guest's order: `order_token` of the response that created it"),
    ),
    responses(
        (status = 200, description = "It is cancelled, now or before", body = Order),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`order_not_cancellable`: it is shipping already, or its payment failed", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn cancel_order(
    State(orders): State<Arc<Orders>>,
    timings: RequestTimings,
    customer: MaybeCustomer,
    token: OrderToken,
    TraceContext(trace_context): TraceContext,
    id: Result<Path<Uuid>, PathRejection>,
    _: NoParameters,
) -> Result<Answer, ApiError> {
    let Path(id) = id.map_err(|_| unknown_order())?;
    let reader = Reader::new(customer, token);
    let mut order = read(&orders, &timings, id, reader).await?;
    if matches!(order.status, Status::PendingPayment | Status::Paid) {
        cancel(&orders, &timings, &order, reader, trace_context).await?;
        order = read(&orders, &timings, id, reader).await?;
    }
    if order.status != Status::Cancelled {
        return Err(ApiError::Conflict {
            code: "order_not_cancellable",
            detail: match order.status {
                Status::Paid => {
                    "the parcel is being prepared; the order can no longer be cancelled".to_owned()
                }
                status => format!("the order is {}; it can no longer be cancelled", status.as_str()),
            },
        });
    }
    let body = serde_json::to_vec(&order).map_err(ApiError::internal)?;
    Ok(Answer::new(None, &body))
}

async fn read(orders: &Orders, timings: &Timings, id: Uuid, reader: Reader) -> Result<Order, ApiError> {
    let mut connection = orders.database.acquire(timings).await?;
    let order = read_order(&mut connection, id, Some(reader)).await?;
    order.ok_or_else(unknown_order)
}

/// Queues for the SKUs, because returning stock updates their rows.
async fn cancel(
    orders: &Orders,
    timings: &Timings,
    order: &Order,
    reader: Reader,
    trace_context: Option<String>,
) -> Result<(), ApiError> {
    let event = PendingEvent::new(Event::OrderCancelled { order_id: order.id }, trace_context);
    let cancellation = Cancellation {
        order: order.id,
        customer_id: reader.customer,
        token_hash: reader.token.as_ref().map(<[u8; 32]>::as_slice),
        at: now(),
        event: orders.events.row(&event),
    };
    let skus = order.items.iter().map(|line| line.sku.as_str());
    let turn = orders.sku_queue.acquire(skus).await?;
    let mut connection = orders.database.acquire(timings).await?;
    let cancelled = shop::orders::cancel_order(&mut connection, &cancellation).await?;
    drop((connection, turn));
    if let Some(cancelled) = cancelled {
        order_reached("cancelled");
        after_commit::finish_cancellation(orders, timings, order.id, cancelled, &event).await?;
    }
    Ok(())
}
