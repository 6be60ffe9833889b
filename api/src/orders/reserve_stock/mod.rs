//! How an order takes its units from the stock: the lesson `stock`.
//!
//! The arms differ in how they prevent overselling: `conditional.rs`, compared with `row_lock.rs`,
//! `row_lock_through_payment.rs` and `read_then_write.rs`. Each takes the units in the transaction that creates the
//! order (`../reservation/`), which the payment follows. `row_lock_through_payment` needs the payment inside, so it is
//! called in place of the two.

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

    /// Takes all units, or returns an error, which rolls the transaction back.
    ///
    /// # Errors
    /// 409 `insufficient_stock`, or [`ReserveError::Retry`] when the cart must be read again.
    pub(super) async fn take(
        self,
        transaction: &mut InstrumentedConnection<'_>,
        draft: &OrderDraft,
    ) -> Result<(), ReserveError> {
        match self {
            #[cfg(feature = "baselines")]
            Self::ReadThenWrite => read_then_write::take(transaction, &draft.items).await,
            #[cfg(feature = "baselines")]
            Self::RowLock | Self::RowLockThroughPayment => row_lock::take(transaction, &draft.items).await,
            Self::Conditional => conditional::take(transaction, draft).await,
        }
    }
}
