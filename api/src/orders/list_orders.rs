//! `GET /v1/orders`: a customer's own orders with their lines, the newest first.

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use shop::money::Currency;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Orders;
use super::history::OrderKey;
use super::order::{OrderLine, OrderSummary, Status, Totals, currency};
use crate::database::InstrumentedConnection;
use crate::sessions::Customer;
use crate::web::answer::Answer;
use crate::web::cursor::Cursor;
use crate::web::error::{ApiError, Problem};
use crate::web::page::PageQuery;
use crate::web::query::{Query, choice, group, query_parameters};
use crate::web::timings::RequestTimings;

/// A page of the signed-in customer's orders.
#[derive(Debug, Serialize, ToSchema)]
pub struct OrderPage<'r> {
    /// The newest first.
    pub items: &'r [OrderSummary],
    /// The next page's address, to be followed unchanged; null on the last page. Also in `Link`.
    pub next: Option<&'r str>,
}

query_parameters! {
    /// The parameters of a list of orders.
    pub struct OrderQuery {
        /// Only orders with this status
        status: Option<Status> = choice(Status::NAMES),
        page: PageQuery = group(),
    }
}

/// Lists your orders.
#[utoipa::path(
    get,
    path = "/v1/orders",
    tag = "Orders",
    security(("bearer" = [])),
    params(OrderQuery),
    responses(
        (status = 200, body = OrderPage),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 401, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn list_orders(
    State(orders): State<Arc<Orders>>,
    timings: RequestTimings,
    customer: Customer,
    Query(OrderQuery { status, page }): Query<OrderQuery>,
) -> Result<Answer, ApiError> {
    let limit = page.limit;
    // A cursor is bound to one customer's list and its filter.
    let filter = status.map(Status::as_str);
    let list = format!(
        "/v1/orders?customer={}&status={}",
        customer.id,
        filter.unwrap_or_default()
    );
    let cursor = page.cursor(&orders.cursors, &list)?;

    let mut connection = orders.database.acquire(&timings).await?;
    let mut rows = newest_orders(&mut connection, customer.id, status, cursor, limit + 1).await?;
    let more = rows.len() as i64 > limit;
    rows.truncate(limit as usize);
    let keys: Vec<OrderKey> = rows.iter().map(OrderRow::key).collect::<Result<_, _>>()?;
    let lines = orders.history.lines(&mut connection, &keys).await?;
    drop(connection);

    let summaries: Vec<OrderSummary> = rows
        .into_iter()
        .zip(keys)
        .zip(lines)
        .map(|((row, key), lines)| row.summary(key.currency, lines))
        .collect::<Result<_, _>>()?;
    let next = summaries.last().filter(|_| more).map(|last| {
        let end = Cursor::after_id(last.id);
        let after = orders.cursors.encode(&list, &end);
        let filter = filter
            .map(|status| format!("status={status}&"))
            .unwrap_or_default();
        format!("/v1/orders?{filter}limit={limit}&after={after}")
    });
    let page = OrderPage {
        items: &summaries,
        next: next.as_deref(),
    };
    let body = serde_json::to_vec(&page).map_err(ApiError::internal)?;
    Ok(Answer::new(next.as_deref(), &body))
}

struct OrderRow {
    id: Uuid,
    number: i64,
    status: String,
    created_at: OffsetDateTime,
    subtotal_cents: i64,
    discount_cents: i64,
    shipping_cents: i64,
    currency: String,
}

impl OrderRow {
    fn key(&self) -> Result<OrderKey, sqlx::Error> {
        Ok(OrderKey {
            id: self.id,
            currency: currency(&self.currency)?,
        })
    }

    fn summary(self, currency: Currency, items: Vec<OrderLine>) -> Result<OrderSummary, sqlx::Error> {
        let totals = Totals::new(
            self.subtotal_cents,
            self.discount_cents,
            self.shipping_cents,
            currency,
        );
        Ok(OrderSummary {
            id: self.id,
            number: self.number,
            status: Status::from_column(&self.status)?,
            created_at: self.created_at,
            items,
            totals: totals.expect("the table holds the sum as well"),
        })
    }
}

/// Keyset pagination by id: UUIDv7 sorts by time, and the index `orders_customer_id_idx` has that order.
async fn newest_orders(
    connection: &mut InstrumentedConnection<'_>,
    customer: Uuid,
    status: Option<Status>,
    after: Option<Cursor>,
    limit: i64,
) -> Result<Vec<OrderRow>, sqlx::Error> {
    let before = after.map_or(Uuid::max(), |cursor| cursor.id);
    let statuses: Vec<String> = match status {
        Some(status) => vec![status.as_str().to_owned()],
        None => Status::NAMES.iter().map(|(name, _)| (*name).to_owned()).collect(),
    };
    let rows = sqlx::query_as!(
        OrderRow,
        "select id, number, status, created_at, subtotal_cents, discount_cents, shipping_cents, currency
         from orders
         where customer_id = $1 and id < $2 and status = any($3)
         order by id desc
         limit $4",
        customer,
        before,
        &statuses,
        limit
    );
    rows.fetch_all(connection).await
}
