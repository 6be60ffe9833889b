//! `DELETE /v1/sessions/current`: signs out. The refresh token is revoked immediately. A self-contained access token stays valid
//! until it expires. One that an arm of `sessions` looks up is revoked as well.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;

use super::Accounts;
use crate::sessions::Customer;
use crate::web::error::{ApiError, Problem};
use crate::web::query::NoParameters;
use crate::web::timings::RequestTimings;

/// Signs out.
#[utoipa::path(
    delete,
    path = "/v1/sessions/current",
    tag = "Accounts",
    security(("bearer" = [])),
    responses(
        (status = 204),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn sign_out(
    State(accounts): State<Arc<Accounts>>,
    timings: RequestTimings,
    customer: Customer,
    _: NoParameters,
) -> Result<StatusCode, ApiError> {
    let mut connection = accounts.database.acquire(&timings).await?;
    accounts.sessions.close(&mut connection, &customer).await?;
    Ok(StatusCode::NO_CONTENT)
}
