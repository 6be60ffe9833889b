//! **Technique**: pessimistic locking until the payment is known: `select … for update` on the order's SKUs, and one
//! transaction from the stock to the paid order.
//! **Cost**: two statements, and a connection and the row locks for as long as the payment takes.
//! **Fails when**: a SKU is ordered concurrently: each order waits for the payment of the one before it. A process
//! that dies meanwhile loses the order but not the payment: the gateway holds money for an order that doesn't exist.
//! **Source**: <https://www.postgresql.org/docs/current/explicit-locking.html>, row-level locks.

use axum::extract::State;
use axum::response::Response;

use super::locked_stock::lock_and_take;
use super::{
    ATTEMPTS, NewOrder, OrderDraft, PlaceOrder, ReserveError, StartOutcome, TakeStock, reservation,
    run_to_completion, start, take_turn, too_contended,
};
use crate::database::Session;
use crate::http::error::{ApiError, Problem};
use crate::http::timings::{RequestTimings, Timings};
use crate::orders::order::Order;
use crate::orders::payment::{self, PaymentOutcome};
use crate::orders::response::respond;
use crate::state::{App, AppState};

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
    State(app): State<AppState>,
    timings: RequestTimings,
    request: PlaceOrder,
) -> Result<Response, ApiError> {
    run_to_completion(async move {
        for _ in 0..ATTEMPTS {
            let draft = match start(&app, &timings, &request).await? {
                StartOutcome::Answered(answer) => return Ok(answer),
                StartOutcome::Draft(draft) => draft,
            };
            let turn = take_turn(&app, &draft).await?;
            let placed = reserve_and_pay(&app, &timings, &request, *draft).await;
            drop(turn);
            match placed {
                Ok(outcome) => return respond(&app, &timings, &request, outcome).await,
                Err(ReserveError::Retry) => {}
                Err(ReserveError::Rejected(error)) => return Err(error),
            }
        }
        Err(too_contended())
    })
    .await
}

/// The order, its stock and its payment, in one transaction.
async fn reserve_and_pay(
    app: &App,
    timings: &Timings,
    request: &PlaceOrder,
    mut draft: OrderDraft,
) -> Result<PaymentOutcome, ReserveError> {
    let mut session = app.database.session(timings).await?;
    let mut transaction = session.begin().await?;
    reservation::reserve_within::<RowLockThroughPayment>(app, &mut transaction, request, &mut draft).await?;
    let authorized = payment::authorize(app, request, &draft.order).await;
    let outcome = payment::record(app, &mut transaction, request, draft.order, authorized).await?;
    transaction.commit().await?;
    Ok(outcome)
}

struct RowLockThroughPayment;

impl TakeStock for RowLockThroughPayment {
    async fn take_stock(transaction: &mut Session<'_>, draft: &OrderDraft) -> Result<(), ReserveError> {
        lock_and_take(transaction, &draft.items).await
    }
}
