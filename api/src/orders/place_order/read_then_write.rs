//! **Technique**: read the stock, compare it, write what is left (read-modify-write).
//! **Cost**: two statements.
//! **Fails when**: two orders read the same stock before either has written: both find enough, the later one
//! overwrites the earlier (lost update), and more is sold than exists (overselling). The transaction doesn't help:
//! read committed allows this.
//! **Source**: <https://www.postgresql.org/docs/current/transaction-iso.html>, read committed.

use std::collections::HashMap;

use axum::extract::State;
use axum::response::Response;
use uuid::Uuid;

use super::basket::Item;
use super::{NewOrder, OrderDraft, PlaceOrder, ReserveError, TakeStock, insufficient_stock, place};
use crate::database::Session;
use crate::http::error::{ApiError, Problem};
use crate::http::timings::RequestTimings;
use crate::orders::order::Order;
use crate::state::AppState;

/// Places an order of a cart.
#[utoipa::path(
    post,
    path = "/v1/orders",
    tag = "Orders",
    security((), ("bearer" = [])),
    params(
        ("idempotency-key" = String, Header, description = "A new key for each order, the same when a request is repeated", min_length = 1, max_length = 255),
        ("x-cart-token" = Option<String>, Header, description = "A guest's cart: `token` of the response that created it"),
    ),
    request_body = NewOrder,
    responses(
        (status = 201, description = "Paid; a guest's has `order_token`", body = Order),
        (status = 202, description = "Placed; the payment's outcome is not known yet", body = Order),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 402, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn place_order(
    State(app): State<AppState>,
    timings: RequestTimings,
    request: PlaceOrder,
) -> Result<Response, ApiError> {
    place::<ReadThenWrite>(app, timings, request).await
}

struct ReadThenWrite;

impl TakeStock for ReadThenWrite {
    async fn take_stock(transaction: &mut Session<'_>, draft: &OrderDraft) -> Result<(), ReserveError> {
        let stock = read_stock(transaction, &draft.items).await?;
        let left = left_over(&draft.items, &stock)?;
        Ok(write_stock(transaction, &draft.items, &left).await?)
    }
}

/// The stock that is left of each SKU.
fn left_over(items: &[Item], stock: &HashMap<Uuid, i32>) -> Result<Vec<i32>, ApiError> {
    let left = |item: &Item| {
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
    transaction: &mut Session<'_>,
    items: &[Item],
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
async fn write_stock(transaction: &mut Session<'_>, items: &[Item], left: &[i32]) -> Result<(), sqlx::Error> {
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
