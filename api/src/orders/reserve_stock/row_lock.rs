//! **Technique**: pessimistic locking in a short transaction: `select … for update` on the order's SKUs, a comparison
//! in code, and an update. It ends before the payment.
//! **Cost**: two statements. A SKU's row is locked from the first of them to the end of the commit, one round trip
//! longer than by a conditional update.
//! **Fails when**: the application is far from the database: orders of a hot SKU serialize, and each adds the round
//! trip between its two statements.
//! **Source**: <https://www.postgresql.org/docs/current/explicit-locking.html>, row-level locks.
use std::collections::HashMap;

use uuid::Uuid;

use crate::database::InstrumentedConnection;
use crate::orders::basket::{BasketItem, insufficient_stock};
use crate::orders::draft::ReserveError;

/// Locks the rows, and takes the units if each has enough stock.
pub(super) async fn take(
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
    Ok(take_stock(transaction, items).await?)
}

/// In the lock order, so that concurrent orders of the same SKUs can't deadlock.
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

/// In the same order: a trigger locks the products of SKUs that are sold out by this.
async fn take_stock(
    transaction: &mut InstrumentedConnection<'_>,
    items: &[BasketItem],
) -> Result<(), sqlx::Error> {
    let variants: Vec<Uuid> = items.iter().map(|item| item.variant_id).collect();
    let quantities: Vec<i32> = items.iter().map(|item| item.quantity).collect();
    let taken = sqlx::query!(
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
    taken.execute(transaction).await?;
    Ok(())
}
