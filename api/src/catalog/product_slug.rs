//! The slug in a path: `/v1/products/{slug}`.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use super::filters::MAX_SLUG_CHARS;
use crate::web::error::ApiError;

/// A possible slug of a product. An impossible slug is a 404, like an unknown one: Postgres rejects NUL in text, and no
/// slug is invalid UTF-8.
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

/// The 404 for a slug without a product. Customers also get it for an inactive product, admins don't.
pub fn unknown_product() -> ApiError {
    ApiError::NotFound("no product has this slug; /v1/products lists all products".to_owned())
}
