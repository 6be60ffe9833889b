//! Units of a SKU, taken and returned. Rows are locked in the lock order, by `(product_id, id)`.

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

/// Up to so many SKUs, an order takes its stock by a plain update.
///
/// A plain update passes over a contended row once, which is worth half as many sales again of a hot SKU. Its rows are
/// locked in the order in which the plan finds them, and that is the order of the subquery for as long as the planner
/// looks each id up in the primary key: for a few ids it does, on any table of more than some ten pages. (On a smaller
/// one, a deadlock is possible; Postgres ends one of the two, and that order begins again.) For many ids it may read the
/// table instead, in no order. So larger orders lock their rows in a step of their own, which promises the order.
const PLAIN_UP_TO: usize = 3;

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
    let taken = if units.len() <= PLAIN_UP_TO {
        let plain = sqlx::query!(
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
        plain.execute(transaction).await?
    } else {
        let locked_first = sqlx::query!(
            "with enough as materialized (
                 select variants.id, wanted.quantity
                 from unnest($1::uuid[], $2::int[], $3::bigint[]) as wanted (id, quantity, price_cents)
                 join variants on variants.id = wanted.id
                 where variants.stock_quantity >= wanted.quantity and variants.price_cents = wanted.price_cents
                 order by variants.product_id, variants.id
                 for no key update of variants
             )
             update variants set stock_quantity = stock_quantity - enough.quantity
             from enough
             where variants.id = enough.id",
            &variants,
            &quantities,
            &prices
        );
        locked_first.execute(transaction).await?
    };
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
        "with line as (
             select variant_id, sum(quantity) as quantity from order_lines where order_id = $1 group by variant_id
         ), locked as materialized (
             select variants.id, line.quantity
             from line
             join variants on variants.id = line.variant_id
             order by variants.product_id, variants.id
             for no key update of variants
         )
         update variants set stock_quantity = least(stock_quantity + locked.quantity, 2147483647)::integer
         from locked
         where variants.id = locked.id",
        order
    );
    returned.execute(transaction).await?;
    Ok(())
}
