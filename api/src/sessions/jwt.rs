//! **Technique**: a signed token (JWT) with the customer, role and expiry. Each request verifies the signature; there
//! is no lookup.
//! **Cost**: an HMAC-SHA-256 and a few hundred bytes of header per request; no statement, no round trip.
//! **Fails when**: a token must be revoked immediately. After a sign-out, a change of role or a detected theft it
//! stays valid until it expires, up to 15 minutes; only the refresh token is revoked at once.
//! **Source**: RFC 7519 (JSON Web Token), RFC 8725 (best current practices).

use std::time::Duration;

use platform::keyring::Keyring;
use platform::redis::Redis;
use shop::access_token::AccessTokens;
use uuid::Uuid;

use super::{Access, Customer, Role, refresh_token_family};
use crate::database::{Database, InstrumentedConnection};
use crate::web::error::ApiError;
use crate::web::timings::Timings;

/// The arm `sessions=jwt`.
pub struct Jwt {
    tokens: AccessTokens,
}

impl Jwt {
    pub(super) fn new(keyring: &Keyring, _redis: &Redis) -> Self {
        Self {
            tokens: AccessTokens::new(keyring),
        }
    }

    /// Verified without a lookup.
    #[expect(clippy::unused_async, reason = "others look tokens up")]
    pub(super) async fn authenticate(
        &self,
        _database: &Database,
        _timings: &Timings,
        token: &str,
    ) -> Result<Option<Customer>, ApiError> {
        let claims = self.tokens.verify(token).ok();
        Ok(claims.map(|claims| Customer {
            id: claims.sub,
            session_id: claims.sid,
            role: Role::from_name(&claims.role),
        }))
    }

    pub(super) fn issue(&self, customer: &Customer, lifetime: Duration) -> Access {
        Access {
            token: self
                .tokens
                .sign(customer.id, customer.session_id, customer.role.as_str(), lifetime),
            hash: None,
        }
    }

    pub(super) fn issue_opaque(&self) -> Option<Access> {
        None
    }

    pub(super) async fn revoke(
        &self,
        connection: &mut InstrumentedConnection<'_>,
        session: Uuid,
    ) -> Result<(), ApiError> {
        refresh_token_family::revoke(connection, session).await?;
        Ok(())
    }

    #[expect(clippy::unused_async, reason = "others have a second store")]
    pub(super) async fn forget(&self, _access_hash: Option<&[u8]>) -> Result<(), ApiError> {
        Ok(())
    }
}
