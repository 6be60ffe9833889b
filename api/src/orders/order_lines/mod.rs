//! How an order's lines are inserted: the lesson `order_lines`.
//!
//! Both arms insert the same rows, in the transaction of the reservation. An order that is reserved in one statement
//! (`reservation/`) inserts its lines there.

#[cfg(feature = "baselines")]
pub mod row_by_row;

pub mod one_statement;

use techniques::OrderLines as Arm;
use uuid::Uuid;

use super::basket::BasketItem;
use crate::database::InstrumentedConnection;

/// The arm of `order_lines` that this process was built with.
#[derive(Debug, Clone, Copy)]
pub enum OrderLines {
    /// See [`row_by_row`].
    #[cfg(feature = "baselines")]
    RowByRow,
    /// See [`one_statement`].
    OneStatement,
}

impl OrderLines {
    /// Builds the arm.
    pub fn new(arm: Arm) -> Self {
        match arm {
            #[cfg(feature = "baselines")]
            Arm::RowByRow => Self::RowByRow,
            Arm::OneStatement => Self::OneStatement,
        }
    }

    /// Whether the lines can be inserted in the statement of their order.
    pub fn is_one_statement(self) -> bool {
        matches!(self, Self::OneStatement)
    }

    /// Inserts the lines of an order, in the order of its items.
    ///
    /// # Errors
    /// When a statement fails.
    pub async fn insert(
        self,
        transaction: &mut InstrumentedConnection<'_>,
        order: Uuid,
        items: &[BasketItem],
    ) -> Result<(), sqlx::Error> {
        match self {
            #[cfg(feature = "baselines")]
            Self::RowByRow => row_by_row::insert(transaction, order, items).await,
            Self::OneStatement => one_statement::insert(transaction, order, items).await,
        }
    }
}
