//! `POST /v1/orders/{id}/cancel`: an order that isn't on its way yet is called off. Stock and coupon come back with the
//! status; the money is let go after the commit.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use storefront::messages::Event;
use storefront::telemetry::order_reached;
use uuid::Uuid;

use super::events::Said;
use super::giving_back;
use super::order::{Order, Status, now};
use super::show_order::{Reader, read_order, unknown_order};
use crate::database::Session;
use crate::database::deadlock::{self, is_deadlock};
use crate::http::answer::Answer;
use crate::http::error::{ApiError, Problem};
use crate::http::identity::{MaybeCustomer, OrderToken};
use crate::http::query::Parameters;
use crate::http::timings::RequestTimings;
use crate::http::trace_context::TraceContext;
use crate::state::{App, AppState};

/// Call an order off.
#[utoipa::path(
    post,
    path = "/v1/orders/{id}/cancel",
    tag = "Orders",
    security((), ("bearer" = [])),
    params(
        ("id" = Uuid, Path, description = "The order's id"),
        ("x-order-token" = Option<String>, Header, description = "A guest's order: `order_token` of the answer that made it"),
    ),
    responses(
        (status = 200, description = "It is cancelled, now or already", body = Order),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`order_not_cancellable`: it is on its way, or its payment failed", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn cancel_order(
    State(app): State<AppState>,
    timings: RequestTimings,
    customer: MaybeCustomer,
    token: OrderToken,
    TraceContext(trace_context): TraceContext,
    id: Result<Path<Uuid>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Answer, ApiError> {
    Parameters::parse(query.as_deref())?.finish()?;
    let Path(id) = id.map_err(|_| unknown_order())?;
    let reader = Reader::new(customer, token);
    let mut session = app.database.session(&timings).await?;
    let said = Said::new(Event::OrderCancelled { order_id: id }, trace_context);
    if let Some(payment_id) = call_off(&app, &mut session, id, reader, &said).await? {
        drop(session);
        app.orders.events.committed(&said).await;
        giving_back::void(&app, &timings, id, payment_id).await?;
        session = app.database.session(&timings).await?;
    }
    let order = read_order(&mut session, id, Some(reader)).await?;
    drop(session);
    let order = order.ok_or_else(unknown_order)?;
    if order.status != Status::Cancelled {
        return Err(ApiError::Conflict {
            code: "order_not_cancellable",
            detail: match order.status {
                Status::Paid => "the parcel is being made ready; it can't be cancelled any more".to_owned(),
                status => format!("the order is {}; it can't be cancelled any more", status.as_str()),
            },
        });
    }
    let body = serde_json::to_vec(&order).map_err(ApiError::internal)?;
    Ok(Answer::new(None, &body))
}

/// Status, coupon and stock: all or nothing, begun again when a deadlock ends it. Returns what
/// [`record_cancelled`] does.
async fn call_off(
    app: &App,
    session: &mut Session<'_>,
    id: Uuid,
    reader: Reader,
    said: &Said,
) -> Result<Option<Option<String>>, sqlx::Error> {
    let mut tried = 1;
    loop {
        match call_off_once(app, session, id, reader, said).await {
            Err(error) if is_deadlock(&error) && tried < deadlock::ATTEMPTS => tried += 1,
            ended => return ended,
        }
    }
}

async fn call_off_once(
    app: &App,
    session: &mut Session<'_>,
    id: Uuid,
    reader: Reader,
    said: &Said,
) -> Result<Option<Option<String>>, sqlx::Error> {
    let mut transaction = session.begin().await?;
    let cancelled = record_cancelled(app, &mut transaction, id, reader, said).await?;
    if cancelled.is_some() {
        giving_back::give_stock_back(&mut transaction, id).await?;
        transaction.commit().await?;
        order_reached("cancelled");
    }
    Ok(cancelled)
}

/// The gateway's name for its payment, where it has one; `None` when nothing was cancelled.
async fn record_cancelled(
    app: &App,
    transaction: &mut Session<'_>,
    id: Uuid,
    reader: Reader,
    said: &Said,
) -> Result<Option<Option<String>>, sqlx::Error> {
    let row = app.orders.events.row(said);
    let cancelled = sqlx::query_scalar!(
        "with cancelled as (
             update orders set status = 'cancelled', updated_at = $4
             where id = $1 and (customer_id = $2 or token_hash = $3) and status in ('pending_payment', 'paid')
               and shipping_started_at is null
             returning id, coupon_code, payment_id
         ), coupon as (
             update coupons set uses = uses - 1 from cancelled where code = coupon_code
         ), event as (
             insert into order_events (order_id, id, at, event) select id, $5, $4, 'cancelled' from cancelled
         ), said as (
             insert into outbox (message_id, event, body, trace_context)
             select $6::uuid, $7, $8, $9 from cancelled where $6 is not null
         )
         select payment_id from cancelled",
        id,
        reader.customer,
        reader.token.as_ref().map(<[u8; 32]>::as_slice),
        now(),
        Uuid::now_v7(),
        row.message_id,
        row.event,
        row.body,
        row.trace_context
    );
    cancelled.fetch_optional(transaction).await
}
