//! Sign-ins and their tokens: the lesson `sessions`.
//!
//! In every arm, a sign-in is a row of `sessions`, the family of its refresh tokens (`refresh_token_family.rs`). The
//! arms differ in the access token that each request carries: what it is, and where it is verified.

mod identity;
mod refresh_token_family;

#[cfg(feature = "baselines")]
pub mod redis;
#[cfg(feature = "baselines")]
mod stored;
#[cfg(feature = "baselines")]
pub mod table;

pub mod jwt;

use std::time::Duration;

use platform::keyring::Keyring;
use platform::redis::Redis;
use uuid::Uuid;

pub use self::identity::{Admin, Authentication, MaybeCustomer};
use self::refresh_token_family::Lifetimes;
use crate::database::{Database, InstrumentedConnection};
use crate::opaque_token::{OpaqueToken, TokenHash};
use crate::settings::SessionSettings;
use crate::web::error::ApiError;
use crate::web::timings::Timings;

techniques::component! {
    /// What access tokens are, and where they are verified.
    AccessTokenScheme: techniques::Sessions {
        baseline Table = table::Table,
        baseline Redis = redis::RedisSessions,
        optimized Jwt = jwt::Jwt,
    }
    select(keyring: &Keyring, redis: &Redis);

    /// The customer of an access token.
    async fn authenticate(
        &self,
        database: &Database,
        timings: &Timings,
        token: &str,
    ) -> Result<Option<Customer>, ApiError>;

    /// A new access token.
    fn issue(&self, customer: &Customer, lifetime: Duration) -> Access;

    /// A new access token, if it doesn't depend on the customer.
    fn issue_opaque(&self) -> Option<Access>;

    /// Revokes a sign-in.
    async fn revoke(&self, connection: &mut InstrumentedConnection<'_>, session: Uuid) -> Result<(), ApiError>;

    /// Evicts an access token, which its row no longer has, from the second store.
    async fn forget(&self, access_hash: Option<&[u8]>) -> Result<(), ApiError>;
}

/// Issues and verifies the tokens of sign-ins.
pub struct Sessions {
    scheme: AccessTokenScheme,
    lifetimes: Lifetimes,
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
    /// Up to an access token's lifetime old, if the token carries it.
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
    /// Builds the arm, which connects lazily.
    pub fn new(
        arm: techniques::Sessions,
        keyring: &Keyring,
        redis: &Redis,
        settings: SessionSettings,
    ) -> Self {
        Self {
            scheme: AccessTokenScheme::select(arm, keyring, redis),
            lifetimes: Lifetimes {
                access: Duration::from_secs(u64::from(settings.access_token_lifetime_s)),
                refresh: Duration::from_secs(u64::from(settings.refresh_token_lifetime_s)),
            },
        }
    }

    /// The customer of an access token. `None` for one that is unknown, invalid, expired or revoked.
    ///
    /// # Errors
    /// When the session can't be looked up.
    pub async fn authenticate(
        &self,
        database: &Database,
        timings: &Timings,
        token: &str,
    ) -> Result<Option<Customer>, ApiError> {
        self.scheme.authenticate(database, timings, token).await
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
        let access = self.scheme.issue(&signed_in, self.lifetimes.access);
        let refresh = OpaqueToken::with_id(signed_in.session_id);
        refresh_token_family::insert(
            connection,
            &signed_in,
            access.hash.as_ref(),
            &refresh.hash(),
            self.lifetimes,
        )
        .await?;
        Ok(self.grant(access.token, &refresh))
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
        let mut next = OpaqueToken::with_id(family);
        let opaque = self.scheme.issue_opaque();
        let access_hash = opaque.as_ref().and_then(|access| access.hash);
        let rotated = refresh_token_family::rotate(
            connection,
            &used,
            access_hash.as_ref(),
            &next.hash(),
            self.lifetimes,
        )
        .await?;
        let Some(rotated) = rotated else {
            if let Some(revoked) = refresh_token_family::revoke_if_used(connection, &used, family).await? {
                tracing::warn!(session_id = %revoked.session_id, "refresh token reused; its token family is revoked");
                self.scheme
                    .forget(revoked.access_hash.as_deref())
                    .await
                    .unwrap_or_else(log_failed_eviction);
            }
            return Err(ApiError::RefreshRefused);
        };
        if rotated.customer.session_id != family {
            // A token issued before tokens named their family: its successor does.
            let named = OpaqueToken::with_id(rotated.customer.session_id);
            refresh_token_family::rename(connection, &next.hash(), &named.hash()).await?;
            next = named;
        }
        self.scheme
            .forget(rotated.old_access_hash.as_deref())
            .await
            .unwrap_or_else(log_failed_eviction);
        let token = match opaque {
            Some(access) => access.token,
            None => self.scheme.issue(&rotated.customer, self.lifetimes.access).token,
        };
        Ok(self.grant(token, &next))
    }

    /// Signs out. Under `jwt` the access token stays valid until it expires.
    ///
    /// # Errors
    /// When Postgres or Redis can't be updated; the customer is still signed in then.
    pub async fn close(
        &self,
        connection: &mut InstrumentedConnection<'_>,
        customer: &Customer,
    ) -> Result<(), ApiError> {
        self.scheme.revoke(connection, customer.session_id).await
    }

    fn grant(&self, access_token: String, refresh: &OpaqueToken) -> Grant {
        Grant {
            access_token,
            refresh_token: refresh.text(),
            expires_in: self.lifetimes.access,
        }
    }
}

/// The row is changed already, and the cached session expires with the access token.
fn log_failed_eviction(error: ApiError) {
    tracing::warn!(%error, "a session stays cached until its access token expires");
}

/// An access token as the client gets it, and the hash that its row stores, if it is looked up there.
struct Access {
    token: String,
    hash: Option<TokenHash>,
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
