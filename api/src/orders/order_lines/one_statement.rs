//! **Technique**: one `insert` for all lines, passed as one array per column (`unnest`).
//! **Cost**: one statement and round trip, whatever the order's size; the statement's text is constant, so it is
//! prepared once.
//! **Fails when**: an order's lines don't fit in memory at once; a cart's limit prevents that.
//! **Source**: <https://www.postgresql.org/docs/current/functions-array.html>, `unnest` of several arrays.

use uuid::Uuid;

use crate::database::InstrumentedConnection;
use crate::orders::basket::BasketItem;

/// Inserts all lines at once.
#[derive(Debug, Clone, Copy)]
pub struct OneStatement;

impl OneStatement {
    /// Inserts the lines of an order, in the order of its items.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn insert(
        self,
        transaction: &mut InstrumentedConnection<'_>,
        order: Uuid,
        items: &[BasketItem],
    ) -> Result<(), sqlx::Error> {
        let texts =
            |text: fn(&BasketItem) -> &String| -> Vec<String> { items.iter().map(text).cloned().collect() };
        let variants: Vec<Uuid> = items.iter().map(|item| item.variant_id).collect();
        let products: Vec<Uuid> = items.iter().map(|item| item.product_id).collect();
        let quantities: Vec<i32> = items.iter().map(|item| item.quantity).collect();
        let prices: Vec<i64> = items.iter().map(|item| item.unit_price_cents).collect();
        let rows = sqlx::query!(
            "insert into order_lines (order_id, position, variant_id, product_id, quantity, unit_price_cents, sku, title,
                                      variant_title)
             select $1, position - 1, variant_id, product_id, quantity, unit_price_cents, sku, title, variant_title
             from unnest($2::uuid[], $3::uuid[], $4::int[], $5::bigint[], $6::text[], $7::text[], $8::text[])
                  with ordinality
                  as line (variant_id, product_id, quantity, unit_price_cents, sku, title, variant_title, position)",
            order,
            &variants,
            &products,
            &quantities,
            &prices,
            &texts(|item| &item.sku),
            &texts(|item| &item.title),
            &texts(|item| &item.variant_title)
        );
        rows.execute(transaction).await?;
        Ok(())
    }
}
