//! `GET /v1/me` and `PATCH /v1/me`: the signed-in customer.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Accounts;
use crate::sessions::Customer;
use crate::web::body::{BoundedString, JsonBody};
use crate::web::error::{ApiError, Problem};
use crate::web::query::NoParameters;
use crate::web::timings::RequestTimings;

/// A customer.
#[derive(Debug, Serialize, ToSchema)]
pub struct Me {
    pub id: Uuid,
    /// In lower case.
    pub email: String,
    pub name: String,
    /// `customer` or `admin`.
    pub role: String,
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub created_at: OffsetDateTime,
}

/// Fields to change; omitted fields keep their values. The email can't be changed, because this shop can't verify a
/// new one yet.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangedMe {
    #[serde(default)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 255)]
    pub name: Option<BoundedString<255>>,
}

/// Shows the signed-in customer.
#[utoipa::path(
    get,
    path = "/v1/me",
    tag = "Accounts",
    security(("bearer" = [])),
    responses(
        (status = 200, body = Me),
        (status = 401, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn show_me(
    State(accounts): State<Arc<Accounts>>,
    timings: RequestTimings,
    customer: Customer,
    _: NoParameters,
) -> Result<impl IntoResponse, ApiError> {
    let mut connection = accounts.database.acquire(&timings).await?;
    let me = sqlx::query_as!(
        Me,
        "select id, email, name, role, created_at from customers where id = $1",
        customer.id
    )
    .fetch_optional(&mut connection)
    .await?;
    // An access token may outlive its customer.
    let me = me.ok_or(ApiError::Unauthenticated)?;
    Ok(Json(me))
}

/// Changes the signed-in customer.
#[utoipa::path(
    patch,
    path = "/v1/me",
    tag = "Accounts",
    security(("bearer" = [])),
    request_body = ChangedMe,
    responses(
        (status = 200, body = Me),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 401, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn change_me(
    State(accounts): State<Arc<Accounts>>,
    timings: RequestTimings,
    customer: Customer,
    _: NoParameters,
    JsonBody(changed): JsonBody<ChangedMe>,
) -> Result<impl IntoResponse, ApiError> {
    let mut connection = accounts.database.acquire(&timings).await?;
    let me = sqlx::query_as!(
        Me,
        "update customers set name = coalesce($2, name) where id = $1
         returning id, email, name, role, created_at",
        customer.id,
        changed.name.as_ref().map(BoundedString::as_str),
    )
    .fetch_optional(&mut connection)
    .await?;
    let me = me.ok_or(ApiError::Unauthenticated)?;
    Ok(Json(me))
}
