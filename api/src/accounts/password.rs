//! Passwords, as clients send them.

use serde::{Deserialize, Deserializer};

/// The longest that is hashed, in characters: far above what anyone types.
const MAX_CHARS: usize = 256;

/// The shortest that is taken, in characters, as NIST SP 800-63B has it.
const MIN_CHARS: usize = 8;

/// A password to sign in with: taken as it is, spaces and all.
pub struct Password(String);

/// A password that somebody chooses.
pub struct NewPassword(String);

impl Password {
    /// The password.
    pub fn into_string(self) -> String {
        self.0
    }
}

impl NewPassword {
    /// Takes a text of 8 to 256 characters.
    ///
    /// # Errors
    /// When it is shorter or longer; the message says so.
    pub fn new(text: String) -> Result<Self, String> {
        match text.chars().count() {
            MIN_CHARS..=MAX_CHARS => Ok(Self(text)),
            chars => Err(format!(
                "has {chars} characters; a password has {MIN_CHARS} to {MAX_CHARS}"
            )),
        }
    }

    /// The password.
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
                "has to have 1 to {MAX_CHARS} characters"
            ))),
        }
    }
}

impl<'de> Deserialize<'de> for NewPassword {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
