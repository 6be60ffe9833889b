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

use std::sync::Arc;

use crate::database::Database;
use crate::web::error::ApiError;

/// What the carts' handlers use.
pub struct Carts {
    pub database: Arc<Database>,
}

/// Attempts of a write under contention (optimistic lock). In each round one of the concurrent writes succeeds, so
/// only a client with many concurrent writes to one cart exhausts them.
const ATTEMPTS: u32 = 10;

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
