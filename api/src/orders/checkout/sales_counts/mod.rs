//! Where a shop with `checkout=inline` counts its sales: the lesson `sales_counts`. Otherwise the worker counts
//! (`worker/src/consumers/sales_counts/`), where the arms are described.

#[cfg(feature = "baselines")]
mod per_order;

mod batched;

use storefront::variants::SalesCounts as Arm;
use uuid::Uuid;

use crate::database::Session;

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
    pub(super) async fn count(self, session: &mut Session<'_>, order: Uuid) -> Result<(), sqlx::Error> {
        match self {
            #[cfg(feature = "baselines")]
            Self::PerOrder => per_order::count(session, order).await,
            Self::Batched => batched::count(session, order).await,
        }
    }
}
