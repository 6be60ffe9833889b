//! **Technique**: `select … for update` on the order's SKUs, a comparison in code, and an update, in a short transaction
//! that ends before the payment.
//! **Cost**: two statements. A SKU is locked from the first of them to the end of the commit, one round trip longer than by
//! a conditional update.
//! **Fails when**: the application is far from the database: every order of a hot SKU waits for the round trip between the
//! two statements of each order before it.
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

/// Order what is in a cart.
#[utoipa::path(
    post,
    path = "/v1/orders",
    tag = "Orders",
    security((), ("bearer" = [])),
    params(
        ("idempotency-key" = String, Header, description = "New for each order, the same when it is asked for again", min_length = 1, max_length = 255),
        ("x-cart-token" = Option<String>, Header, description = "A guest's cart: `token` of the answer that made it"),
    ),
    request_body = NewOrder,
    responses(
        (status = 201, description = "Ordered and paid; a guest's has `order_token`", body = Order),
        (status = 202, description = "Ordered; whether it is paid is not known yet", body = Order),
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
