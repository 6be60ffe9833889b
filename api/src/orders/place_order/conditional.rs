//! **Technique**: one update for all SKUs of the order, on the condition that each has enough and still costs what was
//! priced, at the end of a short transaction. Then the payment, with no transaction open.
//! **Cost**: one statement. A SKU is locked from that statement to the end of the commit.
//! **Fails when**: one SKU is wanted by so many at once that its commits, one after the other, are the bottleneck: then
//! stock is kept in parts, or taken by one writer for many.
//! **Source**: <https://www.postgresql.org/docs/current/transaction-iso.html>, read committed: an update that waited for
//! another looks at its condition again.

use axum::extract::State;
use axum::response::Response;

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
    place::<Conditional>(app, timings, request).await
}

struct Conditional;

impl TakeStock for Conditional {
    /// What wasn't taken is looked at again by the next attempt, which knows why: too few, or another price.
    async fn take_stock(transaction: &mut Session<'_>, draft: &OrderDraft) -> Result<(), ReserveError> {
        match storefront::orders::take_stock(transaction, &draft.units()).await? {
            true => Ok(()),
            false => Err(ReserveError::Retry),
        }
    }
}
