//! Passwords in requests.

use serde::{Deserialize, Deserializer};

/// The longest password that is hashed, in characters.
const MAX_CHARS: usize = 256;

/// The shortest that is accepted, in characters, as NIST SP 800-63B requires.
const MIN_CHARS: usize = 8;

/// A password to sign in with, used unchanged, spaces included.
pub struct Password(String);

/// A new password, with a minimum length.
pub struct NewPassword(String);

impl Password {
    pub fn into_string(self) -> String {
        self.0
    }
}

impl NewPassword {
    /// Accepts 8 to 256 characters.
    ///
    /// # Errors
    /// When it is shorter or longer.
    pub fn new(text: String) -> Result<Self, String> {
        match text.chars().count() {
            MIN_CHARS..=MAX_CHARS => Ok(Self(text)),
            chars => Err(format!(
                "has {chars} characters; a password has {MIN_CHARS} to {MAX_CHARS}"
            )),
        }
    }

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
