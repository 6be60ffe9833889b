//! `GET /v1/carts/{id}`: a cart with current prices and stock.

use std::sync::Arc;

use axum::extract::State;

use super::cart::CartView;
use super::cart_owner::CartKey;
use super::read_cart::read_cart;
use super::{Carts, unknown_cart};
use crate::web::answer::Answer;
use crate::web::error::{ApiError, Problem};
use crate::web::query::NoParameters;
use crate::web::timings::RequestTimings;

/// Shows your cart.
#[utoipa::path(
    get,
    path = "/v1/carts/{id}",
    tag = "Carts",
    params(
        ("id" = Uuid, Path, description = "The cart's id"),
        ("x-cart-token" = Option<String>, Header, description = "A guest's cart: `token` of the response that created it"),
    ),
    security((), ("bearer" = [])),
    responses(
        (status = 200, body = CartView),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn show_cart(
    State(carts): State<Arc<Carts>>,
    timings: RequestTimings,
    key: CartKey,
    _: NoParameters,
) -> Result<Answer, ApiError> {
    let mut connection = carts.database.acquire(&timings).await?;
    let cart = read_cart(&mut connection, &key, None).await?;
    drop(connection);
    cart.ok_or_else(unknown_cart)?.answer()
}
