//! Money: integer minor units with a currency, so that sums are exact.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An ISO 4217 currency code: three upper-case ASCII letters.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Currency([u8; 3]);

impl Currency {
    /// The default currency.
    pub const EUR: Currency = Currency(*b"EUR");

    /// Three upper-case letters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("constructed from ASCII letters")
    }

    /// The number of decimal places (ISO 4217): 2 for most, 0 for JPY, 3 for KWD.
    pub fn exponent(self) -> u32 {
        match &self.0 {
            b"BIF" | b"CLP" | b"DJF" | b"GNF" | b"ISK" | b"JPY" | b"KMF" | b"KRW" | b"PYG" | b"RWF"
            | b"UGX" | b"UYI" | b"VND" | b"VUV" | b"XAF" | b"XOF" | b"XPF" => 0,
            b"BHD" | b"IQD" | b"JOD" | b"KWD" | b"LYD" | b"OMR" | b"TND" => 3,
            _ => 2,
        }
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text isn't three upper-case ASCII letters. Whether ISO 4217 assigns the code isn't checked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a currency code; use three upper-case letters (ISO 4217), for example EUR")]
pub struct ParseCurrencyError(String);

impl FromStr for Currency {
    type Err = ParseCurrencyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.as_bytes() {
            [a, b, c] if [a, b, c].iter().all(|letter| letter.is_ascii_uppercase()) => Ok(Self([*a, *b, *c])),
            _ => Err(ParseCurrencyError(text.to_owned())),
        }
    }
}

impl Serialize for Currency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// An amount in minor units: `Money { amount: 1299, currency: EUR }` is 12.99 €.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Money {
    /// Minor units of the currency.
    pub amount: i64,
    pub currency: Currency,
}

impl fmt::Display for Money {
    /// Human-readable: `12.99 EUR`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Money { amount, currency } = self;
        let digits = currency.exponent() as usize;
        if digits == 0 {
            return write!(f, "{amount} {currency}");
        }
        let sign = if *amount < 0 { "-" } else { "" };
        let unit = 10_u64.pow(currency.exponent());
        let (whole, part) = (amount.unsigned_abs() / unit, amount.unsigned_abs() % unit);
        write!(f, "{sign}{whole}.{part:0digits$} {currency}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_minor_units_and_a_code() {
        let money = Money {
            amount: 1299,
            currency: "EUR".parse().unwrap(),
        };
        assert_eq!(
            serde_json::to_string(&money).unwrap(),
            r#"{"amount":1299,"currency":"EUR"}"#
        );
    }

    #[test]
    fn money_is_shown_with_the_decimals_of_its_currency() {
        let shown = |amount, code: &str| {
            let currency = code.parse().unwrap();
            Money { amount, currency }.to_string()
        };
        assert_eq!(shown(1299, "EUR"), "12.99 EUR");
        assert_eq!(shown(-5, "EUR"), "-0.05 EUR");
        assert_eq!(shown(1299, "JPY"), "1299 JPY");
        assert_eq!(shown(1299, "KWD"), "1.299 KWD");
    }

    #[test]
    fn a_currency_is_three_upper_case_letters() {
        for wrong in ["", "eur", "EURO", "E1R", "€€"] {
            assert!(wrong.parse::<Currency>().is_err(), "{wrong:?}");
        }
        assert_eq!("JPY".parse::<Currency>().unwrap().exponent(), 0);
    }
}
