//! **Technique**: one upsert into the narrow table `product_sales` for all products of the order; a background task
//! of the worker adds the sums to the column that lists sort by.
//! **Cost**: one narrow row per product, updated in place (HOT), in a single statement.
//! **Fails when**: no worker runs: lists don't see the new counts.
//! **Source**: <https://www.postgresql.org/docs/current/storage-hot.html>

use uuid::Uuid;

use crate::database::InstrumentedConnection;

/// The arm `sales_counts=batched`.
#[derive(Debug, Clone, Copy)]
pub struct Batched;

impl Batched {
    /// In the order of the product ids, so that concurrent orders of the same products can't deadlock.
    pub(in crate::orders::checkout) async fn count(
        self,
        connection: &mut InstrumentedConnection<'_>,
        order: Uuid,
    ) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "insert into product_sales (product_id, sold)
             select product_id, sum(quantity)::int8 from order_lines
             where order_id = $1 group by product_id order by product_id
             on conflict (product_id) do update set sold = product_sales.sold + excluded.sold",
            order
        )
        .execute(connection)
        .await?;
        Ok(())
    }
}
