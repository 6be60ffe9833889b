//! Self-contained access tokens (JWTs), signed with HMAC-SHA-256 under a key of the [`Keyring`], which their
//! header names. Any process with the secrets verifies them without a lookup.
//!
//! Tokens are signed with the secret itself, because other services that are given it expect that. Cursors
//! are signed with a key derived from it, so neither signature can be used as the other.

use std::collections::HashMap;
use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use platform::keyring::Keyring;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Issuer and audience: the shop itself.
const SHOP: &str = "backstock";

/// Signs and verifies access tokens.
#[derive(Clone)]
pub struct AccessTokens {
    signing: EncodingKey,
    header: Header,
    verifying: HashMap<String, DecodingKey>,
    validation: Validation,
}

/// A token's claims.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The customer.
    pub sub: Uuid,
    /// The sign-in.
    pub sid: Uuid,
    /// `customer` or `admin`, when the token was issued.
    pub role: String,
    /// Issued at, in seconds since 1970.
    pub iat: u64,
    /// Expires at, in seconds since 1970.
    pub exp: u64,
}

/// The token is invalid, expired, or signed with an unknown key. Responses don't reveal which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the access token is not valid")]
pub struct InvalidToken;

/// [`Claims`] with issuer and audience.
#[derive(Serialize)]
struct SerializedClaims<'c> {
    iss: &'static str,
    aud: &'static str,
    #[serde(flatten)]
    claims: &'c Claims,
}

impl AccessTokens {
    /// Signs with the keyring's first secret and accepts all of them, so that secrets can be rotated.
    pub fn new(keyring: &Keyring) -> Self {
        let mut secrets = keyring.secrets().peekable();
        let (kid, secret) = secrets.peek().expect("a keyring is never empty");
        let header = Header {
            kid: Some((*kid).to_owned()),
            ..Header::new(Algorithm::HS256)
        };
        let signing = EncodingKey::from_secret(secret);
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[SHOP]);
        validation.set_audience(&[SHOP]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // Sign-out relies on `exp` alone, so there is no leeway. A token rejected too early because of clock
        // skew is refreshed.
        validation.leeway = 0;
        Self {
            signing,
            header,
            verifying: secrets
                .map(|(kid, secret)| (kid.to_owned(), DecodingKey::from_secret(secret)))
                .collect(),
            validation,
        }
    }

    /// Signs a token for a customer's sign-in, valid for `lifetime`.
    pub fn sign(&self, sub: Uuid, sid: Uuid, role: &str, lifetime: Duration) -> String {
        let iat = jsonwebtoken::get_current_timestamp();
        self.sign_claims(&Claims {
            sub,
            sid,
            role: role.to_owned(),
            iat,
            exp: iat + lifetime.as_secs(),
        })
    }

    /// Signs the claims as they are, with the shop as issuer and audience. [`AccessTokens::sign`] sets the
    /// times itself.
    pub fn sign_claims(&self, claims: &Claims) -> String {
        let serialized = SerializedClaims {
            iss: SHOP,
            aud: SHOP,
            claims,
        };
        encode(&self.header, &serialized, &self.signing)
            .expect("texts and numbers serialize, and HMAC signs anything")
    }

    /// The claims of a token that one of the keys signed and that hasn't expired. The algorithm is fixed,
    /// never taken from the token (RFC 8725).
    ///
    /// # Errors
    /// When the token is not valid.
    pub fn verify(&self, token: &str) -> Result<Claims, InvalidToken> {
        let header = decode_header(token).map_err(|_| InvalidToken)?;
        let key = header.kid.as_deref().and_then(|kid| self.verifying.get(kid));
        let verified = decode::<Claims>(token, key.ok_or(InvalidToken)?, &self.validation);
        verified.map(|token| token.claims).map_err(|_| InvalidToken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "old:0123456789abcdef0123456789abcdef";
    const NEW: &str = "new:fedcba9876543210fedcba9876543210";

    fn tokens(keyring: &str) -> AccessTokens {
        AccessTokens::new(&keyring.parse().unwrap())
    }

    fn token(keyring: &str) -> String {
        tokens(keyring).sign(Uuid::nil(), Uuid::max(), "admin", Duration::from_secs(60))
    }

    #[test]
    fn a_token_contains_the_signed_claims() {
        let claims = tokens(OLD).verify(&token(OLD)).unwrap();
        assert_eq!(
            (claims.sub, claims.sid, claims.role.as_str()),
            (Uuid::nil(), Uuid::max(), "admin")
        );
        assert_eq!(claims.exp, claims.iat + 60);
    }

    #[test]
    fn a_rotated_key_still_verifies_and_a_removed_one_does_not() {
        let issued_before = token(OLD);
        let rotated = tokens(&format!("{NEW},{OLD}"));
        assert!(rotated.verify(&issued_before).is_ok());
        assert!(tokens(NEW).verify(&issued_before).is_err());
        // A new token names the new key.
        assert!(tokens(NEW).verify(&token(&format!("{NEW},{OLD}"))).is_ok());
    }

    #[test]
    fn a_token_expires_to_the_second() {
        let now = jsonwebtoken::get_current_timestamp();
        let ending_at = |exp| Claims {
            sub: Uuid::nil(),
            sid: Uuid::nil(),
            role: "customer".to_owned(),
            iat: now - 900,
            exp,
        };
        let tokens = tokens(OLD);
        assert!(tokens.verify(&tokens.sign_claims(&ending_at(now + 60))).is_ok());
        assert_eq!(
            tokens.verify(&tokens.sign_claims(&ending_at(now - 1))),
            Err(InvalidToken)
        );
    }

    #[test]
    fn a_known_kid_with_another_secret_is_rejected() {
        let forged = token("old:another-secret-of-thirty-two-bytes");
        assert_eq!(tokens(OLD).verify(&forged), Err(InvalidToken));
    }
}
