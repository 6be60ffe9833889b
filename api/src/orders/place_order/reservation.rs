//! The rows of a new order, but for its lines and its stock: all arms of `stock` write them alike.

use super::{Draft, PlaceOrder, Stop, cart_changed};
use crate::database::Session;
use crate::orders::idempotency::KEPT_HOURS;
use crate::state::App;

/// Claims the request's key, holds the cart as it was read, takes a use of the coupon, and makes the order, which gets
/// its number. The key comes first: a twin waits for it, and begins again when this transaction has ended. So does
/// whoever writes to the cart, orders it too, or merges it with another at a sign-in.
///
/// # Errors
/// [`Stop::Again`] after a twin, or when the cart has changed since it was read; 409 when the coupon was used up
/// meanwhile.
pub(super) async fn insert_order(
    app: &App,
    transaction: &mut Session<'_>,
    request: &PlaceOrder,
    draft: &mut Draft,
) -> Result<(), Stop> {
    let order = &draft.order;
    let query = sqlx::query_file!(
        "src/orders/place_order/insert_order.sql",
        request.key.owner.as_slice(),
        request.key.key,
        request.key.request_hash.as_slice(),
        KEPT_HOURS,
        app.orders.settings.key_lock().as_secs_f64(),
        order.id,
        request.order.cart_id,
        request.customer,
        order.created_at,
        app.orders.settings.reservation.as_secs_f64(),
        order.totals.subtotal.amount,
        order.totals.discount.amount,
        order.totals.shipping.amount,
        order.totals.total.amount,
        order.totals.total.currency.as_str(),
        order.shipping_method.as_ref(),
        order.email,
        order.token_hash.as_ref().map(<[u8; 32]>::as_slice),
        order.coupon,
        order.shipping_address,
        uuid::Uuid::now_v7(),
        draft.cart_version
    );
    let placed = query.fetch_optional(transaction).await?.ok_or(Stop::Again)?;
    if let Some(coupon) = &order.coupon
        && !placed.has_coupon
    {
        return Err(cart_changed(format!(
            "the coupon {coupon} no longer counts; take it out of the cart"
        ))
        .into());
    }
    draft.order.number = placed.number;
    Ok(())
}
