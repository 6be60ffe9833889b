//! What becomes of an order when its payment is known, or isn't: paid, failed, withdrawn, or left for later.
//!
//! An order changes its status once, since each change names the status before: whoever comes second, be it a retry of
//! the client or the worker's sweeper, changes nothing. Read next: `checkout/` and `events/`, which a paid order goes to.

use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use storefront::messages::Event;
use storefront::third_parties::payment::{Authorization, Authorized, Changed, Found, PaymentStatus};
use uuid::Uuid;

use super::events::Said;
use super::order::{Order, Status, TimelineEvent, now};
use super::place_order::PlaceOrder;
use super::show_order;
use crate::database::Session;
use crate::database::deadlock::{self, is_deadlock};
use crate::http::error::ApiError;
use crate::http::timings::Timings;
use crate::state::App;

/// How often a connection is waited for once the money is held. Its wait is bounded by a setting, each time.
const PATIENCE: u32 = 5;

/// How an order stands after its payment was asked for.
#[derive(Debug)]
pub(super) enum Settled {
    /// It is paid, and says so.
    Paid {
        order: Box<Order>,
        body: Vec<u8>,
        payment_id: String,
        said: Said,
    },
    /// The bank said no: everything was given back.
    Declined,
    /// The gateway knows no such token: there is no order.
    Withdrawn,
    /// Nobody knows. It settles later.
    Unknown(Box<Order>),
    /// Somebody else settled it meanwhile.
    Elsewhere { order: Uuid, payment_id: Option<String> },
}

/// Authorizes an order that is reserved, with no connection held, and settles it.
///
/// # Errors
/// 402 when it is declined; 400 for a token that the gateway doesn't know.
pub(super) async fn pay(
    app: &App,
    timings: &Timings,
    request: &PlaceOrder,
    order: Order,
) -> Result<Response, ApiError> {
    let outcome = authorize(app, request, &order).await;
    let mut session = patiently(app, timings).await?;
    let settled = match outcome {
        Authorized::Declined { .. } => come_to_nothing(&mut session, request, &order, End::Declined).await?,
        Authorized::UnknownToken => come_to_nothing(&mut session, request, &order, End::Withdrawn).await?,
        Authorized::Authorized { .. } | Authorized::Unknown => {
            record(app, &mut session, request, order, outcome).await?
        }
    };
    drop(session);
    answer(app, timings, request, settled).await
}

/// Goes on with an order whose answer was lost: it is paid for, or was settled meanwhile.
///
/// # Errors
/// As [`pay`].
pub(super) async fn resume(
    app: &App,
    timings: &Timings,
    request: &PlaceOrder,
    order: Order,
) -> Result<Response, ApiError> {
    match order.status {
        Status::PendingPayment => pay(app, timings, request, order).await,
        _ => tell_settled(app, timings, request, order).await,
    }
}

/// Asks the gateway. Under the order's id, so that asking again finds the same payment.
pub(super) async fn authorize(app: &App, request: &PlaceOrder, order: &Order) -> Authorized {
    let authorization = Authorization {
        order: order.id,
        total: order.totals.total,
        payment_token: request.order.payment_token.as_str(),
    };
    app.orders.payments.authorize(authorization).await
}

/// The money is held: a 503 for want of a connection would leave a paid order to be found by the sweeper.
async fn patiently<'t>(app: &App, timings: &'t Timings) -> Result<Session<'t>, sqlx::Error> {
    let mut tried = 1;
    loop {
        match app.database.session(timings).await {
            Err(sqlx::Error::PoolTimedOut) if tried < PATIENCE => tried += 1,
            session => return session,
        }
    }
}

