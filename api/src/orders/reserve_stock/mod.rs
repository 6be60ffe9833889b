//! How an order takes its units from the stock: the lesson `stock`.
//!
//! The arms differ in how they prevent overselling: `conditional.rs`, compared with `row_lock.rs`,
//! `row_lock_through_payment.rs` and `read_then_write.rs`. Each arm takes the units in the transaction that creates the order
//! (`../reservation/`); the payment follows its commit. The exception among the arms is `row_lock_through_payment`: this arm pays
//! within that transaction, so `../place_order.rs` calls it in place of the reservation and the payment.

#[cfg(feature = "baselines")]
mod locked_stock;
#[cfg(feature = "baselines")]
pub mod read_then_write;
#[cfg(feature = "baselines")]
pub mod row_lock;
#[cfg(feature = "baselines")]
pub mod row_lock_through_payment;

pub mod conditional;

use super::draft::{OrderDraft, ReserveError};
use crate::database::InstrumentedConnection;

techniques::component! {
    /// Takes the units of an order from the stock.
    #[derive(Debug, Clone, Copy)]
    pub StockReservation: techniques::Stock {
        baseline ReadThenWrite = read_then_write::ReadThenWrite,
        baseline RowLockThroughPayment = row_lock_through_payment::RowLockThroughPayment,
        baseline RowLock = row_lock::RowLock,
        optimized Conditional = conditional::Conditional,
    }
    pub select();

    /// Takes all units, or returns an error, which rolls the transaction back.
    ///
    /// # Errors
    /// 409 `insufficient_stock`, or [`ReserveError::Retry`] when the cart must be read again.
    pub(super) async fn take_stock(
        self,
        transaction: &mut InstrumentedConnection<'_>,
        draft: &OrderDraft,
    ) -> Result<(), ReserveError>;
}
