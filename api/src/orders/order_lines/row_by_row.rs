//! **Technique**: one `insert` per line of the order.
//! **Cost**: N statements and round trips for N lines, while the reservation's transaction is open.
//! **Fails when**: orders grow, or the database is farther away than loopback: the round trips add up, and with them
//! the time that locks taken earlier block other orders.
//! **Source**: <https://www.postgresql.org/docs/current/populate.html>

use uuid::Uuid;

use crate::database::InstrumentedConnection;
use crate::orders::basket::BasketItem;

/// The arm `order_lines=row_by_row`.
#[derive(Debug, Clone, Copy)]
pub struct RowByRow;

impl RowByRow {
    pub(super) async fn insert(
        self,
        transaction: &mut InstrumentedConnection<'_>,
        order: Uuid,
        items: &[BasketItem],
    ) -> Result<(), sqlx::Error> {
        for (item, position) in items.iter().zip(0_i16..) {
            let row = sqlx::query!(
                "insert into order_lines (order_id, position, variant_id, product_id, quantity, unit_price_cents, sku,
                                          title, variant_title)
                 values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                order,
                position,
                item.variant_id,
                item.product_id,
                item.quantity,
                item.unit_price_cents,
                item.sku,
                item.title,
                item.variant_title
            );
            row.execute(&mut *transaction).await?;
        }
        Ok(())
    }
}
