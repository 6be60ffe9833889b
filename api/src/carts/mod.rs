//! Carts: what somebody means to buy. A guest's is opened by a token, a customer's by being signed in; to others there is
//! no such cart. A cart holds no price: each reading prices it. Read first: `cart.rs`, what a cart looks like;
//! then `put_item.rs`.

pub mod create_cart;
pub mod show_cart;

pub mod put_item;

pub mod delete_coupon;
pub mod put_coupon;

pub mod cart;
pub mod holder;
pub mod read_cart;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::error::ApiError;
use crate::state::AppState;

/// Lines of a cart. It bounds what one reading costs, and the rows that one order takes stock from; a household's
/// largest shopping list is far below it.
pub const MAX_LINES: i64 = 100;

/// Units of one line: the bound of its column.
pub const MAX_QUANTITY: i64 = 1000;

/// How often a write is tried that meets another write to the same cart, or an order of it. Each turn one of them gets
/// through, so only a client that writes to one cart many times at once sees the end of it.
const ATTEMPTS: u32 = 10;

/// The carts' routes.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(create_cart::create_cart))
        .routes(routes!(show_cart::show_cart))
        .routes(routes!(put_item::put_item))
        .routes(routes!(put_coupon::put_coupon, delete_coupon::delete_coupon))
}

/// Also for the carts of others: whoever may not see one isn't told that there is one.
fn unknown_cart() -> ApiError {
    ApiError::NotFound("no such cart, or none of yours; a guest's cart needs its `x-cart-token`".to_owned())
}

/// After [`ATTEMPTS`].
fn too_contended() -> ApiError {
    ApiError::Overloaded("many writes to one cart at once")
}

fn cart_ordered() -> ApiError {
    ApiError::Conflict {
        code: "cart_ordered",
        detail: "this cart was ordered and stays as it is; make a new one with POST /v1/carts".to_owned(),
    }
}
