//! How much stock may be held without money: inventory denial is an attack that costs nothing otherwise, since an order
//! holds its units for as long as its payment is unknown.
//!
//! A customer may have so many orders that wait for their payment. A guest is known by a cart, of which there is one order,
//! so a guest's order is bounded by its units instead; how many orders one address places is the edge's to limit
//! (docs/OPERATIONS.md). Requests of one customer that are read at the same moment may pass together: the bound is on what
//! is held for long, not on a race.

use uuid::Uuid;

use super::basket::Basket;
use crate::http::error::ApiError;
use crate::settings::OrderSettings;

/// Refuses what would hold too much.
///
/// # Errors
/// 409 `too_many_open_orders` for a customer, 409 `too_many_units` for a guest.
pub(super) fn check(
    settings: &OrderSettings,
    customer: Option<Uuid>,
    basket: &Basket,
) -> Result<(), ApiError> {
    let most_orders = settings.max_open_orders;
    if customer.is_some() && basket.open_orders >= i64::from(most_orders) {
        return Err(ApiError::Conflict {
            code: "too_many_open_orders",
            detail: format!(
                "{} orders of yours wait for their payment; cancel one, or wait until they are paid",
                basket.open_orders
            ),
        });
    }
    let most_units = settings.guest_max_units;
    let too_many = basket
        .items
        .iter()
        .filter(|item| item.quantity.unsigned_abs() > most_units);
    let too_many: Vec<&str> = too_many.map(|item| item.sku.as_str()).collect();
    if customer.is_none() && !too_many.is_empty() {
        return Err(ApiError::Conflict {
            code: "too_many_units",
            detail: format!(
                "without an account, an order has at most {most_units} units of one SKU; sign in to order more of: {}",
                too_many.join(", ")
            ),
        });
    }
    Ok(())
}
