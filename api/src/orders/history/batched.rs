//! **Technique**: one statement for the lines of all orders of the page, grouped by order afterwards.
//! **Cost**: one statement and round trip, whatever the page's size; the rows are the same.
//! **Fails when**: a page's lines don't fit in memory at once; its limit prevents that.
//! **Source**: <https://www.postgresql.org/docs/current/functions-comparisons.html>, `= any(array)`.

use std::collections::HashMap;

use uuid::Uuid;

use super::{LineRow, OrderKey};
use crate::database::InstrumentedConnection;
use crate::orders::order::OrderLine;

/// Loads the lines of all orders at once.
#[derive(Debug, Clone, Copy)]
pub struct Batched;

impl Batched {
    pub(super) async fn read(
        self,
        connection: &mut InstrumentedConnection<'_>,
        orders: &[OrderKey],
    ) -> Result<Vec<Vec<OrderLine>>, sqlx::Error> {
        let ids: Vec<Uuid> = orders.iter().map(|order| order.id).collect();
        let rows = sqlx::query_as!(
            LineRow,
            "select order_id, sku, title, variant_title, quantity, unit_price_cents
             from order_lines
             where order_id = any($1)
             order by order_id, position",
            &ids
        );
        let index: HashMap<Uuid, usize> = ids.iter().enumerate().map(|(at, id)| (*id, at)).collect();
        let mut all: Vec<Vec<OrderLine>> = orders.iter().map(|_| Vec::new()).collect();
        for row in rows.fetch_all(connection).await? {
            let at = index[&row.order_id];
            all[at].push(row.line(orders[at].currency));
        }
        Ok(all)
    }
}
