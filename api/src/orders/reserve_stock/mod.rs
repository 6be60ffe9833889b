//! How an order takes its units from the stock: the lesson `stock`.
//!
//! The arms differ in how they prevent overselling: `conditional.rs`, compared with `row_lock.rs`,
//! `row_lock_through_payment.rs` and `read_then_write.rs`. Each takes the units in the transaction that creates the order
//! (`../reservation/`); the payment follows its commit. The exception is `row_lock_through_payment`: it pays within that
//! transaction, so `../place_order.rs` calls it in place of the reservation and the payment.

#[cfg(feature = "baselines")]
mod locked_stock;
#[cfg(feature = "baselines")]
pub mod read_then_write;
#[cfg(feature = "baselines")]
pub mod row_lock;
#[cfg(feature = "baselines")]
pub mod row_lock_through_payment;

pub mod conditional;

use techniques::Stock as Arm;

use super::draft::{OrderDraft, ReserveError};
use crate::database::InstrumentedConnection;

/// The arm of `stock` that this process was built with.
#[derive(Debug, Clone, Copy)]
pub enum ReserveStock {
    /// See [`read_then_write`].
    #[cfg(feature = "baselines")]
    ReadThenWrite,
    /// See [`row_lock_through_payment`].
    #[cfg(feature = "baselines")]
    RowLockThroughPayment,
    /// See [`row_lock`].
    #[cfg(feature = "baselines")]
    RowLock,
    /// See [`conditional`].
    Conditional,
}

impl ReserveStock {
    /// Builds the arm.
    pub fn new(arm: Arm) -> Self {
        match arm {
            #[cfg(feature = "baselines")]
            Arm::ReadThenWrite => Self::ReadThenWrite,
            #[cfg(feature = "baselines")]
            Arm::RowLockThroughPayment => Self::RowLockThroughPayment,
            #[cfg(feature = "baselines")]
            Arm::RowLock => Self::RowLock,
            Arm::Conditional => Self::Conditional,
        }
    }

    /// Whether all units are taken by one conditional update, which can be a part of another statement.
    pub(super) fn is_conditional(self) -> bool {
        matches!(self, Self::Conditional)
    }

    /// Whether the order is paid before its transaction is committed.
    #[cfg(feature = "baselines")]
    pub(super) fn pays_in_transaction(self) -> bool {
        matches!(self, Self::RowLockThroughPayment)
    }

    /// Takes all units, or returns an error, which rolls the transaction back.
    ///
    /// # Errors
    /// 409 `insufficient_stock`, or [`ReserveError::Retry`] when the cart must be read again.
    pub(super) async fn take_stock(
        self,
        transaction: &mut InstrumentedConnection<'_>,
        draft: &OrderDraft,
    ) -> Result<(), ReserveError> {
        match self {
            #[cfg(feature = "baselines")]
            Self::ReadThenWrite => read_then_write::take_stock(transaction, &draft.items).await,
            #[cfg(feature = "baselines")]
            Self::RowLock => row_lock::take_stock(transaction, &draft.items).await,
            #[cfg(feature = "baselines")]
            Self::RowLockThroughPayment => {
                row_lock_through_payment::take_stock(transaction, &draft.items).await
            }
            Self::Conditional => conditional::take_stock(transaction, draft).await,
        }
    }
}
