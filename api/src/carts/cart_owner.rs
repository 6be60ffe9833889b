//! A cart's id from the path, with the credentials of the request.

use axum::extract::{FromRef, FromRequestParts, Path};
use axum::http::request::Parts;
use serde::Deserialize;
use uuid::Uuid;

use super::unknown_cart;
use crate::sessions::{Authentication, MaybeCustomer};
use crate::web::error::ApiError;
use crate::web::guest_tokens::CartToken;

/// A cart's id, with a customer, a guest's token, both, or neither, which grants no access.
#[derive(Debug, Clone, Copy)]
pub struct CartKey {
    pub(super) id: Uuid,
    pub(super) customer: Option<Uuid>,
    token: Option<[u8; 32]>,
}

#[derive(Deserialize)]
struct CartInPath {
    id: Uuid,
}

impl CartKey {
    pub(super) fn token(&self) -> Option<&[u8]> {
        self.token.as_ref().map(<[u8; 32]>::as_slice)
    }
}

impl<S> FromRequestParts<S> for CartKey
where
    S: Send + Sync,
    Authentication: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let MaybeCustomer(customer) = MaybeCustomer::from_request_parts(parts, state).await?;
        let CartToken(token) = CartToken::from_request_parts(parts, state).await?;
        // An invalid UUID is a 404, like an unknown id.
        let path = Path::<CartInPath>::from_request_parts(parts, state).await;
        let Path(CartInPath { id }) = path.map_err(|_| unknown_cart())?;
        Ok(Self {
            id,
            customer: customer.map(|customer| customer.id),
            token,
        })
    }
}
