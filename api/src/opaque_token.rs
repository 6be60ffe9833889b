//! Tokens that mean nothing by themselves: 32 random bytes, of which the database keeps the SHA-256, so that a copy of
//! it opens no door. Refresh tokens, the tokens of guests' carts and orders, and stored sessions' access tokens.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// What the database keeps of a token. A plain hash is enough: nobody guesses 256 random bits, however fast.
pub type TokenHash = [u8; 32];

/// 32 random bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct OpaqueToken([u8; 32]);

impl OpaqueToken {
    /// A new one, from the system's random source.
    pub fn random() -> Self {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).expect("the system has random bytes");
        Self(bytes)
    }

    /// A new one that begins with the id of what it belongs to. The other 128 bits are random, too many to guess.
    pub fn naming(id: Uuid) -> Self {
        let Self(mut bytes) = Self::random();
        bytes[..16].copy_from_slice(id.as_bytes());
        Self(bytes)
    }

    /// The id that it begins with, if it was made by [`OpaqueToken::naming`]; else an id of nothing. It proves nothing.
    pub fn named(&self) -> Uuid {
        let (id, _) = self.0.split_first_chunk().expect("32 bytes are at least 16");
        Uuid::from_bytes(*id)
    }

    /// One whose bytes are made elsewhere: they must be as hard to guess as random ones.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads what [`OpaqueToken::text`] wrote. `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Self)
    }

    /// What a client is given: base64url, 43 characters.
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
    fn a_token_that_names_something_differs_from_the_next_of_the_same_name() {
        let id = Uuid::now_v7();
        let token = OpaqueToken::naming(id);
        assert_eq!(OpaqueToken::parse(&token.text()).unwrap().named(), id);
        assert_ne!(token, OpaqueToken::naming(id));
    }

    #[test]
    fn what_was_written_is_read_and_nothing_else() {
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
