//! `POST /v1/carts`: creates an empty cart, for a guest or a customer.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Carts;
use super::cart::CartView;
use crate::database::InstrumentedConnection;
use crate::opaque_token::{OpaqueToken, TokenHash};
use crate::sessions::MaybeCustomer;
use crate::web::answer::Answer;
use crate::web::body;
use crate::web::error::{ApiError, Problem};
use crate::web::query::NoParameters;
use crate::web::timings::RequestTimings;

/// No fields; unknown ones are rejected.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCart {}

/// Creates an empty cart. A guest's cart comes with a token, which is shown only once.
#[utoipa::path(
    post,
    path = "/v1/carts",
    tag = "Carts",
    request_body(content = Option<NewCart>, description = "Empty, or `{}`"),
    security((), ("bearer" = [])),
    responses(
        (status = 201, body = CartView),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 413, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn create_cart(
    State(carts): State<Arc<Carts>>,
    timings: RequestTimings,
    MaybeCustomer(customer): MaybeCustomer,
    _: NoParameters,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    reject_fields(body)?;
    let id = Uuid::now_v7();
    let token = customer.is_none().then(OpaqueToken::random);
    let hash = token.as_ref().map(OpaqueToken::hash);

    let mut connection = carts.database.acquire(&timings).await?;
    insert(
        &mut connection,
        id,
        hash.as_ref(),
        customer.map(|customer| customer.id),
    )
    .await?;
    drop(connection);

    let cart = CartView::empty(id, token.map(|token| token.text()));
    let body = serde_json::to_vec(&cart).map_err(ApiError::internal)?;
    Ok((StatusCode::CREATED, Answer::new(None, &body)).into_response())
}

fn reject_fields(bytes: Result<Bytes, BytesRejection>) -> Result<(), ApiError> {
    let bytes = bytes?;
    match bytes.is_empty() {
        true => Ok(()),
        false => body::parse::<NewCart>(&bytes).map(|NewCart {}| ()),
    }
}

async fn insert(
    connection: &mut InstrumentedConnection<'_>,
    id: Uuid,
    token: Option<&TokenHash>,
    customer: Option<Uuid>,
) -> Result<(), ApiError> {
    let inserted = sqlx::query!(
        "insert into carts (id, token_hash, customer_id) values ($1, $2, $3)",
        id,
        token.map(TokenHash::as_slice),
        customer
    )
    .execute(connection)
    .await;
    match inserted {
        Ok(_) => Ok(()),
        // An access token can outlive its account.
        Err(sqlx::Error::Database(error)) if error.constraint() == Some("carts_customer_id_fkey") => {
            Err(ApiError::Unauthenticated)
        }
        Err(error) => Err(error.into()),
    }
}
