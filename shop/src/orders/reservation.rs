//! A reservation: the order's row bound to the client's key, and the checks before its commit. Between the
//! two, the arms of `order_lines` and `stock` write lines and stock.

use std::time::Duration;

use platform::postgres::{Counter, InstrumentedConnection};
use serde_json::Value;
use sqlx::types::time::OffsetDateTime;
use uuid::Uuid;

use super::Unit;

/// The idempotency key of a request that places an order.
#[derive(Debug, Clone, Copy)]
pub struct NewKey<'a> {
    pub owner: &'a [u8],
    pub key: &'a str,
    /// SHA-256 of the request.
    pub request_hash: &'a [u8],
    pub retention_hours: i32,
    /// The length of the lease on the key.
    pub locked_for: Duration,
}

/// An order to insert.
#[derive(Debug, Clone, Copy)]
pub struct NewOrder<'a> {
    pub key: NewKey<'a>,
    pub id: Uuid,
    pub cart_id: Uuid,
    /// That cart's version when it was priced.
    pub cart_version: OffsetDateTime,
    /// Null for a guest.
    pub customer_id: Option<Uuid>,
    /// By the api's clock.
    pub created_at: OffsetDateTime,
    /// How long its stock is reserved while it is unpaid.
    pub reserved_for: Duration,
    pub subtotal_cents: i64,
    pub discount_cents: i64,
    pub shipping_cents: i64,
    pub total_cents: i64,
    pub currency: &'a str,
    /// `standard` or `express`.
    pub shipping_method: &'a str,
    pub email: &'a str,
    /// SHA-256 of a guest's order token.
    pub token_hash: Option<&'a [u8]>,
    /// The coupon, if it gives a discount.
    pub coupon_code: Option<&'a str>,
    pub shipping_address: &'a Value,
}

/// Claims the request's key, locks the cart at its version, and inserts the order. The key comes first: a
/// concurrent request with the same key waits for it, and starts over when this transaction has ended.
/// Returns the order's number; `None` when a concurrent request was faster, or the cart has changed since it
/// was priced.
///
/// # Errors
/// When the statement fails.
pub async fn insert_order<C: Counter + Sync>(
    transaction: &mut InstrumentedConnection<'_, C>,
    order: &NewOrder<'_>,
) -> Result<Option<i64>, sqlx::Error> {
    let query = sqlx::query_file_scalar!(
        "src/orders/insert_order.sql",
        order.key.owner,
        order.key.key,
        order.key.request_hash,
        order.key.retention_hours,
        order.key.locked_for.as_secs_f64(),
        order.id,
        order.cart_id,
        order.customer_id,
        order.created_at,
        order.reserved_for.as_secs_f64(),
        order.subtotal_cents,
        order.discount_cents,
        order.shipping_cents,
        order.total_cents,
        order.currency,
        order.shipping_method,
        order.email,
        order.token_hash,
        order.coupon_code,
        order.shipping_address,
        Uuid::now_v7(),
        order.cart_version
    );
    query.fetch_optional(transaction).await
}

/// The lines of an order to reserve, a column each.
#[derive(Debug, Clone, Copy)]
pub struct NewLines<'a> {
    pub variants: &'a [Uuid],
    pub products: &'a [Uuid],
    pub quantities: &'a [i32],
    pub unit_prices_cents: &'a [i64],
    pub skus: &'a [String],
    pub titles: &'a [String],
    pub variant_titles: &'a [String],
}

/// The most lines of an order that is reserved in one statement: for so few, its plan looks up each variant, and locks it,
/// in the lock order (see `stock.rs`).
pub const MAX_LINES_AT_ONCE: usize = super::stock::PLAIN_UP_TO;

/// A whole reservation in one statement, and so in one transaction: what [`insert_order`] does, the lines, and
/// [`super::take_stock`]. For orders without a coupon and without the last unit of any SKU, with up to
/// [`MAX_LINES_AT_ONCE`] lines. Returns the order's number; `None` when a concurrent request was faster, when cart, prices
/// or stock have changed, or when waiting for a lock took longer than `valid_for`. Then nothing is written.
///
/// # Errors
/// When the statement fails otherwise.
pub async fn reserve_at_once<C: Counter + Sync>(
    connection: &mut InstrumentedConnection<'_, C>,
    order: &NewOrder<'_>,
    lines: NewLines<'_>,
    valid_for: Duration,
) -> Result<Option<i64>, sqlx::Error> {
    /// Of `reservation_conflict()` in the migrations.
    const CONFLICT: &str = "BS001";
    let query = sqlx::query_file_scalar!(
        "src/orders/reserve.sql",
        order.key.owner,
        order.key.key,
        order.key.request_hash,
        order.key.retention_hours,
        order.key.locked_for.as_secs_f64(),
        order.id,
        order.cart_id,
        order.customer_id,
        order.created_at,
        order.reserved_for.as_secs_f64(),
        order.subtotal_cents,
        order.discount_cents,
        order.shipping_cents,
        order.total_cents,
        order.currency,
        order.shipping_method,
        order.email,
        order.token_hash,
        order.coupon_code,
        order.shipping_address,
        Uuid::now_v7(),
        order.cart_version,
        lines.variants,
        lines.products,
        lines.quantities,
        lines.unit_prices_cents,
        lines.skus,
        lines.titles,
        lines.variant_titles,
        valid_for.as_secs_f64()
    );
    match query.fetch_one(connection).await {
        Err(sqlx::Error::Database(fault)) if fault.code().as_deref() == Some(CONFLICT) => Ok(None),
        number => number,
    }
}

/// What a reservation relies on, checked after its stock was taken.
#[derive(Debug, Clone, Copy)]
pub struct ReservationCheck<'a> {
    pub units: &'a [Unit],
    pub currency: &'a str,
    /// The coupon to redeem.
    pub coupon_code: Option<&'a str>,
}

/// The last statement of a reservation that has a coupon, or had to wait after it was priced: redeems the
/// coupon, and compares prices, currency and `active` with the current rows. Returns whether all still hold;
/// if not, the caller must roll back and price again. It is a separate statement because only a new statement
/// sees changes committed while the previous one waited (read committed). It hides its values from the planner, as
/// [`super::take_stock`] does.
///
/// # Errors
/// When the statement fails.
pub async fn check_reservation<C: Counter + Sync>(
    transaction: &mut InstrumentedConnection<'_, C>,
    check: ReservationCheck<'_>,
) -> Result<bool, sqlx::Error> {
    let variants: Vec<Uuid> = check.units.iter().map(|unit| unit.variant_id).collect();
    let prices: Vec<i64> = check.units.iter().map(|unit| unit.unit_price_cents).collect();
    let holds = sqlx::query_scalar!(
        r#"with coupon as (
               update coupons set uses = uses + 1
               where code = (select $4::text) and valid_from <= now() and now() < valid_until
                 and (max_uses is null or uses < max_uses)
               returning code
           )
           select ($4::text is null or exists (select from coupon))
              and cardinality($1::uuid[]) = (
                  select count(*)
                  from unnest((select $1::uuid[]), (select $2::bigint[])) as priced (id, price_cents)
                  join variants on variants.id = priced.id and variants.price_cents = priced.price_cents
                  join products on products.id = variants.product_id and products.active and products.currency = $3
              ) as "holds!""#,
        &variants,
        &prices,
        check.currency,
        check.coupon_code
    );
    holds.fetch_one(transaction).await
}
