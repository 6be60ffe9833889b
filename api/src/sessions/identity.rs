//! Extractors for signed-in customers and admins.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

use super::{Customer, Role, Sessions};
use crate::database::Database;
use crate::web::error::ApiError;
use crate::web::timings::RequestTimings;

/// The longest access token that is read, in bytes. The service's own have a few hundred.
const MAX_TOKEN_BYTES: usize = 2048;

/// What the extractors need from the router's state.
#[derive(Clone)]
pub struct Authentication {
    pub sessions: Arc<Sessions>,
    pub database: Arc<Database>,
}

/// A signed-in customer, or none. An invalid token is a 401 here too: a client that sends one doesn't mean to be a
/// guest.
#[derive(Debug, Clone, Copy)]
pub struct MaybeCustomer(pub Option<Customer>);

/// A customer with the role of an admin.
#[derive(Debug, Clone, Copy)]
pub struct Admin(pub Customer);

impl<S> FromRequestParts<S> for Customer
where
    S: Send + Sync,
    Authentication: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        signed_in(parts, &Authentication::from_ref(state))
            .await?
            .ok_or(ApiError::Unauthenticated)
    }
}

impl<S> FromRequestParts<S> for MaybeCustomer
where
    S: Send + Sync,
    Authentication: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        signed_in(parts, &Authentication::from_ref(state)).await.map(Self)
    }
}

impl<S> FromRequestParts<S> for Admin
where
    S: Send + Sync,
    Authentication: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let customer = Customer::from_request_parts(parts, state).await?;
        match customer.role {
            Role::Admin => Ok(Self(customer)),
            Role::Customer => Err(ApiError::Forbidden),
        }
    }
}

async fn signed_in(parts: &Parts, authentication: &Authentication) -> Result<Option<Customer>, ApiError> {
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
    let Authentication { sessions, database } = authentication;
    let customer = sessions.authenticate(database, timings, token).await?;
    customer.map(Some).ok_or(ApiError::Unauthenticated)
}
