//! A reservation: the order's row bound to the client's key, and what is checked before it is committed. Its lines and
//! its stock are written between the two, by the arms of `order_lines` and `stock`.

use std::time::Duration;

use serde_json::Value;
use sqlx::types::time::OffsetDateTime;
use uuid::Uuid;

use super::Unit;
use crate::postgres::{Counter, Session};

/// The idempotency key of a request that places an order.
#[derive(Debug, Clone, Copy)]
pub struct NewKey<'a> {
    /// Whose key: a SHA-256.
    pub owner: &'a [u8],
    /// Its text.
    pub key: &'a str,
    /// SHA-256 of the request.
    pub request_hash: &'a [u8],
    /// How long it is kept.
    pub kept_hours: i32,
    /// How long a retry finds it locked.
    pub locked_for: Duration,
}

/// An order that is about to be inserted.
#[derive(Debug, Clone, Copy)]
pub struct NewOrder<'a> {
    /// Bound to the order.
    pub key: NewKey<'a>,
    /// A UUIDv7.
    pub id: Uuid,
    /// The cart that it was made from.
    pub cart_id: Uuid,
    /// That cart's version when it was priced.
    pub cart_version: OffsetDateTime,
    /// Null for a guest.
    pub customer_id: Option<Uuid>,
    /// Now, by the clock of the api.
    pub created_at: OffsetDateTime,
    /// How long its stock is held unpaid.
    pub reserved_for: Duration,
    /// In minor units.
    pub subtotal_cents: i64,
    /// In minor units.
    pub discount_cents: i64,
    /// In minor units.
    pub shipping_cents: i64,
    /// In minor units.
    pub total_cents: i64,
    /// ISO 4217.
    pub currency: &'a str,
    /// `standard` or `express`.
    pub shipping_method: &'a str,
    /// Where its mails go.
    pub email: &'a str,
    /// SHA-256 of the token that opens a guest's order.
    pub token_hash: Option<&'a [u8]>,
    /// The coupon that took something off.
    pub coupon_code: Option<&'a str>,
    /// As it was given.
    pub shipping_address: &'a Value,
}

/// Claims the request's key, holds the cart as it was read, and inserts the order. The key comes first: a twin waits for
/// it, and begins again when this transaction has ended. Returns the order's number; `None` after a twin, or when the cart
/// has changed since it was priced.
///
/// # Errors
/// When the statement fails.
pub async fn insert_order<C: Counter + Sync>(
    transaction: &mut Session<'_, C>,
    order: &NewOrder<'_>,
) -> Result<Option<i64>, sqlx::Error> {
    let query = sqlx::query_file_scalar!(
        "src/orders/insert_order.sql",
        order.key.owner,
        order.key.key,
        order.key.request_hash,
        order.key.kept_hours,
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

/// What a reservation relies on, checked once its stock is taken.
#[derive(Debug, Clone, Copy)]
pub struct Confirmation<'a> {
    /// What was priced.
    pub units: &'a [Unit],
    /// In this currency.
    pub currency: &'a str,
    /// The coupon of which a use is taken.
    pub coupon_code: Option<&'a str>,
}

/// The last statement of a reservation that took a coupon, or had to wait after it was priced: takes a use of the coupon,
/// and compares prices, currency and `active` with the tables as they are now. Returns whether all still holds; if not,
/// the caller has to roll back and to price again. It is a statement of its own because only a new statement sees what
/// was committed while the one before it waited.
///
/// # Errors
/// When the statement fails.
pub async fn confirm<C: Counter + Sync>(
    transaction: &mut Session<'_, C>,
    confirmation: Confirmation<'_>,
) -> Result<bool, sqlx::Error> {
    let variants: Vec<Uuid> = confirmation.units.iter().map(|unit| unit.variant_id).collect();
    let prices: Vec<i64> = confirmation
        .units
        .iter()
        .map(|unit| unit.unit_price_cents)
        .collect();
    let holds = sqlx::query_scalar!(
        r#"with coupon as (
               update coupons set uses = uses + 1
               where code = $4 and valid_from <= now() and now() < valid_until
                 and (max_uses is null or uses < max_uses)
               returning code
           )
           select ($4::text is null or exists (select from coupon))
              and cardinality($1::uuid[]) = (
                  select count(*)
                  from unnest($1::uuid[], $2::bigint[]) as priced (id, price_cents)
                  join variants on variants.id = priced.id and variants.price_cents = priced.price_cents
                  join products on products.id = variants.product_id and products.active and products.currency = $3
              ) as "holds!""#,
        &variants,
        &prices,
        confirmation.currency,
        confirmation.coupon_code
    );
    holds.fetch_one(transaction).await
}
