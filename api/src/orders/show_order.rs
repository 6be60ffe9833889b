//! `GET /v1/orders/{id}`: one order with its timeline, for the customer who placed it or the guest who holds its token.

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::{Path, State};
use serde::Deserialize;
use sqlx::types::Json;
use uuid::Uuid;

use super::Orders;
use super::order::{Order, OrderLine, Status, TimelineEvent, Totals, currency, token_hash};
use crate::database::InstrumentedConnection;
use crate::opaque_token::TokenHash;
use crate::sessions::MaybeCustomer;
use crate::web::answer::Answer;
use crate::web::error::{ApiError, Problem};
use crate::web::guest_tokens::OrderToken;
use crate::web::query::NoParameters;
use crate::web::timings::RequestTimings;

/// Who reads an order: a customer, a guest's token, or both.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader {
    pub(super) customer: Option<Uuid>,
    pub(super) token: Option<TokenHash>,
}

impl Reader {
    pub(super) fn new(MaybeCustomer(customer): MaybeCustomer, OrderToken(token): OrderToken) -> Self {
        Self {
            customer: customer.map(|customer| customer.id),
            token,
        }
    }
}

/// Shows your order.
#[utoipa::path(
    get,
    path = "/v1/orders/{id}",
    tag = "Orders",
    security((), ("bearer" = [])),
    params(
        ("id" = Uuid, Path, description = "The order's id"),
        ("x-order-token" = Option<String>, Header, description = "A guest's order: `order_token` of the response that created it"),
    ),
    responses(
        (status = 200, body = Order),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn show_order(
    State(orders): State<Arc<Orders>>,
    timings: RequestTimings,
    customer: MaybeCustomer,
    token: OrderToken,
    id: Result<Path<Uuid>, axum::extract::rejection::PathRejection>,
    _: NoParameters,
) -> Result<Answer, ApiError> {
    let Path(id) = id.map_err(|_| unknown_order())?;
    let mut connection = orders.database.acquire(&timings).await?;
    let order = read_order(&mut connection, id, Some(Reader::new(customer, token))).await?;
    drop(connection);
    let order = order.ok_or_else(unknown_order)?;
    let body = serde_json::to_vec(&order).map_err(ApiError::internal)?;
    Ok(Answer::new(None, &body))
}

/// Also for other customers' orders, whose existence must not be revealed.
pub(super) fn unknown_order() -> ApiError {
    ApiError::NotFound(
        "no such order, or none of yours; a guest's order needs its `x-order-token`".to_owned(),
    )
}

#[derive(Debug, Deserialize)]
struct LineColumns {
    sku: String,
    title: String,
    variant_title: String,
    quantity: i32,
    unit_price_cents: i64,
}

/// Reads an order in one statement. Without a reader, the caller has authorized the access.
///
/// # Errors
/// When the statement fails.
pub(super) async fn read_order(
    connection: &mut InstrumentedConnection<'_>,
    id: Uuid,
    reader: Option<Reader>,
) -> Result<Option<Order>, sqlx::Error> {
    let query = sqlx::query!(
        r#"select orders.id, number, status, orders.created_at, email, subtotal_cents, discount_cents, shipping_cents,
                  currency, coupon_code, shipping_method, shipping_address, token_hash, shipments.tracking_number as "tracking_number?",
                  (select coalesce(jsonb_agg(jsonb_build_object(
                              'sku', sku, 'title', title, 'variant_title', variant_title, 'quantity', quantity,
                              'unit_price_cents', unit_price_cents) order by position), '[]')
                   from order_lines where order_id = orders.id) as "lines!: Json<Vec<LineColumns>>",
                  (select coalesce(jsonb_agg(jsonb_build_object('event', event, 'at', at) order by id), '[]')
                   from order_events where order_id = orders.id) as "timeline!: Json<Vec<TimelineEvent>>"
           from orders
           left join shipments on shipments.order_id = orders.id
           where orders.id = $1 and ($2 or orders.customer_id = $3 or orders.token_hash = $4)"#,
        id,
        reader.is_none(),
        reader.and_then(|reader| reader.customer),
        reader
            .as_ref()
            .and_then(|reader| reader.token.as_ref())
            .map(<[u8; 32]>::as_slice)
    );
    let Some(row) = query.fetch_optional(connection).await? else {
        return Ok(None);
    };
    let currency = currency(&row.currency)?;
    let line = |line: LineColumns| {
        let texts = (line.sku, line.title, line.variant_title);
        OrderLine::new(texts, line.quantity, line.unit_price_cents, currency)
    };
    let totals = Totals::new(
        row.subtotal_cents,
        row.discount_cents,
        row.shipping_cents,
        currency,
    );
    Ok(Some(Order {
        id: row.id,
        number: row.number,
        status: Status::from_column(&row.status)?,
        created_at: row.created_at,
        email: row.email,
        items: row.lines.0.into_iter().map(line).collect(),
        totals: totals.expect("the table holds the sum as well"),
        coupon: row.coupon_code,
        shipping_method: Cow::Owned(row.shipping_method),
        shipping_address: row.shipping_address,
        tracking_number: row.tracking_number,
        timeline: row.timeline.0,
        token_hash: row.token_hash.map(token_hash).transpose()?,
    }))
}
