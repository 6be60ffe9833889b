//! **Technique**: `select … for update` on the order's SKUs, held until the payment is known: one transaction from the
//! stock to the paid order.
//! **Cost**: two statements, and a connection and the locks for as long as the payment takes.
//! **Fails when**: a SKU is wanted by more than one at once: each waits for the payment of the one before, and so many
//! payments are under way as there are connections. A process that dies meanwhile forgets the order, not the payment: the
//! gateway holds money that no order knows of.
//! **Source**: <https://www.postgresql.org/docs/current/explicit-locking.html>, row-level locks.

use std::collections::HashMap;

use axum::extract::State;
use axum::response::Response;
use uuid::Uuid;

use super::basket::Item;
use super::{ATTEMPTS, Begun, Draft, NewOrder, PlaceOrder, Stop};
use super::{begin, insufficient_stock, reservation, to_its_end, too_contended};
use crate::database::Session;
use crate::http::error::{ApiError, Problem};
use crate::http::timings::{RequestTimings, Timings};
use crate::orders::answering;
use crate::orders::order::Order;
use crate::orders::settlement::{self, Settled};
use crate::state::{App, AppState};

/// Order what is in a cart.
#[utoipa::path(
    post,
    path = "/v1/orders",
    tag = "Orders",
    security((), ("bearer" = [])),
    params(
        ("idempotency-key" = String, Header, description = "New for each order, the same when it is asked for again", min_length = 1, max_length = 255),
        ("x-cart-token" = Option<String>, Header, description = "A guest's cart: `token` of the answer that made it"),
    ),
    request_body = NewOrder,
    responses(
        (status = 201, description = "Ordered and paid; a guest's has `order_token`", body = Order),
        (status = 202, description = "Ordered; whether it is paid is not known yet", body = Order),
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
    to_its_end(async move {
        for _ in 0..ATTEMPTS {
            let draft = match begin(&app, &timings, &request).await? {
                Begun::Answered(answer) => return Ok(answer),
                Begun::Draft(draft) => draft,
            };
            match reserve_and_pay(&app, &timings, &request, *draft).await {
                Ok(settled) => return answering::answer(&app, &timings, &request, settled).await,
                Err(Stop::Again) => {}
                Err(Stop::With(error)) => return Err(error),
            }
        }
        Err(too_contended())
    })
    .await
}

/// The order, its stock and its payment, under one lock.
async fn reserve_and_pay(
    app: &App,
    timings: &Timings,
    request: &PlaceOrder,
    mut draft: Draft,
) -> Result<Settled, Stop> {
    let mut session = app.database.session(timings).await?;
    let mut transaction = session.begin().await?;
    // The coupon before the stock, as everywhere.
    reservation::insert_order(app, &mut transaction, request, &mut draft).await?;
    let stock = lock_stock(&mut transaction, &draft.items).await?;
    require_enough(&draft.items, &stock)?;
    app.orders
        .lines
        .insert(&mut transaction, draft.order.id, &draft.items)
        .await?;
    take_stock(&mut transaction, &draft.items).await?;
    let outcome = settlement::authorize(app, request, &draft.order).await;
    let settled = settlement::record(app, &mut transaction, request, draft.order, outcome).await?;
    transaction.commit().await?;
    Ok(settled)
}

fn require_enough(items: &[Item], stock: &HashMap<Uuid, i32>) -> Result<(), ApiError> {
    let has_enough = |item: &&Item| {
        stock
            .get(&item.variant_id)
            .is_some_and(|stock| *stock >= item.quantity)
    };
    let short: Vec<&str> = items
        .iter()
        .filter(|item| !has_enough(item))
        .map(|item| item.sku.as_str())
        .collect();
    if short.is_empty() {
        Ok(())
    } else {
        Err(insufficient_stock(&short))
    }
}

/// In the order of the ids, as everybody does, so that two orders of the same SKUs can't wait for each other.
async fn lock_stock(
    transaction: &mut Session<'_>,
    items: &[Item],
) -> Result<HashMap<Uuid, i32>, sqlx::Error> {
    let variants: Vec<Uuid> = items.iter().map(|item| item.variant_id).collect();
    let rows = sqlx::query!(
        "select id, stock_quantity from variants where id = any($1) order by id for update",
        &variants
    );
    let rows = rows.fetch_all(transaction).await?;
    Ok(rows.into_iter().map(|row| (row.id, row.stock_quantity)).collect())
}

async fn take_stock(transaction: &mut Session<'_>, items: &[Item]) -> Result<(), sqlx::Error> {
    let variants: Vec<Uuid> = items.iter().map(|item| item.variant_id).collect();
    let quantities: Vec<i32> = items.iter().map(|item| item.quantity).collect();
    let taken = sqlx::query!(
        "update variants set stock_quantity = stock_quantity - wanted.quantity
         from unnest($1::uuid[], $2::int[]) as wanted (id, quantity)
         where variants.id = wanted.id",
        &variants,
        &quantities
    );
    taken.execute(transaction).await?;
    Ok(())
}
