//! `GET /v1/admin/audit-log`: what admins changed, the newest first.

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Administration;
use crate::database::InstrumentedConnection;
use crate::sessions::Admin;
use crate::web::answer::Answer;
use crate::web::cursor::Cursor;
use crate::web::error::{ApiError, Problem};
use crate::web::page::PageQuery;
use crate::web::query::Query;
use crate::web::timings::RequestTimings;

/// A page of changes that admins made.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditLogPage<'r> {
    /// The newest first.
    pub items: &'r [AuditLogEntry],
    /// The next page's address, to be followed unchanged; null on the last page. Also in `Link`.
    pub next: Option<&'r str>,
}

/// A change that an admin made, with the old and the new values.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditLogEntry {
    pub id: Uuid,
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub at: OffsetDateTime,
    /// The admin.
    pub customer_id: Uuid,
    /// The admin's current email.
    pub email: String,
    /// `product.update` or `stock.set`.
    pub action: String,
    /// The product's slug, or the SKU.
    pub subject: String,
    /// The changed fields' old values. Longer texts are truncated to 1,000 characters with `…`.
    #[schema(value_type = Object)]
    pub before: Value,
    /// The changed fields' new values. Longer texts are truncated to 1,000 characters with `…`.
    #[schema(value_type = Object)]
    pub after: Value,
}

/// Lists what was changed, and by whom.
#[utoipa::path(
    get,
    path = "/v1/admin/audit-log",
    tag = "Admin",
    params(PageQuery),
    security(("bearer" = [])),
    responses(
        (status = 200, body = AuditLogPage),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 403, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn list_audit_log(
    State(administration): State<Arc<Administration>>,
    timings: RequestTimings,
    _admin: Admin,
    Query(page): Query<PageQuery>,
) -> Result<Answer, ApiError> {
    const LIST: &str = "/v1/admin/audit-log";
    let limit = page.limit;
    let cursor = page.cursor(&administration.cursors, LIST)?;

    let mut connection = administration.database.acquire(&timings).await?;
    let mut items = newest(&mut connection, cursor, limit + 1).await?;
    drop(connection);

    let more = items.len() as i64 > limit;
    items.truncate(limit as usize);
    let next = items.last().filter(|_| more).map(|last| {
        let end = Cursor::after_id(last.id);
        let after = administration.cursors.encode(LIST, &end);
        format!("{LIST}?limit={limit}&after={after}")
    });
    let page = AuditLogPage {
        items: &items,
        next: next.as_deref(),
    };
    let body = serde_json::to_vec(&page).map_err(ApiError::internal)?;
    Ok(Answer::new(next.as_deref(), &body))
}

/// Keyset pagination by id: UUIDv7 sorts by time. Texts are truncated, otherwise a page of changed descriptions could
/// have 13 MB.
async fn newest(
    connection: &mut InstrumentedConnection<'_>,
    after: Option<Cursor>,
    limit: i64,
) -> Result<Vec<AuditLogEntry>, sqlx::Error> {
    // The first page begins at the largest possible id.
    let before = after.map_or(Uuid::max(), |cursor| cursor.id);
    let rows = sqlx::query_as!(
        AuditLogEntry,
        r#"select l.id, l.at, l.customer_id, c.email, l.action, l.subject, coalesce(cut.before, '{}') as "before!",
                  coalesce(cut.after, '{}') as "after!"
           from audit_log l
           join customers c on c.id = l.customer_id
           cross join lateral (
               select jsonb_object_agg(key, case when length(l.before ->> key) > 1000
                                                 then to_jsonb(left(l.before ->> key, 1000) || '…') else l.before -> key end)
                          filter (where l.before ? key) as before,
                      jsonb_object_agg(key, case when length(l.after ->> key) > 1000
                                                 then to_jsonb(left(l.after ->> key, 1000) || '…') else l.after -> key end)
                          filter (where l.after ? key) as after
               from jsonb_object_keys(l.before || l.after) key
           ) cut
           where l.id < $1
           order by l.id desc
           limit $2"#,
        before,
        limit
    );
    rows.fetch_all(connection).await
}
