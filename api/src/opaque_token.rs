//! Opaque tokens: 32 random bytes. The database stores only their SHA-256, so a leaked copy of it grants no access.
//! Used for refresh tokens, and for guests' carts and orders. With some arms of `sessions`, access tokens are opaque as well.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// What the database stores. An unsalted fast hash is enough for 256 random bits, which no attacker can enumerate.
pub type TokenHash = [u8; 32];

/// 256 bits that clients send back unchanged, at least 128 of them random. The database stores only the [`TokenHash`].
#[derive(Clone, PartialEq, Eq)]
pub struct OpaqueToken([u8; 32]);

impl OpaqueToken {
    /// A new token from the system's random source.
    pub fn random() -> Self {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).expect("the system has random bytes");
        Self(bytes)
    }

    /// A new token that begins with the id of what it belongs to. The other 128 bits are random, too many to guess.
    pub fn with_id(id: Uuid) -> Self {
        let Self(mut bytes) = Self::random();
        bytes[..16].copy_from_slice(id.as_bytes());
        Self(bytes)
    }

    /// The id that a token from [`OpaqueToken::with_id`] begins with; meaningless for others. It proves nothing.
    pub fn embedded_id(&self) -> Uuid {
        let (id, _) = self.0.split_first_chunk().expect("32 bytes are at least 16");
        Uuid::from_bytes(*id)
    }

    /// A token with given bytes, which must be as hard to guess as random ones.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Parses what [`OpaqueToken::text`] returns. `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Self)
    }

    /// The token as the client gets it: base64url, 43 characters.
    pub fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// SHA-256 of the 32 bytes.
    pub fn hash(&self) -> TokenHash {
        Sha256::digest(self.0).into()
    }
}

impl std::fmt::Debug for OpaqueToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OpaqueToken")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_with_the_same_id_differ() {
        let id = Uuid::now_v7();
        let token = OpaqueToken::with_id(id);
        assert_eq!(OpaqueToken::parse(&token.text()).unwrap().embedded_id(), id);
        assert_ne!(token, OpaqueToken::with_id(id));
    }

    #[test]
    fn a_token_survives_text_and_parse_and_nothing_else_parses() {
        let token = OpaqueToken::random();
        let text = token.text();
        assert_eq!(text.len(), 43);
        assert_eq!(OpaqueToken::parse(&text), Some(token.clone()));
        assert_ne!(OpaqueToken::random(), token);
        for wrong in [
            "",
            &text[1..],
            &format!("{text}A"),
            &text.replace(&text[..1], "!"),
        ] {
            assert_eq!(OpaqueToken::parse(wrong), None, "{wrong}");
        }
    }
}
