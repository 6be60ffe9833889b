//! **Technique**: one update for all SKUs of the order, on the condition that there are enough, as the last statement of
//! a short transaction. Then the payment, with no transaction open.
//! **Cost**: one statement. A SKU is locked from that statement to the end of the commit.
//! **Fails when**: one SKU is wanted by so many at once that its commits, one after the other, are the bottleneck: then
//! stock is kept in parts, or taken by one writer for many.
//! **Source**: <https://www.postgresql.org/docs/current/transaction-iso.html>, read committed: an update that waited for
//! another looks at its condition again.

use axum::extract::State;
use axum::response::Response;
use storefront::telemetry::order_reached;
use uuid::Uuid;

use super::basket::Item;
use super::{ATTEMPTS, Begun, Draft, NewOrder, PlaceOrder, Stop};
use super::{begin, insufficient_stock, reservation, to_its_end, too_contended};
use crate::database::Session;
use crate::http::error::{ApiError, Problem};
use crate::http::timings::{RequestTimings, Timings};
use crate::orders::order::Order;
use crate::orders::settlement;
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
            let mut draft = match begin(&app, &timings, &request).await? {
                Begun::Answered(answer) => return Ok(answer),
                Begun::Draft(draft) => draft,
            };
            match reserve(&app, &timings, &request, &mut draft).await {
                Ok(()) => return settlement::pay(&app, &timings, &request, draft.order).await,
                Err(Stop::Again) => {}
                Err(Stop::With(error)) => return Err(error),
            }
        }
        Err(too_contended())
    })
    .await
}

/// The order and its stock, or nothing.
async fn reserve(app: &App, timings: &Timings, request: &PlaceOrder, draft: &mut Draft) -> Result<(), Stop> {
    let mut session = app.database.session(timings).await?;
    let mut transaction = session.begin().await?;
    reservation::insert_order(app, &mut transaction, request, draft).await?;
    app.orders
        .lines
        .insert(&mut transaction, draft.order.id, &draft.items)
        .await?;
    let taken = take_stock(&mut transaction, &draft.items).await?;
    if taken.len() < draft.items.len() {
        let short = draft
            .items
            .iter()
            .filter(|item| !taken.contains(&item.variant_id));
        let short: Vec<&str> = short.map(|item| item.sku.as_str()).collect();
        return Err(insufficient_stock(&short).into());
    }
    transaction.commit().await?;
    order_reached("pending_payment");
    Ok(())
}

/// Takes what there is enough of, and returns it. Rows are locked in the order of their ids, as everybody does, so that
/// two orders of the same SKUs can't wait for each other.
async fn take_stock(transaction: &mut Session<'_>, items: &[Item]) -> Result<Vec<Uuid>, sqlx::Error> {
    let variants: Vec<Uuid> = items.iter().map(|item| item.variant_id).collect();
    let quantities: Vec<i32> = items.iter().map(|item| item.quantity).collect();
    let taken = sqlx::query_scalar!(
        "with enough as materialized (
             select variants.id, wanted.quantity
             from unnest($1::uuid[], $2::int[]) as wanted (id, quantity)
             join variants on variants.id = wanted.id
             where variants.stock_quantity >= wanted.quantity
             order by variants.id
             for no key update of variants
         )
         update variants set stock_quantity = stock_quantity - enough.quantity
         from enough
         where variants.id = enough.id
         returning variants.id",
        &variants,
        &quantities
    );
    taken.fetch_all(transaction).await
}
