//! Passwords in requests.

use serde::{Deserialize, Deserializer};

/// The longest password accepted, in characters.
const MAX_CHARS: usize = 256;

/// The shortest new password accepted, in characters: the minimum of NIST SP 800-63B revision 3 (2017), section 5.1.1.2.
/// Revision 4 (2025), section 3.1.1.2, requires 15 where the password is the only factor, as it is here; a shop that must
/// comply with it raises this number.
const MIN_CHARS: usize = 8;

/// A password to sign in with, used unchanged, including spaces.
pub struct Password(String);

/// A new password, with a minimum length.
pub struct NewPassword(String);

impl Password {
    /// The plain text, which is only ever hashed: never log or store it.
    pub fn into_string(self) -> String {
        self.0
    }
}

impl NewPassword {
    /// Accepts 8 to 256 characters.
    ///
    /// # Errors
    /// When the password is shorter or longer.
    pub fn new(text: String) -> Result<Self, String> {
        match text.chars().count() {
            MIN_CHARS..=MAX_CHARS => Ok(Self(text)),
            chars => Err(format!("has {chars} characters; use {MIN_CHARS} to {MAX_CHARS}")),
        }
    }

    /// The plain text, which is only ever hashed: never log or store it.
    pub fn into_string(self) -> String {
        self.0
    }
}

impl<'de> Deserialize<'de> for Password {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.chars().count() {
            1..=MAX_CHARS => Ok(Self(text)),
            _ => Err(serde::de::Error::custom(format!(
                "must have 1 to {MAX_CHARS} characters"
            ))),
        }
    }
}

impl<'de> Deserialize<'de> for NewPassword {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
