//! The service's secrets: named keys, of which the first signs and all verify, so that keys can be rotated.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretSlice};
use sha2::Sha256;

/// The shortest secret that is accepted, in bytes: the output size of HMAC-SHA-256, as RFC 2104 recommends.
pub const MIN_SECRET_BYTES: usize = 32;

/// Named secrets, as in `BACKSTOCK_JWT_SECRETS`: `kid:secret`, comma-separated.
#[derive(Clone)]
pub struct Keyring {
    keys: Arc<[(String, SecretSlice<u8>)]>,
}

/// Why a keyring is invalid. The message never contains a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseKeyringError {
    #[error("names no key; give at least one as kid:secret, for example 2026a:$(openssl rand -hex 32)")]
    Empty,
    #[error("entry {0} is not of the form kid:secret")]
    Malformed(usize),
    /// A kid may have up to 32 letters, digits, `-`, `_` and `.`.
    #[error("entry {0} has no valid kid; use up to 32 letters, digits, `-`, `_` or `.`")]
    Kid(usize),
    /// A secret shorter than [`MIN_SECRET_BYTES`].
    #[error(
        "the secret of entry {entry} has {bytes} bytes; use at least {MIN_SECRET_BYTES}, for example openssl rand -hex 32"
    )]
    TooShort {
        /// Counted from 1.
        entry: usize,
        bytes: usize,
    },
    #[error("entry {0} repeats a kid; each must be unique")]
    Duplicate(usize),
}

impl FromStr for Keyring {
    type Err = ParseKeyringError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut keys: Vec<(String, SecretSlice<u8>)> = Vec::new();
        for (index, entry) in text
            .split(',')
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
            .enumerate()
        {
            let number = index + 1;
            let (kid, secret) = entry
                .split_once(':')
                .ok_or(ParseKeyringError::Malformed(number))?;
            let usable = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            if kid.is_empty() || kid.len() > 32 || !kid.chars().all(usable) {
                return Err(ParseKeyringError::Kid(number));
            }
            if secret.len() < MIN_SECRET_BYTES {
                return Err(ParseKeyringError::TooShort {
                    entry: number,
                    bytes: secret.len(),
                });
            }
            if keys.iter().any(|(known, _)| known == kid) {
                return Err(ParseKeyringError::Duplicate(number));
            }
            keys.push((kid.to_owned(), secret.as_bytes().to_vec().into()));
        }
        if keys.is_empty() {
            return Err(ParseKeyringError::Empty);
        }
        Ok(Self { keys: keys.into() })
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.keys.iter().map(|(kid, _)| kid))
            .finish()
    }
}

impl Keyring {
    /// Derives one key per secret for a purpose, the signing one first. Each is HMAC-SHA-256 of the purpose
    /// under the secret, so that a signature for one purpose is invalid for any other (key separation).
    pub fn derive(&self, purpose: &str) -> DerivedKeys {
        let keys = self.keys.iter().map(|(_, secret)| {
            let mut mac = new_mac(secret.expose_secret());
            mac.update(purpose.as_bytes());
            new_mac(&mac.finalize().into_bytes())
        });
        DerivedKeys { keys: keys.collect() }
    }

    /// Kids and secrets, the signing one first: for tokens that other services verify by kid.
    pub fn secrets(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.keys
            .iter()
            .map(|(kid, secret)| (kid.as_str(), secret.expose_secret()))
    }
}

/// Keys for one purpose: the first signs, all verify. The keyed state is computed once, and
/// cloned for each signature.
#[derive(Clone)]
pub struct DerivedKeys {
    keys: Arc<[Hmac<Sha256>]>,
}

impl DerivedKeys {
    /// The first `N` bytes of the HMAC-SHA-256 of the concatenated `parts`.
    pub fn sign<const N: usize>(&self, parts: &[&[u8]]) -> [u8; N] {
        truncated(self.keys.first().expect("a keyring is never empty"), parts)
    }

    /// The signature under each key, the signing one's first: for signatures made before a rotation.
    pub fn sign_with_each<const N: usize>(&self, parts: &[&[u8]]) -> impl Iterator<Item = [u8; N]> {
        self.keys.iter().map(|key| truncated(key, parts))
    }

    /// Whether any key made this signature. A constant-time comparison.
    pub fn verify<const N: usize>(&self, parts: &[&[u8]], signature: &[u8; N]) -> bool {
        use subtle::ConstantTimeEq;
        self.keys
            .iter()
            .any(|key| truncated::<N>(key, parts).ct_eq(signature).into())
    }
}

fn new_mac(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}

fn truncated<const N: usize>(key: &Hmac<Sha256>, parts: &[&[u8]]) -> [u8; N] {
    const {
        assert!(
            N >= 16 && N <= 32,
            "a truncated HMAC keeps at least half of its output (RFC 2104)"
        )
    };
    let mut mac = key.clone();
    for part in parts {
        mac.update(part);
    }
    let full = mac.finalize().into_bytes();
    *full.first_chunk().expect("N is at most 32")
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "old:0123456789abcdef0123456789abcdef";
    const NEW: &str = "new:fedcba9876543210fedcba9876543210";

    #[test]
    fn a_rotated_key_still_verifies_and_a_removed_one_does_not() {
        let before: Keyring = OLD.parse().unwrap();
        let signature = before.derive("cursor").sign::<16>(&[b"page"]);
        let rotated: Keyring = format!("{NEW},{OLD}").parse().unwrap();
        assert!(rotated.derive("cursor").verify(&[b"page"], &signature));
        let after: Keyring = NEW.parse().unwrap();
        assert!(!after.derive("cursor").verify(&[b"page"], &signature));
    }

    #[test]
    fn a_signature_for_one_purpose_is_invalid_for_another() {
        let keyring: Keyring = OLD.parse().unwrap();
        let signature = keyring.derive("cursor").sign::<16>(&[b"page"]);
        assert!(!keyring.derive("session").verify(&[b"page"], &signature));
    }

    #[test]
    fn faults_name_the_entry_and_never_the_secret() {
        let fault = |text: &str| text.parse::<Keyring>().unwrap_err().to_string();
        assert!(fault("").contains("no key"));
        assert!(fault("justasecret").contains("entry 1"));
        assert!(fault(&format!("{OLD},k:tooshort")).contains("entry 2 has 8 bytes"));
        assert!(!fault("k:tooshort").contains("tooshort"));
        assert!(fault(&format!("{OLD},{OLD}")).contains("repeats"));
    }
}
