//! The reservation of an order: its row, its lines, its stock, and a final check of the prices, in one transaction. The
//! lock order is that of `storefront/src/orders/mod.rs`.
//!
//! The lesson `reservation` switches how many statements that takes. `reserve_within` takes the stock by the arm of `stock`.

#[cfg(feature = "baselines")]
pub mod multi_statement;

pub mod single_statement;

use storefront::orders::{self, NewKey, NewOrder, ReservationCheck, Unit};
use storefront::variants::Reservation as Arm;

use super::{OrderDraft, PlaceOrder, ReserveError, TakeStock};
use crate::database::Session;
use crate::orders::idempotency::RETENTION_HOURS;
use crate::state::App;

/// The arm of `reservation` that this process was built with.
#[derive(Debug, Clone, Copy)]
pub enum Reservation {
    /// See [`multi_statement`].
    #[cfg(feature = "baselines")]
    MultiStatement,
    /// See [`single_statement`].
    SingleStatement,
}

impl Reservation {
    /// Builds the arm.
    pub fn new(arm: Arm) -> Self {
        match arm {
            #[cfg(feature = "baselines")]
            Arm::MultiStatement => Self::MultiStatement,
            Arm::SingleStatement => Self::SingleStatement,
        }
    }

    /// Creates the order and takes its stock, atomically.
    pub(super) async fn reserve<S: TakeStock>(
        self,
        app: &App,
        session: &mut Session<'_>,
        request: &PlaceOrder,
        draft: &mut OrderDraft,
    ) -> Result<(), ReserveError> {
        match self {
            #[cfg(feature = "baselines")]
            Self::MultiStatement => multi_statement::reserve::<S>(app, session, request, draft).await,
            Self::SingleStatement => single_statement::reserve::<S>(app, session, request, draft).await,
        }
    }
}

/// In a transaction of several statements.
async fn reserve_in_transaction<S: TakeStock>(
    app: &App,
    session: &mut Session<'_>,
    request: &PlaceOrder,
    draft: &mut OrderDraft,
) -> Result<(), ReserveError> {
    let mut transaction = session.begin().await?;
    reserve_within::<S>(app, &mut transaction, request, draft).await?;
    transaction.commit().await?;
    Ok(())
}

/// In the caller's transaction.
///
/// # Errors
/// [`ReserveError::Retry`] when a concurrent request was faster, or the cart, its prices or its coupon have changed
/// since they were read; otherwise the arm's error.
pub(super) async fn reserve_within<S: TakeStock>(
    app: &App,
    transaction: &mut Session<'_>,
    request: &PlaceOrder,
    draft: &mut OrderDraft,
) -> Result<(), ReserveError> {
    let number = orders::insert_order(transaction, &new_order(app, request, draft)).await?;
    draft.order.number = number.ok_or(ReserveError::Retry)?;
    app.orders
        .lines
        .insert(transaction, draft.order.id, &draft.items)
        .await?;
    S::take_stock(transaction, draft).await?;
    let has_waited = draft.priced_at.elapsed() > app.orders.settings.price_validity;
    if draft.order.coupon.is_none() && !has_waited {
        return Ok(());
    }
    let check = ReservationCheck {
        units: &draft.units(),
        currency: draft.order.totals.total.currency.as_str(),
        coupon_code: draft.order.coupon.as_deref(),
    };
    match orders::check_reservation(transaction, check).await? {
        true => Ok(()),
        false => Err(ReserveError::Retry),
    }
}

fn new_order<'a>(app: &App, request: &'a PlaceOrder, draft: &'a OrderDraft) -> NewOrder<'a> {
    let order = &draft.order;
    NewOrder {
        key: NewKey {
            owner: &request.key.owner,
            key: &request.key.key,
            request_hash: &request.key.request_hash,
            retention_hours: RETENTION_HOURS,
            locked_for: app.orders.settings.key_lock(),
        },
        id: order.id,
        cart_id: request.order.cart_id,
        cart_version: draft.cart_version,
        customer_id: request.customer,
        created_at: order.created_at,
        reserved_for: app.orders.settings.reservation,
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

impl OrderDraft {
    /// The units to take of each variant.
    pub(super) fn units(&self) -> Vec<Unit> {
        let unit = |item: &super::Item| Unit {
            product_id: item.product_id,
            variant_id: item.variant_id,
            quantity: item.quantity,
            unit_price_cents: item.unit_price_cents,
        };
        self.items.iter().map(unit).collect()
    }
}
