//! Units of a SKU, taken and returned.
//!
//! Both are one `update` whose rows come from an ordered subquery: Postgres locks a row as it updates it, so the order of
//! the subquery is the order of the locks. That holds for a nested loop over the subquery, which is what the planner
//! chooses for a few ids and an index; `api/tests/orders/stock.rs` reads the plan. (Locking rows with `select … for update`
//! first promises the order as well, and costs a second pass over the contended row.)

use uuid::Uuid;

use crate::postgres::{Counter, Session};

/// What an order takes of one variant, and the price it was offered at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unit {
    /// The lock order's first part.
    pub product_id: Uuid,
    /// And its second.
    pub variant_id: Uuid,
    /// How many.
    pub quantity: i32,
    /// What one costs.
    pub unit_price_cents: i64,
}

/// Takes all units where each variant has enough and still costs what was priced. An update that waited for another
/// checks both again, on the row as it is then. Returns whether all were taken; if not, the caller has to roll back.
///
/// # Errors
/// When the statement fails.
pub async fn take_stock<C: Counter + Sync>(
    transaction: &mut Session<'_, C>,
    units: &[Unit],
) -> Result<bool, sqlx::Error> {
    let mut units = units.to_vec();
    units.sort_unstable();
    let variants: Vec<Uuid> = units.iter().map(|unit| unit.variant_id).collect();
    let quantities: Vec<i32> = units.iter().map(|unit| unit.quantity).collect();
    let prices: Vec<i64> = units.iter().map(|unit| unit.unit_price_cents).collect();
    let taken = sqlx::query!(
        "update variants set stock_quantity = stock_quantity - wanted.quantity
         from (
             select id, quantity, price_cents
             from unnest($1::uuid[], $2::int[], $3::bigint[]) with ordinality
                  as wanted (id, quantity, price_cents, position)
             order by position
         ) as wanted
         where variants.id = wanted.id and stock_quantity >= wanted.quantity
           and variants.price_cents = wanted.price_cents",
        &variants,
        &quantities,
        &prices
    );
    let taken = taken.execute(transaction).await?;
    Ok(taken.rows_affected() == units.len() as u64)
}

/// Returns the units of an order, in the transaction that ends it: its status changes once, so they return once. Units of
/// a variant that was deleted meanwhile are gone with it. A stock that would exceed its column's type stays at the largest
/// number: the order has to end all the same.
///
/// # Errors
/// When the statement fails.
pub(super) async fn return_stock<C: Counter + Sync>(
    transaction: &mut Session<'_, C>,
    order: Uuid,
) -> Result<(), sqlx::Error> {
    let returned = sqlx::query!(
        "update variants set stock_quantity = least(stock_quantity + line.quantity, 2147483647)::integer
         from (
             select variant_id, sum(quantity) as quantity
             from order_lines
             where order_id = $1
             group by product_id, variant_id
             order by product_id, variant_id
         ) as line
         where variants.id = line.variant_id",
        order
    );
    returned.execute(transaction).await?;
    Ok(())
}
