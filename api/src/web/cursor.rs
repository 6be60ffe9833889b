//! Cursors of keyset pagination: where a page ended, signed and bound to its list.
//!
//! A cursor holds the sort key and id of the page's last item, from which the database seeks. A keyed signature
//! (HMAC) covers both and the list, so a cursor can't be forged, changed, or used with other filters or another
//! order.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use platform::keyring::{DerivedKeys, Keyring};
use uuid::Uuid;

use super::error::ApiError;

const VERSION: u8 = 1;
const PAYLOAD_BYTES: usize = 1 + 1 + 8 + 16;
const SIGNATURE_BYTES: usize = 16;
const CURSOR_BYTES: usize = PAYLOAD_BYTES + SIGNATURE_BYTES;
/// Base64 without padding.
const CURSOR_CHARS: usize = (CURSOR_BYTES * 4).div_ceil(3);

/// The position at which a page ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// How the list was matched, as the list defines it (see `search`).
    pub matching: u8,
    /// The last item's sort key.
    pub key: i64,
    pub id: Uuid,
}

impl Cursor {
    /// The position after an item of a list that is sorted by id alone.
    pub fn after_id(id: Uuid) -> Self {
        Self {
            matching: 0,
            key: 0,
            id,
        }
    }
}

/// Keys that sign cursors, so that clients can't forge a position. Older keys stay valid while secrets are rotated.
#[derive(Clone)]
pub struct CursorKeys(DerivedKeys);

impl CursorKeys {
    /// Derives the signing keys from the service's secrets.
    pub fn new(keyring: &Keyring) -> Self {
        Self(keyring.derive("cursor"))
    }

    /// A fingerprint of the signing key, which doesn't reveal it. Cached responses carry it, because their cursors
    /// are valid only under this key.
    pub fn signing_key_name(&self) -> String {
        let name: [u8; SIGNATURE_BYTES] = self.0.sign(&[b"the name of this key"]);
        BASE64_URL_SAFE_NO_PAD.encode(&name[..6])
    }

    /// Encodes a cursor for `list`: its path, filters and order in canonical form.
    pub fn encode(&self, list: &str, cursor: &Cursor) -> String {
        let mut bytes = [0_u8; CURSOR_BYTES];
        bytes[0] = VERSION;
        bytes[1] = cursor.matching;
        bytes[2..10].copy_from_slice(&cursor.key.to_be_bytes());
        bytes[10..PAYLOAD_BYTES].copy_from_slice(cursor.id.as_bytes());
        let signature: [u8; SIGNATURE_BYTES] = self.0.sign(&[&bytes[..PAYLOAD_BYTES], list.as_bytes()]);
        bytes[PAYLOAD_BYTES..].copy_from_slice(&signature);
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Verifies and decodes the parameter `after`.
    ///
    /// # Errors
    /// A 400 that distinguishes a malformed cursor from one of another list.
    pub fn decode(&self, list: &str, text: &str) -> Result<Cursor, ApiError> {
        let fault = |what: &str| ApiError::parameter("after", format!("{what}; follow `next` unchanged"));
        if text.is_empty() {
            return Err(fault("is empty"));
        }
        if text.len() != CURSOR_CHARS {
            return Err(fault(&format!(
                "has {} characters where a cursor has {CURSOR_CHARS}",
                text.len()
            )));
        }
        let bytes = BASE64_URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_| fault("is not a cursor"))?;
        let bytes: [u8; CURSOR_BYTES] = bytes.try_into().map_err(|_| fault("is not a cursor"))?;
        let (payload, signature) = bytes.split_at(PAYLOAD_BYTES);
        let signature: &[u8; SIGNATURE_BYTES] = signature.try_into().expect("split at the payload's end");
        if payload[0] != VERSION || !self.0.verify(&[payload, list.as_bytes()], signature) {
            return Err(fault(
                "was changed, or belongs to a list with other filters or another sort",
            ));
        }
        Ok(Cursor {
            matching: payload[1],
            key: i64::from_be_bytes(payload[2..10].try_into().expect("eight bytes")),
            id: Uuid::from_slice(&payload[10..]).expect("sixteen bytes"),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keys() -> CursorKeys {
        CursorKeys::new(&"k:0123456789abcdef0123456789abcdef".parse().unwrap())
    }

    proptest! {
        #[test]
        fn a_cursor_comes_back_as_it_was(matching: u8, key: i64, id: u128, list in ".{0,40}") {
            let cursor = Cursor { matching, key, id: Uuid::from_u128(id) };
            let text = keys().encode(&list, &cursor);
            prop_assert_eq!(keys().decode(&list, &text).unwrap(), cursor);
        }

        #[test]
        fn a_cursor_with_any_character_changed_is_refused(key: i64, at in 0..CURSOR_CHARS, to in "[A-Za-z0-9_-]") {
            let text = keys().encode("list", &Cursor { matching: 0, key, id: Uuid::nil() });
            let mut changed = text.clone();
            changed.replace_range(at..=at, &to);
            prop_assume!(changed != text);
            prop_assert!(keys().decode("list", &changed).is_err());
        }

        #[test]
        fn no_text_at_all_panics(text in ".{0,80}") {
            prop_assert!(keys().decode("list", &text).is_err());
        }
    }

    #[test]
    fn a_cursor_of_another_list_is_refused() {
        let text = keys().encode(
            "products?sort=newest",
            &Cursor {
                matching: 0,
                key: 1,
                id: Uuid::nil(),
            },
        );
        let fault = keys()
            .decode("products?sort=rating", &text)
            .unwrap_err()
            .to_string();
        assert!(fault.contains("other filters or another sort"), "{fault}");
    }
}
