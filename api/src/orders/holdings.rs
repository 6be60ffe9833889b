//! Limits on unpaid reservations. Inventory denial is otherwise an attack that costs nothing, because an order holds
//! its stock for as long as its payment is unknown.
//!
//! A customer may have a bounded number of unpaid orders. A guest is identified only by a cart, of which there is one
//! order, so a guest's order is bounded by its units instead; limiting orders per address is left to the edge
//! (docs/OPERATIONS.md). Concurrent requests of one customer may exceed the limit together: it is there for long-held
//! stock, not for races.

use uuid::Uuid;

use super::basket::Basket;
use crate::settings::OrderSettings;
use crate::web::error::ApiError;

/// Rejects an order that would reserve too much.
///
/// # Errors
/// 409 `too_many_open_orders` for a customer, 409 `too_many_units` for a guest.
pub(super) fn check(
    settings: &OrderSettings,
    customer: Option<Uuid>,
    basket: &Basket,
) -> Result<(), ApiError> {
    let max_orders = settings.max_open_orders;
    if customer.is_some() && basket.open_orders >= i64::from(max_orders) {
        return Err(ApiError::Conflict {
            code: "too_many_open_orders",
            detail: format!(
                "you have {} unpaid orders; cancel one, or wait until they are paid",
                basket.open_orders
            ),
        });
    }
    let max_units = settings.guest_max_units;
    let too_many = basket
        .items
        .iter()
        .filter(|item| item.quantity.unsigned_abs() > max_units);
    let too_many: Vec<&str> = too_many.map(|item| item.sku.as_str()).collect();
    if customer.is_none() && !too_many.is_empty() {
        return Err(ApiError::Conflict {
            code: "too_many_units",
            detail: format!(
                "without an account, an order has at most {max_units} units of one SKU; sign in to order more of: {}",
                too_many.join(", ")
            ),
        });
    }
    Ok(())
}
