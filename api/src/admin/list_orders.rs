//! `GET /v1/admin/orders`: all customers' orders, the newest first.

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use shop::money::{Currency, Money};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Administration;
use crate::database::InstrumentedConnection;
use crate::orders::order::Status;
use crate::sessions::Admin;
use crate::web::answer::Answer;
use crate::web::cursor::Cursor;
use crate::web::error::{ApiError, Problem};
use crate::web::money::MoneySchema;
use crate::web::page::PageQuery;
use crate::web::query::{Query, choice, group, query_parameters};
use crate::web::timings::RequestTimings;

/// A page of all customers' and guests' orders.
#[derive(Debug, Serialize, ToSchema)]
pub struct AdminOrderPage<'r> {
    /// The newest first.
    pub items: &'r [AdminOrder],
    /// The next page's address, to be followed unchanged; null on the last page. Also in `Link`.
    pub next: Option<&'r str>,
}

/// An order as admins see it, without its lines.
#[derive(Debug, Serialize, ToSchema)]
pub struct AdminOrder {
    pub id: Uuid,
    /// For people.
    pub number: i64,
    /// `pending_payment`, `paid`, `fulfilled`, `delivered`, `payment_failed` or `cancelled`.
    pub status: String,
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub created_at: OffsetDateTime,
    /// Where mails about the order go.
    pub email: String,
    /// Null for a guest's order.
    pub customer_id: Option<Uuid>,
    /// `standard` or `express`.
    pub shipping_method: String,
    #[schema(value_type = MoneySchema)]
    pub total: Money,
}

query_parameters! {
    /// The parameters of a list of orders.
    pub struct OrderQuery {
        /// Only orders with this status
        status: Option<Status> = choice(Status::NAMES),
        page: PageQuery = group(),
    }
}

/// Lists all orders.
#[utoipa::path(
    get,
    path = "/v1/admin/orders",
    tag = "Admin",
    params(OrderQuery),
    security(("bearer" = [])),
    responses(
        (status = 200, body = AdminOrderPage),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 403, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn list_orders(
    State(administration): State<Arc<Administration>>,
    timings: RequestTimings,
    _admin: Admin,
    Query(OrderQuery { status, page }): Query<OrderQuery>,
) -> Result<Answer, ApiError> {
    let status = status.map(Status::as_str);
    let limit = page.limit;
    let list = format!("/v1/admin/orders?status={}", status.unwrap_or_default());
    let cursor = page.cursor(&administration.cursors, &list)?;
    // The first page begins at the largest possible id.
    let before = cursor.map_or(Uuid::max(), |cursor| cursor.id);

    let mut connection = administration.database.acquire(&timings).await?;
    let mut rows = match status {
        Some(status) => newest_with_status(&mut connection, status, before, limit + 1).await?,
        None => newest(&mut connection, before, limit + 1).await?,
    };
    drop(connection);

    let more = rows.len() as i64 > limit;
    rows.truncate(limit as usize);
    let items = rows
        .into_iter()
        .map(OrderRow::order)
        .collect::<Result<Vec<_>, _>>()?;
    let next = items.last().filter(|_| more).map(|last| {
        let end = Cursor::after_id(last.id);
        let after = administration.cursors.encode(&list, &end);
        let filter = status
            .map(|status| format!("status={status}&"))
            .unwrap_or_default();
        format!("/v1/admin/orders?{filter}limit={limit}&after={after}")
    });
    let page = AdminOrderPage {
        items: &items,
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
    email: String,
    customer_id: Option<Uuid>,
    shipping_method: String,
    total_cents: i64,
    currency: String,
}

impl OrderRow {
    fn order(self) -> Result<AdminOrder, ApiError> {
        Ok(AdminOrder {
            id: self.id,
            number: self.number,
            status: self.status,
            created_at: self.created_at,
            email: self.email,
            customer_id: self.customer_id,
            shipping_method: self.shipping_method,
            total: Money {
                amount: self.total_cents,
                currency: self.currency.parse::<Currency>().map_err(ApiError::internal)?,
            },
        })
    }
}

/// Keyset pagination by id: UUIDv7 sorts by time.
async fn newest(
    connection: &mut InstrumentedConnection<'_>,
    before: Uuid,
    limit: i64,
) -> Result<Vec<OrderRow>, sqlx::Error> {
    let rows = sqlx::query_as!(
        OrderRow,
        "select id, number, status, created_at, email, customer_id, shipping_method, total_cents, currency
         from orders
         where id < $1
         order by id desc
         limit $2",
        before,
        limit
    );
    rows.fetch_all(connection).await
}

/// A separate statement, so that it is planned for the index `orders_status_idx`.
async fn newest_with_status(
    connection: &mut InstrumentedConnection<'_>,
    status: &str,
    before: Uuid,
    limit: i64,
) -> Result<Vec<OrderRow>, sqlx::Error> {
    let rows = sqlx::query_as!(
        OrderRow,
        "select id, number, status, created_at, email, customer_id, shipping_method, total_cents, currency
         from orders
         where status = $1 and id < $2
         order by id desc
         limit $3",
        status,
        before,
        limit
    );
    rows.fetch_all(connection).await
}
