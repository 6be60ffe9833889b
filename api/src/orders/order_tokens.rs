//! The tokens that give guests access to their orders.

use platform::keyring::{DerivedKeys, Keyring};
use uuid::Uuid;

use crate::opaque_token::{OpaqueToken, TokenHash};

/// Derives the token of a guest's order from the order's id, so that a resumed order whose response was lost returns
/// the same token, and no token is stored in plain text.
pub struct OrderTokens(DerivedKeys);

impl OrderTokens {
    /// Derives its keys from the shop's secrets.
    pub fn new(keyring: &Keyring) -> Self {
        Self(keyring.derive("order token"))
    }

    /// The token of a new order.
    pub fn derive(&self, order: Uuid) -> OpaqueToken {
        OpaqueToken::from_bytes(self.0.sign(&[order.as_bytes()]))
    }

    /// The token of an existing order, verified against its stored hash, because keys may have been rotated since.
    /// `None` when its key has been removed.
    pub fn derive_again(&self, order: Uuid, hash: &TokenHash) -> Option<OpaqueToken> {
        self.0
            .sign_with_each(&[order.as_bytes()])
            .map(OpaqueToken::from_bytes)
            .find(|token| token.hash() == *hash)
    }
}