/// Writes down what the gateway said.
///
/// # Errors
/// When a statement fails.
pub(super) async fn record(
    app: &App,
    session: &mut Session<'_>,
    request: &PlaceOrder,
    order: Order,
    outcome: Authorized,
) -> Result<Settled, ApiError> {
    match outcome {
        Authorized::Authorized { payment_id } => record_paid(app, session, request, order, payment_id).await,
        Authorized::Declined { .. } => Ok(record_declined(session, request, &order).await?),
        Authorized::UnknownToken => Ok(withdraw(session, request, &order).await?),
        Authorized::Unknown => {
            request.key.unlock(session).await?;
            Ok(Settled::Unknown(Box::new(order)))
        }
    }
}

/// Paid, the event, the key's answer: one statement.
async fn record_paid(
    app: &App,
    session: &mut Session<'_>,
    request: &PlaceOrder,
    mut order: Order,
    payment_id: String,
) -> Result<Settled, ApiError> {
    let paid_at = now();
    order.status = Status::Paid;
    order.timeline.push(TimelineEvent {
        event: "paid".into(),
        at: paid_at,
    });
    let body = serde_json::to_vec(&order).map_err(ApiError::internal)?;
    let said = Said::new(
        Event::OrderPaid { order_id: order.id },
        request.trace_context.clone(),
    );
    let row = app.orders.events.row(&said);
    let consumers: Vec<String> = app
        .orders
        .checkout
        .does_itself()
        .iter()
        .map(|of| of.as_str().to_owned())
        .collect();
    let paid = sqlx::query_scalar!(
        r#"with paid as (
               update orders set status = 'paid', payment_id = $2, updated_at = $3
               where id = $1 and status = 'pending_payment'
               returning id
           ), event as (
               insert into order_events (order_id, id, at, event) select id, $4, $3, 'paid' from paid
           ), said as (
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
        order.id,
        payment_id,
        paid_at,
        Uuid::now_v7(),
        row.message_id,
        row.event,
        row.body,
        row.trace_context,
        said.message_id,
        &consumers,
        body,
        request.key.owner.as_slice(),
        request.key.key
    );
    if paid.fetch_one(session).await? == 0 {
        return Ok(Settled::Elsewhere {
            order: order.id,
            payment_id: Some(payment_id),
        });
    }
    Ok(Settled::Paid {
        order: Box::new(order),
        body,
        payment_id,
        said,
    })
}

/// How an order that isn't paid comes to nothing.
#[derive(Debug, Clone, Copy)]
enum End {
    /// [`record_declined`].
    Declined,
    /// [`withdraw`].
    Withdrawn,
}

/// Several statements that belong together, begun again when a deadlock ends them.
async fn come_to_nothing(
    session: &mut Session<'_>,
    request: &PlaceOrder,
    order: &Order,
    end: End,
) -> Result<Settled, sqlx::Error> {
    let mut tried = 1;
    loop {
        match come_to_nothing_once(session, request, order, end).await {
            Err(error) if is_deadlock(&error) && tried < deadlock::ATTEMPTS => tried += 1,
            settled => return settled,
        }
    }
}

async fn come_to_nothing_once(
    session: &mut Session<'_>,
    request: &PlaceOrder,
    order: &Order,
    end: End,
) -> Result<Settled, sqlx::Error> {
    let mut transaction = session.begin().await?;
    let settled = match end {
        End::Declined => record_declined(&mut transaction, request, order).await?,
        End::Withdrawn => withdraw(&mut transaction, request, order).await?,
    };
    transaction.commit().await?;
    Ok(settled)
}

