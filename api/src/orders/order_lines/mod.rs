//! How an order's lines are inserted: the lesson `order_lines`.
//!
//! Both arms insert the same rows, in the transaction of the reservation. An order that is reserved in one statement
//! (`reservation/`) inserts its lines there.

#[cfg(feature = "baselines")]
pub mod row_by_row;

pub mod one_statement;

use uuid::Uuid;

use super::basket::BasketItem;
use crate::database::InstrumentedConnection;

techniques::component! {
    /// Inserts the lines of an order.
    #[derive(Debug, Clone, Copy)]
    pub OrderLines: techniques::OrderLines {
        baseline RowByRow = row_by_row::RowByRow,
        optimized OneStatement = one_statement::OneStatement,
    }
    pub select();

    /// Inserts the lines of an order, in the order of its items.
    ///
    /// # Errors
    /// When a statement fails.
    pub async fn insert(
        self,
        transaction: &mut InstrumentedConnection<'_>,
        order: Uuid,
        items: &[BasketItem],
    ) -> Result<(), sqlx::Error>;
}
