//! Sign-ins and their tokens. A sign-in is a row of `sessions`, the family of its refresh tokens
//! (`refresh_token_family.rs`). The access token that each request carries is signed (JWT, RFC 7519): it has the customer,
//! the role and the expiry, and is verified without a lookup. So a sign-out takes effect when it expires.

mod identity;
mod refresh_token_family;

use std::time::Duration;

use platform::keyring::Keyring;
use shop::access_token::AccessTokens;
use uuid::Uuid;

pub use self::identity::{Admin, Authentication, MaybeCustomer};
use crate::database::InstrumentedConnection;
use crate::opaque_token::OpaqueToken;
use crate::settings::SessionSettings;
use crate::web::error::ApiError;

/// Issues and verifies the tokens of sign-ins.
pub struct Sessions {
    access_tokens: AccessTokens,
    access_lifetime: Duration,
    refresh_lifetime: Duration,
}

/// What a signed-in customer may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Can buy.
    Customer,
    /// Can also change the catalogue, and see all orders.
    Admin,
}

/// A signed-in customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Customer {
    pub id: Uuid,
    /// The sign-in.
    pub session_id: Uuid,
    /// Up to an access token's lifetime old.
    pub role: Role,
}

/// The tokens of a sign-in or refresh.
#[derive(Debug)]
pub struct Grant {
    /// Authenticates each request.
    pub access_token: String,
    /// Single-use: obtains the next grant.
    pub refresh_token: String,
    /// Lifetime of the access token.
    pub expires_in: Duration,
}

impl Sessions {
    /// Signs with the first secret of the keyring.
    pub fn new(keyring: &Keyring, settings: SessionSettings) -> Self {
        Self {
            access_tokens: AccessTokens::new(keyring),
            access_lifetime: Duration::from_secs(u64::from(settings.access_token_lifetime_s)),
            refresh_lifetime: Duration::from_secs(u64::from(settings.refresh_token_lifetime_s)),
        }
    }

    /// The customer of an access token. `None` for one that is invalid or expired.
    pub fn authenticate(&self, token: &str) -> Option<Customer> {
        let claims = self.access_tokens.verify(token).ok()?;
        Some(Customer {
            id: claims.sub,
            session_id: claims.sid,
            role: Role::from_name(&claims.role),
        })
    }

    /// Signs a customer in, with one statement, which may be part of a transaction.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn open(
        &self,
        connection: &mut InstrumentedConnection<'_>,
        customer: Uuid,
        role: Role,
    ) -> Result<Grant, ApiError> {
        let signed_in = Customer {
            id: customer,
            session_id: Uuid::now_v7(),
            role,
        };
        let refresh = OpaqueToken::with_id(signed_in.session_id);
        refresh_token_family::insert(connection, &signed_in, &refresh.hash(), self.refresh_lifetime).await?;
        Ok(self.grant(&signed_in, &refresh))
    }

    /// Exchanges a refresh token for a new grant. A refresh token is single-use. Reusing it, even concurrently,
    /// revokes the whole family, also after its row was purged, because the token names its family.
    ///
    /// # Errors
    /// [`ApiError::RefreshRefused`], or when a statement fails.
    pub async fn refresh(
        &self,
        connection: &mut InstrumentedConnection<'_>,
        token: &str,
    ) -> Result<Grant, ApiError> {
        let used = OpaqueToken::parse(token).ok_or(ApiError::RefreshRefused)?;
        let (family, used) = (used.embedded_id(), used.hash());
        let next = OpaqueToken::with_id(family);
        let rotated =
            refresh_token_family::rotate(connection, &used, &next.hash(), self.refresh_lifetime).await?;
        let Some(customer) = rotated else {
            if let Some(session_id) = refresh_token_family::revoke_if_used(connection, &used, family).await? {
                tracing::warn!(%session_id, "refresh token reused; its token family is revoked");
            }
            return Err(ApiError::RefreshRefused);
        };
        Ok(self.grant(&customer, &next))
    }

    /// Signs out. The access token stays valid until it expires.
    ///
    /// # Errors
    /// When the statement fails; the customer is still signed in then.
    pub async fn close(
        &self,
        connection: &mut InstrumentedConnection<'_>,
        customer: &Customer,
    ) -> Result<(), ApiError> {
        Ok(refresh_token_family::revoke(connection, customer.session_id).await?)
    }

    fn grant(&self, customer: &Customer, refresh: &OpaqueToken) -> Grant {
        Grant {
            access_token: self.access_tokens.sign(
                customer.id,
                customer.session_id,
                customer.role.as_str(),
                self.access_lifetime,
            ),
            refresh_token: refresh.text(),
            expires_in: self.access_lifetime,
        }
    }
}

impl Role {
    /// The name in tokens and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Admin => "admin",
        }
    }

    /// Parses what [`Role::as_str`] returns. Unknown roles get no privileges.
    pub fn from_name(name: &str) -> Self {
        match name {
            "admin" => Self::Admin,
            _ => Self::Customer,
        }
    }
}