/// Failed for good. The cart is let go, so that it can be ordered again, under another key.
async fn record_declined(
    session: &mut Session<'_>,
    request: &PlaceOrder,
    order: &Order,
) -> Result<Settled, sqlx::Error> {
    let failed = sqlx::query_scalar!(
        r#"with failed as (
               update orders set status = 'payment_failed', cart_id = null, updated_at = $2
               where id = $1 and status = 'pending_payment'
               returning id, coupon_code
           ), coupon as (
               update coupons set uses = uses - 1 from failed where code = coupon_code
           ), event as (
               insert into order_events (order_id, id, at, event) select id, $3, $2, 'payment_failed' from failed
           ), answered as (
               update idempotency_keys set answer_status = 402, answer = '', locked_until = null
               from failed
               where owner = $4 and key = $5
           )
           select count(*) as "failed!" from failed"#,
        order.id,
        now(),
        Uuid::now_v7(),
        request.key.owner.as_slice(),
        request.key.key
    );
    if failed.fetch_one(&mut *session).await? == 0 {
        return Ok(Settled::Elsewhere {
            order: order.id,
            payment_id: None,
        });
    }
    give_stock_back(session, order.id).await?;
    Ok(Settled::Declined)
}

/// As if it had never been, the key included.
async fn withdraw(
    session: &mut Session<'_>,
    request: &PlaceOrder,
    order: &Order,
) -> Result<Settled, sqlx::Error> {
    let is_pending = sqlx::query_scalar!(
        "select id from orders where id = $1 and status = 'pending_payment' for update",
        order.id
    );
    if is_pending.fetch_optional(&mut *session).await?.is_none() {
        return Ok(Settled::Elsewhere {
            order: order.id,
            payment_id: None,
        });
    }
    // The coupon before the stock, as everywhere.
    let withdrawn = sqlx::query!(
        "with coupon as (update coupons set uses = uses - 1 where code = $2)
         delete from idempotency_keys where owner = $3 and key = $4 and order_id = $1",
        order.id,
        order.coupon,
        request.key.owner.as_slice(),
        request.key.key
    );
    withdrawn.execute(&mut *session).await?;
    give_stock_back(session, order.id).await?;
    let gone = sqlx::query!("delete from orders where id = $1", order.id);
    gone.execute(session).await?;
    Ok(Settled::Withdrawn)
}

/// Puts the units of an order back, in the transaction that ends the order: its status changes once, so they come back
/// once. Rows are locked in the order of their ids, as everybody does.
///
/// # Errors
/// When the statement fails.
pub(super) async fn give_stock_back(session: &mut Session<'_>, order: Uuid) -> Result<(), sqlx::Error> {
    let given_back = sqlx::query!(
        "with lines as (
             select variant_id, sum(quantity)::int as quantity from order_lines where order_id = $1 group by variant_id
         ), given_back as materialized (
             select variants.id, lines.quantity
             from lines
             join variants on variants.id = lines.variant_id
             order by variants.id
             for no key update of variants
         )
         update variants set stock_quantity = stock_quantity + given_back.quantity
         from given_back
         where variants.id = given_back.id",
        order
    );
    given_back.execute(session).await?;
    Ok(())
}

/// Tells the client, and everybody whom a paid order concerns. Everything is committed by now.
///
/// # Errors
/// 402 when it was declined; 400 for a token that the gateway doesn't know.
pub(super) async fn answer(
    app: &App,
    timings: &Timings,
    request: &PlaceOrder,
    settled: Settled,
) -> Result<Response, ApiError> {
    match settled {
        Settled::Paid {
            order,
            body,
            payment_id,
            said,
        } => {
            app.orders.events.committed(&said).await;
            app.orders
                .checkout
                .after_payment(app, timings, &order, &payment_id)
                .await;
            tell(app, request, order.id, StatusCode::CREATED, body)
        }
        Settled::Declined => Err(ApiError::Declined),
        Settled::Withdrawn => Err(ApiError::parameter(
            "payment_token",
            "is unknown to the payment gateway; nothing was ordered",
        )),
        Settled::Unknown(order) => {
            let body = serde_json::to_vec(&order).map_err(ApiError::internal)?;
            tell(app, request, order.id, StatusCode::ACCEPTED, body)
        }
        Settled::Elsewhere { order, payment_id } => {
            let mut session = app.database.session(timings).await?;
            let order = show_order::read_order(&mut session, order, None).await?;
            drop(session);
            let order = order.ok_or_else(|| ApiError::internal("an order was withdrawn twice"))?;
            if matches!(order.status, Status::PaymentFailed | Status::Cancelled) && payment_id.is_some() {
                void(app, timings, order.id, payment_id).await?;
            }
            tell_settled(app, timings, request, order).await
        }
    }
}

