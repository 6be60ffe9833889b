//! `POST /v1/sessions/refresh`: exchanges a refresh token for new tokens. A refresh token is single-use. Reusing it
//! revokes its token family (RFC 9700, section 4.14.2).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Accounts, Tokens};
use crate::web::body::{BoundedString, JsonBody};
use crate::web::error::{ApiError, Problem};
use crate::web::query::NoParameters;
use crate::web::timings::RequestTimings;

/// A single-use refresh token. Using one again revokes all tokens of its sign-in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefreshToken {
    /// The most recent refresh token.
    #[schema(value_type = String, min_length = 1, max_length = 255)]
    pub refresh_token: BoundedString<255>,
}

/// Refreshes a sign-in.
#[utoipa::path(
    post,
    path = "/v1/sessions/refresh",
    tag = "Accounts",
    security(()),
    request_body = RefreshToken,
    responses(
        (status = 201, body = Tokens),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 401, body = Problem, content_type = "application/problem+json", description = "`refresh_token_refused`"),
    )
)]
pub async fn refresh_session(
    State(accounts): State<Arc<Accounts>>,
    timings: RequestTimings,
    _: NoParameters,
    JsonBody(given): JsonBody<RefreshToken>,
) -> Result<impl IntoResponse, ApiError> {
    let mut connection = accounts.database.acquire(&timings).await?;
    let grant = accounts
        .sessions
        .refresh(&mut connection, given.refresh_token.as_str())
        .await?;
    Ok((StatusCode::CREATED, Json(Tokens::from(grant))))
}
