//! Pessimistic locking of stock, shared by the arms `row_lock` and `row_lock_through_payment`.

use std::collections::HashMap;

use uuid::Uuid;

use crate::database::InstrumentedConnection;
use crate::orders::basket::{BasketItem, insufficient_stock};
use crate::orders::draft::ReserveError;

/// Locks the variants of the items, and decrements their stock if it suffices for every item.
pub(super) async fn take_stock(
    transaction: &mut InstrumentedConnection<'_>,
    items: &[BasketItem],
) -> Result<(), ReserveError> {
    let stock = lock_stock(transaction, items).await?;
    let is_short = |item: &&BasketItem| {
        stock
            .get(&item.variant_id)
            .is_none_or(|stock| *stock < item.quantity)
    };
    let short: Vec<&str> = items
        .iter()
        .filter(is_short)
        .map(|item| item.sku.as_str())
        .collect();
    if !short.is_empty() {
        return Err(insufficient_stock(&short).into());
    }
    Ok(update_stock(transaction, items).await?)
}

/// Locks in the lock order (product, then variant), so that concurrent orders of the same SKUs can't deadlock.
async fn lock_stock(
    transaction: &mut InstrumentedConnection<'_>,
    items: &[BasketItem],
) -> Result<HashMap<Uuid, i32>, sqlx::Error> {
    let variants: Vec<Uuid> = items.iter().map(|item| item.variant_id).collect();
    let rows = sqlx::query!(
        "select id, stock_quantity from variants where id = any($1) order by product_id, id for update",
        &variants
    );
    let rows = rows.fetch_all(transaction).await?;
    Ok(rows.into_iter().map(|row| (row.id, row.stock_quantity)).collect())
}

/// Updates in the same order, as far as the plan preserves it, because a trigger locks the product of each SKU that
/// sells out.
async fn update_stock(
    transaction: &mut InstrumentedConnection<'_>,
    items: &[BasketItem],
) -> Result<(), sqlx::Error> {
    let variants: Vec<Uuid> = items.iter().map(|item| item.variant_id).collect();
    let quantities: Vec<i32> = items.iter().map(|item| item.quantity).collect();
    let update = sqlx::query!(
        "with ordered as materialized (
             select variants.id, wanted.quantity
             from unnest($1::uuid[], $2::int[]) as wanted (id, quantity)
             join variants on variants.id = wanted.id
             order by variants.product_id, variants.id
         )
         update variants set stock_quantity = stock_quantity - ordered.quantity
         from ordered
         where variants.id = ordered.id",
        &variants,
        &quantities
    );
    update.execute(transaction).await?;
    Ok(())
}
