//! **Technique**: read the stock, compare it, write what is left (read-modify-write).
//! **Cost**: two statements.
//! **Fails when**: two orders read the same stock before either has written: both find enough, the later one
//! overwrites the earlier (lost update), and more is sold than exists (overselling). The transaction doesn't help:
//! read committed allows this.
//! **Source**: <https://www.postgresql.org/docs/current/transaction-iso.html>, read committed.
use std::collections::HashMap;

use uuid::Uuid;

use crate::database::InstrumentedConnection;
use crate::orders::basket::{BasketItem, insufficient_stock};
use crate::orders::draft::{OrderDraft, ReserveError};
use crate::web::error::ApiError;

/// The arm `stock=read_then_write`.
#[derive(Debug, Clone, Copy)]
pub struct ReadThenWrite;

impl ReadThenWrite {
    /// Reads the stock, then writes what is left.
    pub(super) async fn take_stock(
        self,
        transaction: &mut InstrumentedConnection<'_>,
        draft: &OrderDraft,
    ) -> Result<(), ReserveError> {
        let items = &draft.items;
        let stock = read_stock(transaction, items).await?;
        let left = left_over(items, &stock)?;
        Ok(write_stock(transaction, items, &left).await?)
    }
}

/// The stock that is left of each SKU.
fn left_over(items: &[BasketItem], stock: &HashMap<Uuid, i32>) -> Result<Vec<i32>, ApiError> {
    let left = |item: &BasketItem| {
        stock
            .get(&item.variant_id)
            .map_or(-1, |stock| stock - item.quantity)
    };
    let short: Vec<&str> = items
        .iter()
        .filter(|item| left(item) < 0)
        .map(|item| item.sku.as_str())
        .collect();
    if !short.is_empty() {
        return Err(insufficient_stock(&short));
    }
    Ok(items.iter().map(left).collect())
}

async fn read_stock(
    transaction: &mut InstrumentedConnection<'_>,
    items: &[BasketItem],
) -> Result<HashMap<Uuid, i32>, sqlx::Error> {
    let variants: Vec<Uuid> = items.iter().map(|item| item.variant_id).collect();
    let rows = sqlx::query!(
        "select id, stock_quantity from variants where id = any($1)",
        &variants
    );
    let rows = rows.fetch_all(transaction).await?;
    Ok(rows.into_iter().map(|row| (row.id, row.stock_quantity)).collect())
}

/// In the lock order, so that concurrent orders of the same SKUs can't deadlock.
async fn write_stock(
    transaction: &mut InstrumentedConnection<'_>,
    items: &[BasketItem],
    left: &[i32],
) -> Result<(), sqlx::Error> {
    let variants: Vec<Uuid> = items.iter().map(|item| item.variant_id).collect();
    let written = sqlx::query!(
        "with changed as materialized (
             select variants.id, wanted.left_over
             from unnest($1::uuid[], $2::int[]) as wanted (id, left_over)
             join variants on variants.id = wanted.id
             order by variants.product_id, variants.id
             for no key update of variants
         )
         update variants set stock_quantity = changed.left_over
         from changed
         where variants.id = changed.id",
        &variants,
        left
    );
    written.execute(transaction).await?;
    Ok(())
}
