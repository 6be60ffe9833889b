//! **Technique**: pessimistic locking until the payment is known: `select … for update` on the order's SKUs
//! (`locked_stock.rs`), and one transaction from the stock to the paid order. This is the only arm that contains the
//! payment, so `../place_order.rs` calls it in place of the reservation and the payment.
//! **Cost**: two statements, and a connection and the row locks for as long as the payment takes.
//! **Fails when**: a SKU is ordered concurrently: each order waits for the payment of the one before it. A process
//! that dies meanwhile loses the order but not the payment: the gateway holds money for an order that doesn't exist.
//! **Source**: <https://www.postgresql.org/docs/current/explicit-locking.html>, row-level locks.

use super::locked_stock;
use crate::database::InstrumentedConnection;
use crate::orders::Orders;
use crate::orders::draft::{OrderDraft, ReserveError};
use crate::orders::payment::{PaymentOutcome, PaymentRequest, authorize, record};
use crate::orders::reservation::reserve_within;

/// The arm `stock=row_lock_through_payment`.
#[derive(Debug, Clone, Copy)]
pub struct RowLockThroughPayment;

impl RowLockThroughPayment {
    pub(super) async fn take_stock(
        self,
        transaction: &mut InstrumentedConnection<'_>,
        draft: &OrderDraft,
    ) -> Result<(), ReserveError> {
        locked_stock::take_stock(transaction, &draft.items).await
    }

    /// Creates the order, takes its stock and authorizes its payment, in one transaction.
    ///
    /// # Errors
    /// Those of a reservation or a payment.
    pub(in crate::orders) async fn reserve_and_pay(
        self,
        orders: &Orders,
        connection: &mut InstrumentedConnection<'_>,
        payment: PaymentRequest<'_>,
        mut draft: OrderDraft,
    ) -> Result<PaymentOutcome, ReserveError> {
        let mut transaction = connection.begin().await?;
        reserve_within(orders, &mut transaction, payment.key, &mut draft).await?;
        let authorized = authorize(orders, payment, &draft.order).await;
        let outcome = record(orders, &mut transaction, payment, draft.order, authorized).await?;
        transaction.commit().await?;
        Ok(outcome)
    }
}
