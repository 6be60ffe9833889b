//! Postal addresses in requests, validated field by field.

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::web::body::BoundedString;

/// A postal address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PostalAddress {
    /// The recipient.
    #[schema(value_type = String, min_length = 1, max_length = 255)]
    pub name: BoundedString<255>,
    /// Street and number.
    #[schema(value_type = String, min_length = 1, max_length = 255)]
    pub line1: BoundedString<255>,
    /// For example an apartment or a floor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 255)]
    pub line2: Option<BoundedString<255>>,
    #[schema(value_type = String, min_length = 1, max_length = 255)]
    pub city: BoundedString<255>,
    /// In the country's format.
    #[schema(value_type = String, min_length = 1, max_length = 32)]
    pub postal_code: BoundedString<32>,
    /// A state or province.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 255)]
    pub region: Option<BoundedString<255>>,
    /// ISO 3166-1 alpha-2.
    #[schema(value_type = String, min_length = 2, max_length = 2, example = "NO")]
    pub country: Country,
}

/// An ISO 3166-1 alpha-2 code, in upper case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Country(&'static str);

impl Country {
    /// `None` if no country has this code. Lower case isn't accepted.
    pub fn from_code(code: &str) -> Option<Self> {
        let at = COUNTRIES.binary_search(&code).ok()?;
        Some(Self(COUNTRIES[at]))
    }

    /// Two upper-case letters.
    pub fn as_str(self) -> &'static str {
        self.0
    }
}

impl<'de> Deserialize<'de> for Country {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = String::deserialize(deserializer)?;
        Self::from_code(&code).ok_or_else(|| {
            serde::de::Error::custom(
                "is not a country; use its two upper-case letters (ISO 3166-1 alpha-2), for example NO",
            )
        })
    }
}

/// All officially assigned codes, sorted for binary search.
#[rustfmt::skip]
const COUNTRIES: [&str; 249] = [
    "AD", "AE", "AF", "AG", "AI", "AL", "AM", "AO", "AQ", "AR", "AS", "AT", "AU", "AW", "AX", "AZ",
    "BA", "BB", "BD", "BE", "BF", "BG", "BH", "BI", "BJ", "BL", "BM", "BN", "BO", "BQ", "BR", "BS", "BT", "BV", "BW",
    "BY", "BZ",
    "CA", "CC", "CD", "CF", "CG", "CH", "CI", "CK", "CL", "CM", "CN", "CO", "CR", "CU", "CV", "CW", "CX", "CY", "CZ",
    "DE", "DJ", "DK", "DM", "DO", "DZ",
    "EC", "EE", "EG", "EH", "ER", "ES", "ET",
    "FI", "FJ", "FK", "FM", "FO", "FR",
    "GA", "GB", "GD", "GE", "GF", "GG", "GH", "GI", "GL", "GM", "GN", "GP", "GQ", "GR", "GS", "GT", "GU", "GW", "GY",
    "HK", "HM", "HN", "HR", "HT", "HU",
    "ID", "IE", "IL", "IM", "IN", "IO", "IQ", "IR", "IS", "IT",
    "JE", "JM", "JO", "JP",
    "KE", "KG", "KH", "KI", "KM", "KN", "KP", "KR", "KW", "KY", "KZ",
    "LA", "LB", "LC", "LI", "LK", "LR", "LS", "LT", "LU", "LV", "LY",
    "MA", "MC", "MD", "ME", "MF", "MG", "MH", "MK", "ML", "MM", "MN", "MO", "MP", "MQ", "MR", "MS", "MT", "MU", "MV",
    "MW", "MX", "MY", "MZ",
    "NA", "NC", "NE", "NF", "NG", "NI", "NL", "NO", "NP", "NR", "NU", "NZ",
    "OM",
    "PA", "PE", "PF", "PG", "PH", "PK", "PL", "PM", "PN", "PR", "PS", "PT", "PW", "PY",
    "QA",
    "RE", "RO", "RS", "RU", "RW",
    "SA", "SB", "SC", "SD", "SE", "SG", "SH", "SI", "SJ", "SK", "SL", "SM", "SN", "SO", "SR", "SS", "ST", "SV", "SX",
    "SY", "SZ",
    "TC", "TD", "TF", "TG", "TH", "TJ", "TK", "TL", "TM", "TN", "TO", "TR", "TT", "TV", "TW", "TZ",
    "UA", "UG", "UM", "US", "UY", "UZ",
    "VA", "VC", "VE", "VG", "VI", "VN", "VU",
    "WF", "WS",
    "YE", "YT",
    "ZA", "ZM", "ZW",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_assigned_codes_are_countries() {
        assert!(COUNTRIES.is_sorted());
        assert_eq!(Country::from_code("NO").map(Country::as_str), Some("NO"));
        for wrong in ["", "no", "NOR", "XX", "UK"] {
            assert_eq!(Country::from_code(wrong), None, "{wrong}");
        }
    }
}
