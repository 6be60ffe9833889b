//! The slug in a path: `/v1/products/{slug}`.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use super::filters::MAX_SLUG_CHARS;
use crate::http::error::ApiError;

/// A text that may be a product's slug. What can't be one is not found, like any slug that no product has: Postgres
/// would refuse a zero byte, and a text that isn't UTF-8 never was a slug.
#[derive(Debug)]
pub struct ProductSlug(pub String);

impl<S: Send + Sync> FromRequestParts<S> for ProductSlug {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(slug)) if slug.chars().count() <= MAX_SLUG_CHARS && !slug.contains('\0') => {
                Ok(Self(slug))
            }
            _ => Err(unknown_product()),
        }
    }
}

/// A 404 for a product.
pub fn unknown_product() -> ApiError {
    ApiError::NotFound("no product has this slug; /v1/products lists those there are".to_owned())
}
