//! The reservation of an order: its row, its lines, its stock, and a final check of the prices, in one transaction. The
//! lock order is that of `shop/src/orders/mod.rs`.
//!
//! The lesson `reservation` switches how many statements that takes. The stock is taken by the arm of `stock`.

#[cfg(feature = "baselines")]
pub mod multi_statement;

pub mod single_statement;

use shop::orders::{NewKey, NewOrder, ReservationCheck, check_reservation, insert_order};

use super::Orders;
use super::draft::{OrderDraft, ReserveError};
use super::idempotency::{RETENTION_HOURS, RequestKey};
use crate::database::InstrumentedConnection;

techniques::component! {
    /// Reserves an order.
    #[derive(Debug, Clone, Copy)]
    pub Reservation: techniques::Reservation {
        baseline MultiStatement = multi_statement::MultiStatement,
        optimized SingleStatement = single_statement::SingleStatement,
    }
    pub select();

    /// Creates the order and takes its stock, atomically.
    ///
    /// # Errors
    /// [`ReserveError::Retry`] when what the order relies on has changed, or why the order is rejected.
    pub(super) async fn reserve(
        self,
        orders: &Orders,
        connection: &mut InstrumentedConnection<'_>,
        key: &RequestKey,
        draft: &mut OrderDraft,
    ) -> Result<(), ReserveError>;
}

/// In a transaction of several statements.
async fn reserve_in_transaction(
    orders: &Orders,
    connection: &mut InstrumentedConnection<'_>,
    key: &RequestKey,
    draft: &mut OrderDraft,
) -> Result<(), ReserveError> {
    let mut transaction = connection.begin().await?;
    reserve_within(orders, &mut transaction, key, draft).await?;
    transaction.commit().await?;
    Ok(())
}

/// Creates the order and takes its stock in the caller's transaction, with several statements.
///
/// # Errors
/// [`ReserveError::Retry`] when a concurrent request was faster, or the cart, its prices or its coupon have changed
/// since they were read; otherwise the arm's error.
pub(super) async fn reserve_within(
    orders: &Orders,
    transaction: &mut InstrumentedConnection<'_>,
    key: &RequestKey,
    draft: &mut OrderDraft,
) -> Result<(), ReserveError> {
    let number = insert_order(transaction, &new_order(orders, key, draft)).await?;
    draft.order.number = number.ok_or(ReserveError::Retry)?;
    orders
        .lines
        .insert(transaction, draft.order.id, &draft.items)
        .await?;
    orders.stock.take_stock(transaction, draft).await?;
    let has_waited = draft.priced_at.elapsed() > orders.settings.price_validity;
    if draft.order.coupon.is_none() && !has_waited {
        return Ok(());
    }
    let check = ReservationCheck {
        units: &draft.units(),
        currency: draft.order.totals.total.currency.as_str(),
        coupon_code: draft.order.coupon.as_deref(),
    };
    match check_reservation(transaction, check).await? {
        true => Ok(()),
        false => Err(ReserveError::Retry),
    }
}

fn new_order<'a>(orders: &Orders, key: &'a RequestKey, draft: &'a OrderDraft) -> NewOrder<'a> {
    let order = &draft.order;
    NewOrder {
        key: NewKey {
            owner: &key.owner,
            key: &key.key,
            request_hash: &key.request_hash,
            retention_hours: RETENTION_HOURS,
            locked_for: orders.settings.key_lock(),
        },
        id: order.id,
        cart_id: draft.cart_id,
        cart_version: draft.cart_version,
        customer_id: draft.customer,
        created_at: order.created_at,
        reserved_for: orders.settings.reservation,
        subtotal_cents: order.totals.subtotal.amount,
        discount_cents: order.totals.discount.amount,
        shipping_cents: order.totals.shipping.amount,
        total_cents: order.totals.total.amount,
        currency: order.totals.total.currency.as_str(),
        shipping_method: order.shipping_method.as_ref(),
        email: &order.email,
        token_hash: order.token_hash.as_ref().map(<[u8; 32]>::as_slice),
        coupon_code: order.coupon.as_deref(),
        shipping_address: &order.shipping_address,
    }
}
