//! `DELETE /v1/sessions/current`: signs out. The refresh token is revoked immediately, and an access token that the shop
//! looks up as well. A self-contained access token stays valid until it expires (the lesson `sessions`).

use axum::extract::State;
use axum::http::StatusCode;

use crate::http::error::{ApiError, Problem};
use crate::http::identity::Customer;
use crate::http::query::NoParameters;
use crate::http::timings::RequestTimings;
use crate::state::AppState;

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
    State(app): State<AppState>,
    timings: RequestTimings,
    customer: Customer,
    _: NoParameters,
) -> Result<StatusCode, ApiError> {
    let mut connection = app.database.acquire(&timings).await?;
    app.sessions.close(&mut connection, &customer).await?;
    Ok(StatusCode::NO_CONTENT)
}
