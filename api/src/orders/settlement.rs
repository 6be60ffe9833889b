//! What becomes of an order when its payment is known, or isn't: paid, failed, withdrawn, or left for later.
//!
//! An order changes its status once, since each change names the status before: whoever comes second, be it a retry of
//! the client or the worker's sweeper, changes nothing. Read next: `giving_back.rs` for an order that comes to nothing,
//! `answering.rs` for what the client is told, `checkout/` and `events/`, which a paid order goes to.

use axum::response::Response;
use storefront::messages::Event;
use storefront::telemetry::order_reached;
use storefront::third_parties::payment::{Authorization, Authorized};
use uuid::Uuid;

use super::answering::{answer, tell_settled};
use super::events::Said;
use super::giving_back::{End, come_to_nothing, record_declined, withdraw};
use super::order::{Order, Status, TimelineEvent, now};
use super::place_order::PlaceOrder;
use crate::database::Session;
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
    order_reached("paid");
    Ok(Settled::Paid {
        order: Box::new(order),
        body,
        payment_id,
        said,
    })
}
