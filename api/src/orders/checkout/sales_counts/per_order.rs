//! **Technique**: `update products set sales_count = sales_count + n`, for each product of the order.
//! **Cost**: a statement and a transaction per product, each of which rewrites the product's wide row and an entry in
//! every index (write amplification).
//! **Fails when**: a product is hot: its orders serialize on its row lock. Only one row is locked at a time, so there
//! is no deadlock.
//! **Source**: <https://www.postgresql.org/docs/current/storage-hot.html>

use uuid::Uuid;

use crate::database::InstrumentedConnection;

/// The arm `sales_counts=per_order`.
#[derive(Debug, Clone, Copy)]
pub struct PerOrder;

impl PerOrder {
    pub(super) async fn count(
        self,
        connection: &mut InstrumentedConnection<'_>,
        order: Uuid,
    ) -> Result<(), sqlx::Error> {
        let sold = sqlx::query!(
            r#"select product_id, sum(quantity)::int8 as "units!" from order_lines
               where order_id = $1 group by product_id order by product_id"#,
            order
        )
        .fetch_all(&mut *connection)
        .await?;
        for product in sold {
            sqlx::query!(
                "update products set sales_count = sales_count + $2 where id = $1",
                product.product_id,
                product.units
            )
            .execute(&mut *connection)
            .await?;
        }
        Ok(())
    }
}
