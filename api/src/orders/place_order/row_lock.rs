//! **Technique**: pessimistic locking in a short transaction: `select … for update` on the order's SKUs, a comparison
//! in code, and an update. It ends before the payment.
//! **Cost**: two statements. A SKU's row is locked from the first of them to the end of the commit, one round trip
//! longer than by a conditional update.
//! **Fails when**: the application is far from the database: orders of a hot SKU serialize, and each adds the round
//! trip between its two statements.
//! **Source**: <https://www.postgresql.org/docs/current/explicit-locking.html>, row-level locks.

use axum::extract::State;
use axum::response::Response;

use super::locked_stock::lock_and_take;
use super::{NewOrder, OrderDraft, PlaceOrder, ReserveError, TakeStock, place};
use crate::database::Session;
use crate::http::error::{ApiError, Problem};
use crate::http::timings::RequestTimings;
use crate::orders::order::Order;
use crate::state::AppState;

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
    place::<RowLock>(app, timings, request).await
}

struct RowLock;

impl TakeStock for RowLock {
    async fn take_stock(transaction: &mut Session<'_>, draft: &OrderDraft) -> Result<(), ReserveError> {
        lock_and_take(transaction, &draft.items).await
    }
}
