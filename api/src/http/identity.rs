//! Extractors for signed-in customers, admins, and guests' tokens. Access tokens and their verification are the
//! lesson `sessions` (`../sessions/`).

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

use super::error::ApiError;
use super::timings::RequestTimings;
use crate::opaque_token::{OpaqueToken, TokenHash};
pub use crate::sessions::{Customer, Role};
use crate::state::AppState;

/// The longest access token that is read, in bytes. The service's own have a few hundred.
const MAX_TOKEN_BYTES: usize = 2048;

/// A signed-in customer, or none. An invalid token is a 401 here too: a client that sends one doesn't mean to be a
/// guest.
#[derive(Debug, Clone, Copy)]
pub struct MaybeCustomer(pub Option<Customer>);

/// A customer with the role of an admin.
#[derive(Debug, Clone, Copy)]
pub struct Admin(pub Customer);

/// The hash of a guest's cart token, from `x-cart-token`.
#[derive(Debug, Clone, Copy)]
pub struct CartToken(pub Option<TokenHash>);

/// The hash of a guest's order token, from `x-order-token`.
#[derive(Debug, Clone, Copy)]
pub struct OrderToken(pub Option<TokenHash>);

impl FromRequestParts<AppState> for Customer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, ApiError> {
        signed_in(parts, app).await?.ok_or(ApiError::Unauthenticated)
    }
}

impl FromRequestParts<AppState> for MaybeCustomer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, ApiError> {
        signed_in(parts, app).await.map(Self)
    }
}

impl FromRequestParts<AppState> for Admin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, ApiError> {
        let customer = Customer::from_request_parts(parts, app).await?;
        match customer.role {
            Role::Admin => Ok(Self(customer)),
            Role::Customer => Err(ApiError::Forbidden),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for CartToken {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        token_hash(parts, "x-cart-token").map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for OrderToken {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        token_hash(parts, "x-order-token").map(Self)
    }
}

async fn signed_in(parts: &mut Parts, app: &AppState) -> Result<Option<Customer>, ApiError> {
    let mut given = parts.headers.get_all(AUTHORIZATION).iter();
    let Some(authorization) = given.next() else {
        return Ok(None);
    };
    if given.next().is_some() {
        return Err(ApiError::Unauthenticated);
    }
    let token = authorization
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
        .filter(|token| (1..=MAX_TOKEN_BYTES).contains(&token.len()))
        .ok_or(ApiError::Unauthenticated)?;
    let timings = parts
        .extensions
        .get::<RequestTimings>()
        .expect("the context layer wraps every route");
    let customer = app.sessions.authenticate(&app.database, timings, token).await?;
    customer.map(Some).ok_or(ApiError::Unauthenticated)
}

fn token_hash(parts: &Parts, header: &'static str) -> Result<Option<TokenHash>, ApiError> {
    let Some(value) = parts.headers.get(header) else {
        return Ok(None);
    };
    let token = value.to_str().ok().and_then(OpaqueToken::parse);
    match token {
        Some(token) => Ok(Some(token.hash())),
        None => Err(ApiError::parameter(
            header,
            "is not a token that this shop issued; send it unchanged, or leave it out",
        )),
    }
}