/// An order that was settled by somebody else: the answer is kept under the request's key.
async fn tell_settled(
    app: &App,
    timings: &Timings,
    request: &PlaceOrder,
    order: Order,
) -> Result<Response, ApiError> {
    let mut session = app.database.session(timings).await?;
    match order.status {
        Status::PaymentFailed => {
            request.key.keep_answer(&mut session, 402, &[]).await?;
            Err(ApiError::Declined)
        }
        _ => {
            let body = serde_json::to_vec(&order).map_err(ApiError::internal)?;
            request.key.keep_answer(&mut session, 201, &body).await?;
            tell(app, request, order.id, StatusCode::CREATED, body)
        }
    }
}

/// The kept answer.
///
/// # Errors
/// When it can't be told, which is a fault of ours.
pub(super) fn replay(
    app: &App,
    request: &PlaceOrder,
    order: Uuid,
    status: i16,
    body: &[u8],
) -> Result<Response, ApiError> {
    let mut response = match status {
        402 => ApiError::Declined.into_response(),
        _ => tell(app, request, order, StatusCode::CREATED, body.to_vec())?,
    };
    let replayed = HeaderName::from_static("idempotency-replayed");
    response
        .headers_mut()
        .insert(replayed, HeaderValue::from_static("true"));
    Ok(response)
}

/// The order; a guest's with the token that opens it. The token is no part of what is kept: it can be made again.
fn tell(
    app: &App,
    request: &PlaceOrder,
    order: Uuid,
    status: StatusCode,
    mut body: Vec<u8>,
) -> Result<Response, ApiError> {
    if request.customer.is_none() {
        let closed = body.pop();
        debug_assert_eq!(closed, Some(b'}'), "an order is a JSON object");
        body.extend_from_slice(
            format!(",\"order_token\":\"{}\"}}", app.orders.tokens.of(order).text()).as_bytes(),
        );
    }
    let location = HeaderValue::try_from(format!("/v1/orders/{order}")).map_err(ApiError::internal)?;
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (LOCATION, location),
    ];
    Ok((status, headers, body).into_response())
}

/// How long a void is waited for; the worker goes on with what isn't confirmed by then.
const VOID_PATIENCE: Duration = Duration::from_secs(2);

/// Lets the money go that is held for an order which came to nothing. What the gateway doesn't confirm in time is tried
/// again by the worker, which looks for orders without `payment_voided_at`.
///
/// # Errors
/// When the statement fails that writes it down.
pub(super) async fn void(
    app: &App,
    timings: &Timings,
    order: Uuid,
    payment_id: Option<String>,
) -> Result<(), ApiError> {
    let voiding = async {
        let payment_id = match payment_id {
            Some(payment_id) => payment_id,
            None => match app.orders.payments.look_up(order).await {
                Found::Payment {
                    payment_id,
                    status: PaymentStatus::Authorized | PaymentStatus::Voided,
                } => payment_id,
                _ => return None,
            },
        };
        let changed = app.orders.payments.void(&payment_id).await;
        (changed == Changed::Done).then_some(payment_id)
    };
    let Ok(Some(payment_id)) = tokio::time::timeout(VOID_PATIENCE, voiding).await else {
        return Ok(());
    };
    let mut session = app.database.session(timings).await?;
    let voided = sqlx::query!(
        "update orders set payment_id = $2, payment_voided_at = now() where id = $1 and payment_voided_at is null",
        order,
        payment_id
    );
    voided.execute(&mut session).await?;
    Ok(())
}
