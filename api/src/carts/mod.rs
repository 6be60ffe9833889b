//! Carts. A token authorizes access to a guest's cart, a sign-in to a customer's. Other clients get a 404.
//! A cart stores no prices, so each read prices it. Read first: `cart.rs`, a cart in responses; then `put_item.rs`.

pub mod create_cart;
pub mod show_cart;

pub mod put_item;

pub mod delete_coupon;
pub mod put_coupon;

pub mod cart;
pub mod cart_owner;
pub mod read_cart;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::error::ApiError;
use crate::state::AppState;

/// Lines in a cart. This bounds the cost of reading one and the rows that one order locks; it is far above a
/// household's largest shopping list.
pub const MAX_LINES: i64 = 100;

/// Units of one line: the bound of its column.
pub const MAX_QUANTITY: i64 = 1000;

/// Attempts of a write under contention (optimistic lock). In each round one of the concurrent writes succeeds, so
/// only a client with many concurrent writes to one cart exhausts them.
const ATTEMPTS: u32 = 10;

/// Carts of guests, authorized by `x-cart-token`, and of signed-in customers.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(create_cart::create_cart))
        .routes(routes!(show_cart::show_cart))
        .routes(routes!(put_item::put_item))
        .routes(routes!(put_coupon::put_coupon, delete_coupon::delete_coupon))
}

/// Also for other customers' carts, whose existence must not be revealed.
fn unknown_cart() -> ApiError {
    ApiError::NotFound("no such cart, or none of yours; a guest's cart needs its `x-cart-token`".to_owned())
}

/// All [`ATTEMPTS`] lost against concurrent writes.
fn too_contended() -> ApiError {
    ApiError::Overloaded("too many concurrent writes to one cart")
}

fn cart_ordered() -> ApiError {
    ApiError::Conflict {
        code: "cart_ordered",
        detail: "this cart was ordered and can't be changed; create a new one with POST /v1/carts".to_owned(),
    }
}
