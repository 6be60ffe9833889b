//! Taking and returning stock. Rows are locked in the lock order, by `(product_id, id)`.

use platform::postgres::{Counter, InstrumentedConnection};
use uuid::Uuid;

/// The units of one variant that an order takes, with the price it was offered at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unit {
    /// First part of the lock order.
    pub product_id: Uuid,
    /// Second part.
    pub variant_id: Uuid,
    pub quantity: i32,
    pub unit_price_cents: i64,
}

/// Orders of at most this many SKUs take their stock by a plain update.
///
/// A plain update visits a contended row only once, which allows 50 % more sales of a hot SKU. It
/// locks rows in the order in which its plan finds them, which is the subquery's order as long as the planner
/// looks up each id in the primary key: it does for a few ids, on any table of more than about ten pages. (On
/// a smaller one a deadlock is possible; Postgres aborts one order, which is retried.) For many ids it may
/// scan the table, in any order. So larger orders lock their rows in a separate step with a guaranteed order.
pub(super) const PLAIN_UP_TO: usize = 3;

/// Takes all units, if each variant has enough stock and still has the price that was read. An update that
/// waited for a lock checks both again, on the current row (read committed). Returns whether all were taken;
/// if not, the caller must roll back.
///
/// The statements hide their arrays from the planner by `(select …)`. It would see how short they are, and plan the
/// statement again for each order.
///
/// # Errors
/// When the statement fails.
pub async fn take_stock<C: Counter + Sync>(
    transaction: &mut InstrumentedConnection<'_, C>,
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
                 from unnest((select $1::uuid[]), (select $2::int[]), (select $3::bigint[])) with ordinality
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
                 from unnest((select $1::uuid[]), (select $2::int[]), (select $3::bigint[]))
                      as wanted (id, quantity, price_cents)
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

/// Returns the units of an order, in the transaction that ends it; its status changes once, so they are
/// returned once. Units of a variant that was deleted meanwhile are dropped. Stock is capped at its column's
/// maximum, because the order must be able to end.
///
/// # Errors
/// When the statement fails.
pub(super) async fn return_stock<C: Counter + Sync>(
    transaction: &mut InstrumentedConnection<'_, C>,
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
