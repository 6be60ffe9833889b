//! **Technique**: a signed token (JWT) with the customer, role and expiry. Each request verifies the signature; there
//! is no lookup.
//! **Cost**: an HMAC-SHA-256 and a few hundred bytes of header per request; no statement, no round trip.
//! **Fails when**: a token must be revoked immediately. After a sign-out, a change of role or a detected theft it
//! stays valid until it expires, up to 15 minutes; only the refresh token is revoked at once.
//! **Source**: RFC 7519 (JSON Web Token), RFC 8725 (best current practices).

use std::time::Duration;

use platform::keyring::Keyring;
use shop::access_token::AccessTokens;

use super::{Customer, Role};

/// The arm `sessions=jwt`.
pub struct Jwt {
    tokens: AccessTokens,
}

impl Jwt {
    pub(super) fn new(keyring: &Keyring) -> Self {
        Self {
            tokens: AccessTokens::new(keyring),
        }
    }

    pub(super) fn sign(&self, customer: &Customer, lifetime: Duration) -> String {
        self.tokens
            .sign(customer.id, customer.session_id, customer.role.as_str(), lifetime)
    }

    pub(super) fn authenticate(&self, token: &str) -> Option<Customer> {
        let claims = self.tokens.verify(token).ok()?;
        Some(Customer {
            id: claims.sub,
            session_id: claims.sid,
            role: Role::from_name(&claims.role),
        })
    }
}
