//! `POST /v1/sessions`: exchanges an email and its password for tokens.
//!
//! An unknown email and a wrong password get the same response, after the same statements and one hash. This prevents
//! user enumeration. A guest's cart is merged into the customer's.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use shop::email_address::EmailAddress;
use utoipa::ToSchema;
use uuid::Uuid;

use super::attempts::{self, Attempt};
use super::password::Password;
use super::{Accounts, Tokens, merge_carts};
use crate::accounts::client_address::ClientAddress;
use crate::database::InstrumentedConnection;
use crate::sessions::Role;
use crate::web::body::JsonBody;
use crate::web::error::{ApiError, Problem};
use crate::web::guest_tokens::CartToken;
use crate::web::query::NoParameters;
use crate::web::timings::{RequestTimings, Timings};

/// An email address and its password. A failed sign-in doesn't reveal which of the two was wrong.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// Not case-sensitive.
    #[schema(value_type = String, format = Email, max_length = 254, example = "ada@shop.example")]
    pub email: EmailAddress,
    #[schema(value_type = String, format = Password, min_length = 1, max_length = 256, example = "correct horse")]
    pub password: Password,
}

/// The tokens of a new sign-in, and the cart with the guest's items.
#[derive(Debug, Serialize, ToSchema)]
pub struct SignedIn {
    #[serde(flatten)]
    pub tokens: Tokens,
    /// The customer's cart, if it received the items of the guest's cart of `x-cart-token`. That token is no longer
    /// valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cart_id: Option<Uuid>,
}

/// Signs a customer in.
#[utoipa::path(
    post,
    path = "/v1/sessions",
    tag = "Accounts",
    security(()),
    params(("x-cart-token" = Option<String>, Header, description = "A guest's cart, which becomes the customer's")),
    request_body = Credentials,
    responses(
        (status = 201, body = SignedIn),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 401, body = Problem, content_type = "application/problem+json", description = "`wrong_credentials`"),
        (status = 429, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn sign_in(
    State(accounts): State<Arc<Accounts>>,
    timings: RequestTimings,
    _: NoParameters,
    client: ClientAddress,
    CartToken(cart_token): CartToken,
    JsonBody(credentials): JsonBody<Credentials>,
) -> Result<impl IntoResponse, ApiError> {
    let attempt = Attempt::to_sign_in(&credentials.email, client);
    let mut connection = accounts.database.acquire(&timings).await?;
    attempts::count_attempt(&mut connection, &attempt, &accounts.settings).await?;
    let verified = verify_credentials(&accounts, &timings, connection, credentials, &attempt).await;
    let (mut connection, customer) = match verified {
        Ok(customer) => customer.ok_or(ApiError::WrongCredentials)?,
        Err(error) => return Err(attempts::release_attempt(&accounts, &timings, &attempt, error).await),
    };
    let cart_id = match &cart_token {
        Some(token) => merge_carts::merge(&mut connection, customer.id, token).await?,
        None => None,
    };
    let grant = accounts
        .sessions
        .open(&mut connection, customer.id, customer.role)
        .await?;
    let signed_in = SignedIn {
        tokens: grant.into(),
        cart_id,
    };
    Ok((StatusCode::CREATED, Json(signed_in)))
}

struct VerifiedCustomer {
    id: Uuid,
    role: Role,
}

/// Returns the customer with these credentials and a new connection, and records the success. `None` when the email is
/// unknown or the password is wrong.
async fn verify_credentials<'t>(
    accounts: &Accounts,
    timings: &'t Timings,
    mut connection: InstrumentedConnection<'t>,
    Credentials { email, password }: Credentials,
    attempt: &Attempt,
) -> Result<Option<(InstrumentedConnection<'t>, VerifiedCustomer)>, ApiError> {
    let customer = sqlx::query!(
        "select id, role, password_hash from customers where email = $1",
        email.as_str()
    )
    .fetch_optional(&mut connection)
    .await?;
    // Hashing is CPU-bound and slow, so the connection is returned to the pool first.
    drop(connection);
    let stored_hash = customer.as_ref().map(|customer| customer.password_hash.clone());
    let is_correct = accounts
        .passwords
        .verify(password.into_string(), stored_hash)
        .await?;
    let Some(customer) = customer.filter(|_| is_correct) else {
        return Ok(None);
    };
    let mut connection = accounts.database.acquire(timings).await?;
    attempts::record_success(&mut connection, attempt).await?;
    let customer = VerifiedCustomer {
        id: customer.id,
        role: Role::from_name(&customer.role),
    };
    Ok(Some((connection, customer)))
}
