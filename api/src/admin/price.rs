//! A price in an admin's request.

use serde::{Deserialize, Deserializer};
use shop::money::{Currency, Money};
use utoipa::ToSchema;

use crate::web::money::MoneySchema;
use crate::web::whole_number::WholeNumber;

/// The highest price, in minor units: the highest that the catalogue's filters accept. A full cart of it doesn't
/// overflow.
const MAX_PRICE: i64 = 1_000_000_000_000;

/// A price within bounds.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    amount: WholeNumber<0, MAX_PRICE>,
    currency: Currency,
}

impl Price {
    /// The checked amount with its currency.
    pub fn money(self) -> Money {
        Money {
            amount: self.amount.get(),
            currency: self.currency,
        }
    }
}

/// New prices of one variant.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VariantPrice {
    /// Which variant of the product.
    pub sku: String,
    /// The new price. If omitted, it stays.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = MoneySchema, required = false)]
    pub price: Option<Price>,
    /// The former price, for display; null removes it. If omitted, it stays.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<MoneySchema>, required = false)]
    pub compare_at_price: Option<Option<Price>>,
}

/// Deserializes a field that is present, so that `null` isn't the same as omitting it.
pub(super) fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
