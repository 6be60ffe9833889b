//! Extractors for the tokens that give guests access to their carts and orders.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::error::ApiError;
use crate::opaque_token::{OpaqueToken, TokenHash};

/// The hash of a guest's cart token, from `x-cart-token`.
#[derive(Debug, Clone, Copy)]
pub struct CartToken(pub Option<TokenHash>);

/// The hash of a guest's order token, from `x-order-token`.
#[derive(Debug, Clone, Copy)]
pub struct OrderToken(pub Option<TokenHash>);

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
