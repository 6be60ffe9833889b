//! `PUT /v1/admin/stock/{sku}`: sets the units in stock after a count.
//!
//! Cached responses contain only whether there is stock (`available`, `in_stock`): the change feed reports every
//! variant that sells out or comes back. Carts show quantities and are never cached.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Administration, name_in_path, not_recorded};
use crate::database::InstrumentedConnection;
use crate::sessions::Admin;
use crate::web::answer::Answer;
use crate::web::body::JsonBody;
use crate::web::error::{ApiError, Problem};
use crate::web::query::NoParameters;
use crate::web::timings::RequestTimings;
use crate::web::whole_number::WholeNumber;

/// The most units of one SKU: enough for any warehouse, with room below the column's bound for stock that cancelled
/// orders return.
const MAX_STOCK: i64 = 1_000_000_000;

/// The counted units, which replace the recorded ones.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StockCount {
    #[schema(value_type = i32, minimum = 0, maximum = 1_000_000_000)]
    pub quantity: WholeNumber<0, MAX_STOCK>,
}

/// A SKU's stock before and after the request.
#[derive(Debug, Serialize, ToSchema)]
pub struct StockChange {
    pub sku: String,
    /// Units before.
    pub old_quantity: i32,
    /// Units now.
    pub quantity: i32,
}

/// Sets the stock of a SKU.
#[utoipa::path(
    put,
    path = "/v1/admin/stock/{sku}",
    tag = "Admin",
    params(("sku" = String, Path, description = "`sku` of a variant, also of an inactive product")),
    request_body = StockCount,
    security(("bearer" = [])),
    responses(
        (status = 200, body = StockChange),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 403, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 415, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn set_stock(
    State(administration): State<Arc<Administration>>,
    timings: RequestTimings,
    Admin(admin): Admin,
    sku: Result<Path<String>, PathRejection>,
    _: NoParameters,
    JsonBody(StockCount { quantity }): JsonBody<StockCount>,
) -> Result<Answer, ApiError> {
    let sku = name_in_path(sku, unknown_sku)?;
    let quantity = quantity.get() as i32;

    let mut connection = administration.database.acquire(&timings).await?;
    let mut transaction = connection.begin().await?;
    let old = write(&mut transaction, &sku, quantity, admin.id).await?;
    let old_quantity = old.ok_or_else(unknown_sku)?;
    transaction.commit().await?;
    drop(connection);

    let change = StockChange {
        sku,
        old_quantity,
        quantity,
    };
    let body = serde_json::to_vec(&change).map_err(ApiError::internal)?;
    Ok(Answer::new(None, &body))
}

fn unknown_sku() -> ApiError {
    ApiError::NotFound("no variant has this SKU".to_owned())
}

/// Sets the stock, writes the audit-log entry, and returns the old value. The row is locked when it is read, so a
/// concurrent sale is either included in the old value or applied to the new one.
async fn write(
    connection: &mut InstrumentedConnection<'_>,
    sku: &str,
    quantity: i32,
    admin: Uuid,
) -> Result<Option<i32>, ApiError> {
    let old = sqlx::query_scalar!(
        r#"with old as (
               select id, stock_quantity from variants where sku = $1 for no key update
           ), changed as (
               update variants v set stock_quantity = $2
               from old where v.id = old.id and old.stock_quantity <> $2
               returning old.stock_quantity
           ), logged as (
               insert into audit_log (id, customer_id, action, subject, before, after)
               select $3, $4, 'stock.set', $1,
                      jsonb_build_object('quantity', stock_quantity), jsonb_build_object('quantity', $2)
               from changed
           )
           select stock_quantity from old"#,
        sku,
        quantity,
        Uuid::now_v7(),
        admin
    );
    old.fetch_optional(connection).await.map_err(not_recorded)
}
