//! An email address in one canonical spelling, so that one mailbox is one account.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

/// In lower case. ASCII only: internationalized addresses need a mail provider that supports RFC 6531.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct EmailAddress(String);

/// The text has another syntax, or more than 254 characters. The message doesn't repeat it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not an email address; one looks like name@shop.example, in ASCII, with at most 254 characters")]
pub struct InvalidEmailAddress;

impl EmailAddress {
    /// At most 254 ASCII characters, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Checks the syntax. Only a mail can tell whether the mailbox exists.
impl FromStr for EmailAddress {
    type Err = InvalidEmailAddress;

    fn from_str(text: &str) -> Result<Self, InvalidEmailAddress> {
        let text = text.trim();
        let (local, domain) = text.split_once('@').ok_or(InvalidEmailAddress)?;
        let in_local = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+/=?^_`{|}~.-".contains(c);
        let in_domain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let is_local = (1..=64).contains(&local.len())
            && local.chars().all(in_local)
            && local.split('.').all(|part| !part.is_empty());
        let is_domain = domain
            .split('.')
            .all(|label| (1..=63).contains(&label.len()) && label.chars().all(in_domain));
        if text.len() <= 254 && is_local && is_domain {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(InvalidEmailAddress)
        }
    }
}

impl fmt::Display for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for EmailAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_mailbox_are_one_address() {
        let address: EmailAddress = " Ada.Lovelace+shop@Mail.Example ".parse().unwrap();
        assert_eq!(address.as_str(), "ada.lovelace+shop@mail.example");
    }

    #[test]
    fn invalid_addresses_are_rejected() {
        let long = format!("{}@b.example", "a".repeat(65));
        for wrong in [
            "", "a", "@b.c", "a@", "a@b@c", "a b@c.d", "a@b c", "a..b@c", ".a@b", "a@b..c", "a@b\0", "<a@b>",
            "ä@b.c", "a\n@b.c", &long,
        ] {
            assert_eq!(
                wrong.parse::<EmailAddress>(),
                Err(InvalidEmailAddress),
                "{wrong:?}"
            );
        }
    }
}
