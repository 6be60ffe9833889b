//! Where a shop with `checkout=inline` counts its sales: the lesson `sales_counts`. Otherwise the worker counts
//! (`worker/src/consumers/sales_counts/`), where the arms are described.

#[cfg(feature = "baselines")]
mod per_order;

mod batched;

use uuid::Uuid;

use crate::database::InstrumentedConnection;

techniques::component! {
    /// Counts sold units.
    #[derive(Debug, Clone, Copy)]
    pub(super) SalesCounts: techniques::SalesCounts {
        baseline PerOrder = per_order::PerOrder,
        optimized Batched = batched::Batched,
    }
    pub(super) select();

    /// Counts the units of an order.
    pub(super) async fn count(self, connection: &mut InstrumentedConnection<'_>, order: Uuid) -> Result<(), sqlx::Error>;
}
