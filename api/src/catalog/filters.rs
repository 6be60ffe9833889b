//! The filters that browsing and facets share, and their SQL.

use std::fmt::Write as _;

use crate::web::error::ApiError;
use crate::web::query::{boolean, number, query_parameters, text};

/// The longest search text, in characters.
pub const MAX_QUERY_CHARS: usize = 200;
/// The longest slug, in characters: the bound of its column.
pub const MAX_SLUG_CHARS: usize = 255;
/// The highest price that a filter accepts, in minor units.
const MAX_PRICE: i64 = 1_000_000_000_000;

query_parameters! {
    /// The conditions on a listed product, all optional.
    #[derive(Clone, Default, PartialEq, Eq)]
    pub struct ProductFilters {
        /// Slug of a category; its descendants are included
        pub category: Option<String> = text(MAX_SLUG_CHARS),
        /// Slug of a brand
        pub brand: Option<String> = text(MAX_SLUG_CHARS),
        /// Words to search for; the last word also matches as a prefix, from three letters on
        pub q: Option<String> = text(MAX_QUERY_CHARS),
        /// Lowest price, in minor units
        pub min_price: Option<i64> = number(0, MAX_PRICE),
        /// Highest price, in minor units
        pub max_price: Option<i64> = number(0, MAX_PRICE),
        /// Only products in stock, or only products out of stock
        pub in_stock: Option<bool> = boolean(),
    }
    check Self::check_prices;
}

impl ProductFilters {
    fn check_prices(&self) -> Result<(), ApiError> {
        match (self.min_price, self.max_price) {
            (Some(min), Some(max)) if min > max => Err(ApiError::parameter(
                "min_price",
                format!("{min} is above max_price, {max}"),
            )),
            _ => Ok(()),
        }
    }

    /// Appends the filters in canonical form, percent-encoded: `category=shirts&q=wool&`. Equal filters have equal
    /// texts, which identify the list in cache keys and cursors.
    pub fn write_canonical(&self, to: &mut String) {
        let texts = [
            ("category", &self.category),
            ("brand", &self.brand),
            ("q", &self.q),
        ];
        for (name, value) in texts {
            if let Some(value) = value {
                to.extend([name, "="]);
                to.extend(form_urlencoded::byte_serialize(value.as_bytes()));
                to.push('&');
            }
        }
        for (name, value) in [("min_price", self.min_price), ("max_price", self.max_price)] {
            if let Some(value) = value {
                write!(to, "{name}={value}&").expect("writing to a string can't fail");
            }
        }
        if let Some(value) = self.in_stock {
            write!(to, "in_stock={value}&").expect("writing to a string can't fail");
        }
    }
}
