//! **Technique**: N+1: one statement per order of the page for its lines.
//! **Cost**: N statements and round trips for N orders, after the one for the page.
//! **Fails when**: pages grow, or the database is farther away than loopback: the round trips add up.
//! **Source**: <https://martinfowler.com/eaaCatalog/lazyLoad.html>, ripple loading.

use super::{LineRow, OrderKey};
use crate::database::InstrumentedConnection;
use crate::orders::order::OrderLine;

/// The arm `order_history=n_plus_one`.
#[derive(Debug, Clone, Copy)]
pub struct NPlusOne;

impl NPlusOne {
    pub(super) async fn read(
        self,
        connection: &mut InstrumentedConnection<'_>,
        orders: &[OrderKey],
    ) -> Result<Vec<Vec<OrderLine>>, sqlx::Error> {
        let mut all = Vec::with_capacity(orders.len());
        for order in orders {
            let rows = sqlx::query_as!(
                LineRow,
                "select order_id, sku, title, variant_title, quantity, unit_price_cents
                 from order_lines
                 where order_id = $1
                 order by position",
                order.id
            );
            let rows = rows.fetch_all(&mut *connection).await?;
            all.push(rows.into_iter().map(|row| row.line(order.currency)).collect());
        }
        Ok(all)
    }
}
