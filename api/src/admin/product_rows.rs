//! A product's rows, locked and written for a change, and their audit-log entry. Used by `update_product.rs`.

use serde::Serialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::not_recorded;
use crate::database::InstrumentedConnection;
use crate::web::error::ApiError;

pub(super) struct ProductRow {
    pub(super) id: Uuid,
    pub(super) slug: String,
    pub(super) title: String,
    pub(super) description: String,
    pub(super) active: bool,
    pub(super) currency: String,
}

#[derive(Debug, Clone)]
pub(super) struct VariantRow {
    pub(super) id: Uuid,
    pub(super) position: i16,
    pub(super) sku: String,
    pub(super) title: String,
    pub(super) price_cents: i64,
    pub(super) compare_at_cents: Option<i64>,
    pub(super) stock_quantity: i32,
}

/// In the lock order of sales.
pub(super) async fn lock_variants(
    connection: &mut InstrumentedConnection<'_>,
    slug: &str,
) -> Result<Vec<VariantRow>, sqlx::Error> {
    let rows = sqlx::query_as!(
        VariantRow,
        "select id, position, sku, title, price_cents, compare_at_cents, stock_quantity
         from variants
         where product_id = (select id from products where slug = $1)
         order by id
         for no key update",
        slug
    );
    rows.fetch_all(connection).await
}

pub(super) async fn lock_product(
    connection: &mut InstrumentedConnection<'_>,
    slug: &str,
) -> Result<Option<ProductRow>, sqlx::Error> {
    let row = sqlx::query_as!(
        ProductRow,
        "select id, slug, title, description, active, currency from products where slug = $1 for no key update",
        slug
    );
    row.fetch_optional(connection).await
}

/// The changed fields' old and new values.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) before: Map<String, Value>,
    pub(super) after: Map<String, Value>,
}

impl Log {
    pub(super) fn is_empty(&self) -> bool {
        self.after.is_empty()
    }

    /// Replaces a value, and records both if they differ.
    pub(super) fn replace<T: PartialEq + Serialize + Clone>(&mut self, field: &str, value: &mut T, new: &T) {
        if value != new {
            self.before.insert(field.to_owned(), json!(value));
            self.after.insert(field.to_owned(), json!(new));
            value.clone_from(new);
        }
    }
}

/// Writes product, prices and audit-log entry in one statement.
pub(super) async fn write(
    connection: &mut InstrumentedConnection<'_>,
    product: &ProductRow,
    repriced: &[VariantRow],
    admin: Uuid,
    log: &Log,
) -> Result<(), ApiError> {
    sqlx::query!(
        "with product as (
             update products set title = $2, description = $3, active = $4, updated_at = now() where id = $1
         ), prices as (
             update variants v
             set price_cents = new.price_cents, compare_at_cents = new.compare_at_cents
             from unnest($5::uuid[], $6::bigint[], $7::bigint[]) as new (id, price_cents, compare_at_cents)
             where v.id = new.id
         )
         insert into audit_log (id, customer_id, action, subject, before, after)
         values ($8, $9, 'product.update', $10, $11, $12)",
        product.id,
        product.title,
        product.description,
        product.active,
        &repriced.iter().map(|variant| variant.id).collect::<Vec<_>>(),
        &repriced
            .iter()
            .map(|variant| variant.price_cents)
            .collect::<Vec<_>>(),
        &repriced
            .iter()
            .map(|variant| variant.compare_at_cents)
            .collect::<Vec<_>>() as &[Option<i64>],
        Uuid::now_v7(),
        admin,
        product.slug,
        Value::Object(log.before.clone()),
        Value::Object(log.after.clone()),
    )
    .execute(connection)
    .await
    .map_err(not_recorded)?;
    Ok(())
}
