//! How the lines of a page of orders are loaded: the lesson `order_history`.
//!
//! Both arms return each order's lines by position, in the order of the given orders.

#[cfg(feature = "baselines")]
pub mod n_plus_one;

pub mod batched;

use shop::money::Currency;
use uuid::Uuid;

use super::order::OrderLine;
use crate::database::InstrumentedConnection;

techniques::component! {
    /// Loads the lines of a page of orders.
    #[derive(Debug, Clone, Copy)]
    pub OrderHistory: techniques::OrderHistory {
        baseline NPlusOne = n_plus_one::NPlusOne,
        optimized Batched = batched::Batched,
    }
    pub select();

    /// Each order's lines, in the order of `orders`.
    async fn read(
        self,
        connection: &mut InstrumentedConnection<'_>,
        orders: &[OrderKey],
    ) -> Result<Vec<Vec<OrderLine>>, sqlx::Error>;
}

/// An order whose lines are loaded.
#[derive(Debug, Clone, Copy)]
pub struct OrderKey {
    pub id: Uuid,
    /// The currency of its lines.
    pub currency: Currency,
}

/// A row of `order_lines`.
struct LineRow {
    order_id: Uuid,
    sku: String,
    title: String,
    variant_title: String,
    quantity: i32,
    unit_price_cents: i64,
}

impl LineRow {
    fn line(self, currency: Currency) -> OrderLine {
        let texts = (self.sku, self.title, self.variant_title);
        OrderLine::new(texts, self.quantity, self.unit_price_cents, currency)
    }
}

impl OrderHistory {
    /// Each order's lines, in the order of `orders`. No statement if there are none.
    ///
    /// # Errors
    /// When a statement fails.
    pub async fn lines(
        self,
        connection: &mut InstrumentedConnection<'_>,
        orders: &[OrderKey],
    ) -> Result<Vec<Vec<OrderLine>>, sqlx::Error> {
        if orders.is_empty() {
            return Ok(Vec::new());
        }
        self.read(connection, orders).await
    }
}
