//! `POST /v1/orders`: from a cart to an order.
//!
//! The steps: one statement reads the cart and the idempotency key (`basket.rs`); the cart is priced (`draft.rs`); the
//! order queues for its SKUs (`sku_queue.rs`); a short transaction creates it and takes its stock (`reservation/`,
//! `reserve_stock/`); the payment is authorized with no transaction open, and one statement marks the order paid and
//! enqueues its event (`payment.rs`); then the event is published (`after_commit.rs`), and the response is built
//! (`response.rs`).
//!
//! The client's idempotency key is bound to the order from the first transaction on, so that a request whose response
//! was lost is resumed, never repeated.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::State;
use axum::response::Response;
use platform::telemetry::trace;
use shop::orders::order_reached;

use super::basket::{self, LookupResult};
use super::draft::{OrderDraft, ReserveError};
use super::idempotency::{IdempotencyOutcome, StoredKey, in_progress};
use super::order::{Order, Status};
use super::order_request::{NewOrder, PlaceOrder};
use super::payment::{PaymentOutcome, PaymentRequest, pay};
use super::response::{OrderOutcome, respond};
use super::{Orders, after_commit, show_order};
use crate::database::InstrumentedConnection;
use crate::web::error::{ApiError, Problem};
use crate::web::timings::{RequestTimings, Timings};

/// How often an order is attempted when a concurrent request, a change of its cart or a deadlock interferes.
const ATTEMPTS: u32 = 4;

/// Places an order of a cart.
#[utoipa::path(
    post,
    path = "/v1/orders",
    tag = "Orders",
    security((), ("bearer" = [])),
    params(
        ("idempotency-key" = String, Header, description = "A new key for each order, the same when a request is repeated", min_length = 1, max_length = 255),
        ("x-cart-token" = Option<String>, Header, description = "A guest's cart: `token` of the response that created it"),
    ),
    request_body = NewOrder,
    responses(
        (status = 201, description = "Paid; a guest's has `order_token`", body = Order),
        (status = 202, description = "Placed; the payment's outcome is not known yet", body = Order),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 402, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn place_order(
    State(orders): State<Arc<Orders>>,
    timings: RequestTimings,
    request: PlaceOrder,
) -> Result<Response, ApiError> {
    run_to_completion(async move {
        let outcome = place(&orders, &timings, &request).await?;
        respond(&orders.tokens, outcome)
    })
    .await
}

/// Runs to completion even if the client disconnects; otherwise a half-placed order would hold its stock until it is
/// reconciled.
async fn run_to_completion(
    work: impl Future<Output = Result<Response, ApiError>> + Send + 'static,
) -> Result<Response, ApiError> {
    match tokio::spawn(trace::propagate(work)).await {
        Ok(response) => response,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(ApiError::internal(error)),
        },
    }
}

async fn place(orders: &Orders, timings: &Timings, request: &PlaceOrder) -> Result<OrderOutcome, ApiError> {
    for attempt in 0..ATTEMPTS {
        let mut draft = match start(orders, timings, request).await? {
            StartOutcome::Finished(outcome) => return Ok(outcome),
            StartOutcome::Draft(draft) => draft,
        };
        draft.is_first_attempt = attempt == 0;
        match reserve_and_pay(orders, timings, request, *draft).await {
            Ok(outcome) => return after_commit::finish_payment(orders, timings, &request.key, outcome).await,
            Err(ReserveError::Retry) => {}
            Err(ReserveError::Rejected(error)) => return Err(error),
        }
    }
    Err(ApiError::Overloaded(
        "an order was attempted too often under contention",
    ))
}

/// How a request starts.
enum StartOutcome {
    /// A replay, or a resumed order.
    Finished(OrderOutcome),
    /// A new order can be placed.
    Draft(Box<OrderDraft>),
}

/// Reads the cart, or resumes the key's order. One statement for a new order.
async fn start(orders: &Orders, timings: &Timings, request: &PlaceOrder) -> Result<StartOutcome, ApiError> {
    let priced_at = Instant::now();
    let mut connection = orders.database.acquire(timings).await?;
    match basket::read(&mut connection, request).await? {
        LookupResult::Cart(basket) => {
            drop(connection);
            let draft = OrderDraft::new(&orders.settings, &orders.tokens, request, basket, priced_at)?;
            Ok(StartOutcome::Draft(Box::new(draft)))
        }
        LookupResult::Known(key) => {
            let outcome = replay_or_resume(orders, connection, timings, request, key).await?;
            Ok(StartOutcome::Finished(outcome))
        }
        LookupResult::Nothing => Err(ApiError::NotFound(
            "no such cart, or none of yours; a guest's cart needs its `x-cart-token`".to_owned(),
        )),
    }
}

/// Replays the response of a key's order. If there is none, because the request was interrupted or the payment's outcome is
/// unknown, the order is resumed: it is paid, unless it was settled meanwhile.
async fn replay_or_resume<'t>(
    orders: &Orders,
    mut connection: InstrumentedConnection<'t>,
    timings: &'t Timings,
    request: &PlaceOrder,
    key: StoredKey,
) -> Result<OrderOutcome, ApiError> {
    let id = match key.check(&request.key)? {
        IdempotencyOutcome::Replay { order, status, body } => {
            return Ok(OrderOutcome::Replayed { order, status, body });
        }
        IdempotencyOutcome::Resume(id) => id,
    };
    if !request.key.lock(&mut connection, &orders.settings).await? {
        return Err(in_progress());
    }
    let order = show_order::read_order(&mut connection, id, None).await?;
    let order = order.ok_or_else(|| ApiError::internal("a key is bound to an order that isn't there"))?;
    drop(connection);
    if order.status != Status::PendingPayment {
        return after_commit::store_settled_response(orders, timings, &request.key, order).await;
    }
    let outcome = pay(orders, timings, payment_request(request), order).await?;
    after_commit::finish_payment(orders, timings, &request.key, outcome).await
}

/// Creates the order and takes its stock in a short transaction, then pays it.
async fn reserve_and_pay(
    orders: &Orders,
    timings: &Timings,
    request: &PlaceOrder,
    mut draft: OrderDraft,
) -> Result<PaymentOutcome, ReserveError> {
    let skus = draft.items.iter().map(|item| item.sku.as_str());
    let turn = orders.sku_queue.acquire(skus).await?;
    let mut connection = orders.database.acquire(timings).await?;
    let payment = payment_request(request);
    // The one arm whose transaction has the payment inside.
    #[cfg(feature = "baselines")]
    if let super::reserve_stock::StockReservation::RowLockThroughPayment(arm) = orders.stock {
        return arm.reserve_and_pay(orders, &mut connection, payment, draft).await;
    }
    orders
        .reservation
        .reserve(orders, &mut connection, &request.key, &mut draft)
        .await?;
    drop((connection, turn));
    order_reached("pending_payment");
    Ok(pay(orders, timings, payment, draft.order).await?)
}

fn payment_request(request: &PlaceOrder) -> PaymentRequest<'_> {
    PaymentRequest {
        key: &request.key,
        payment_token: request.order.payment_token.as_str(),
        trace_context: request.trace_context.as_deref(),
    }
}
