//! **Technique**: one conditional update of all SKUs of the order, on the condition that each has enough stock and
//! still has the price that was read, at the end of a short transaction, or in the single statement of `reservation/`.
//! The payment follows with no transaction open.
//! **Cost**: one statement. A SKU's row is locked from that statement to the end of the commit.
//! **Fails when**: one SKU is so hot that its commits, which serialize, are the bottleneck: then stock is sharded, or
//! one writer takes it in batches for many orders.
//! **Source**: <https://www.postgresql.org/docs/current/transaction-iso.html>, read committed: an update that waited
//! for a lock evaluates its condition again.

use axum::extract::State;
use axum::response::Response;

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
    place::<Conditional>(app, timings, request).await
}

struct Conditional;

impl TakeStock for Conditional {
    const IS_CONDITIONAL: bool = true;

    /// The next attempt reads the cart again and reports why: too little stock, or another price.
    async fn take_stock(transaction: &mut Session<'_>, draft: &OrderDraft) -> Result<(), ReserveError> {
        match storefront::orders::take_stock(transaction, &draft.units()).await? {
            true => Ok(()),
            false => Err(ReserveError::Retry),
        }
    }
}
