//! Where a shop with `checkout=inline` counts its sales: the lesson `sales_counts`. Otherwise the worker counts
//! (`worker/src/consumers/sales_counts/`), where the arms are described.

#[cfg(feature = "baselines")]
mod per_order;

mod batched;

use techniques::SalesCounts as Arm;
use uuid::Uuid;

use crate::database::InstrumentedConnection;

/// The arm of `sales_counts` that this process was built with.
#[derive(Debug, Clone, Copy)]
pub(super) enum SalesCounts {
    /// See [`per_order`].
    #[cfg(feature = "baselines")]
    PerOrder,
    /// See [`batched`].
    Batched,
}

impl SalesCounts {
    pub(super) fn new(arm: Arm) -> Self {
        match arm {
            #[cfg(feature = "baselines")]
            Arm::PerOrder => Self::PerOrder,
            Arm::Batched => Self::Batched,
        }
    }

    /// Counts the units of an order.
    pub(super) async fn count(
        self,
        connection: &mut InstrumentedConnection<'_>,
        order: Uuid,
    ) -> Result<(), sqlx::Error> {
        match self {
            #[cfg(feature = "baselines")]
            Self::PerOrder => per_order::count(connection, order).await,
            Self::Batched => batched::count(connection, order).await,
        }
    }
}
