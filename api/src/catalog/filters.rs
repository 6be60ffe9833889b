//! The filters that browsing and facets share, and their SQL.

use std::fmt::Write as _;

use crate::web::error::ApiError;
use crate::web::query::Parameters;

/// The longest search text, in characters.
pub const MAX_QUERY_CHARS: usize = 200;
/// The longest slug, in characters: the bound of its column.
pub const MAX_SLUG_CHARS: usize = 255;
/// The highest price that a filter accepts, in minor units.
const MAX_PRICE: i64 = 1_000_000_000_000;

/// The conditions on a listed product, all optional.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProductFilters {
    /// Slug of a category. Its subcategories' products match as well.
    pub category: Option<String>,
    /// Slug of a brand.
    pub brand: Option<String>,
    /// Words to search for.
    pub q: Option<String>,
    /// Lowest price, in minor units.
    pub min_price: Option<i64>,
    /// Highest price, in minor units.
    pub max_price: Option<i64>,
    /// At least one variant is in stock, or none.
    pub in_stock: Option<bool>,
}

impl ProductFilters {
    /// Takes the filters from a request.
    ///
    /// # Errors
    /// A 400 that names the invalid parameter.
    pub fn take(parameters: &mut Parameters<'_>) -> Result<Self, ApiError> {
        let filters = Self {
            category: parameters.take_text("category", MAX_SLUG_CHARS)?,
            brand: parameters.take_text("brand", MAX_SLUG_CHARS)?,
            q: parameters.take_text("q", MAX_QUERY_CHARS)?,
            min_price: parameters.take_number("min_price", 0, MAX_PRICE)?,
            max_price: parameters.take_number("max_price", 0, MAX_PRICE)?,
            in_stock: parameters.take_bool("in_stock")?,
        };
        match (filters.min_price, filters.max_price) {
            (Some(min), Some(max)) if min > max => Err(ApiError::parameter(
                "min_price",
                format!("{min} is above max_price, {max}"),
            )),
            _ => Ok(filters),
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
