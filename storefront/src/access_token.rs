//! Access tokens that carry who they speak for: JWTs, signed with HMAC-SHA-256 under a key of the [`Keyring`], which
//! their header names. Whoever has the secrets verifies them without asking anyone.
//!
//! The secret itself signs, as every other service expects that is given it to verify; what a cursor is signed with is
//! derived from it under a name, and no such name looks like a token.

use std::collections::HashMap;
use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::keyring::Keyring;

/// Who makes the tokens, and whom they are made for: the same shop.
const SHOP: &str = "backstock";

/// Signs and verifies access tokens.
#[derive(Clone)]
pub struct AccessTokens {
    signing: EncodingKey,
    header: Header,
    verifying: HashMap<String, DecodingKey>,
    validation: Validation,
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The customer.
    pub sub: Uuid,
    /// The sign-in that the token comes from.
    pub sid: Uuid,
    /// `customer` or `admin`, as it was then.
    pub role: String,
    /// When it was made, in seconds since 1970.
    pub iat: u64,
    /// From when on it is refused, in seconds since 1970.
    pub exp: u64,
}

/// A token is not accepted. Why is nobody's business: it is wrong, or expired, or another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the access token is not accepted")]
pub struct Refused;

/// What is written into a token besides [`Claims`].
#[derive(Serialize)]
struct Written<'c> {
    iss: &'static str,
    aud: &'static str,
    #[serde(flatten)]
    claims: &'c Claims,
}

impl AccessTokens {
    /// Tokens under the keyring's keys.
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
        // What a sign-out promises is bounded by `exp` alone; only clocks of several machines would need leeway, and
        // a token that is refused too early is refreshed.
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

    /// A token for a customer's sign-in that is good from now on for `lifetime`.
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

    /// A token that says this.
    pub fn sign_claims(&self, claims: &Claims) -> String {
        let written = Written {
            iss: SHOP,
            aud: SHOP,
            claims,
        };
        encode(&self.header, &written, &self.signing)
            .expect("texts and numbers serialize, and HMAC signs anything")
    }

    /// What a token says, if a key of ours signed it and it has not expired. The algorithm is ours to choose, never the
    /// token's.
    ///
    /// # Errors
    /// When it is not accepted.
    pub fn verify(&self, token: &str) -> Result<Claims, Refused> {
        let header = decode_header(token).map_err(|_| Refused)?;
        let key = header.kid.as_deref().and_then(|kid| self.verifying.get(kid));
        let verified = decode::<Claims>(token, key.ok_or(Refused)?, &self.validation);
        verified.map(|token| token.claims).map_err(|_| Refused)
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
    fn a_token_says_what_was_signed() {
        let claims = tokens(OLD).verify(&token(OLD)).unwrap();
        assert_eq!(
            (claims.sub, claims.sid, claims.role.as_str()),
            (Uuid::nil(), Uuid::max(), "admin")
        );
        assert_eq!(claims.exp, claims.iat + 60);
    }

    #[test]
    fn a_rotated_key_still_verifies_and_a_removed_one_does_not() {
        let made_before = token(OLD);
        let rotated = tokens(&format!("{NEW},{OLD}"));
        assert!(rotated.verify(&made_before).is_ok());
        assert!(tokens(NEW).verify(&made_before).is_err());
        // A new token names the new key.
        assert!(tokens(NEW).verify(&token(&format!("{NEW},{OLD}"))).is_ok());
    }

    #[test]
    fn a_token_ends_with_its_second() {
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
            Err(Refused)
        );
    }

    #[test]
    fn a_known_name_with_another_secret_is_refused() {
        let forged = token("old:another-secret-of-thirty-two-bytes");
        assert_eq!(tokens(OLD).verify(&forged), Err(Refused));
    }
}
