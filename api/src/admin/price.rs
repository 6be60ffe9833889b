//! A price as an admin gives it.

use serde::{Deserialize, Deserializer};
use storefront::money::{Currency, Money};
use utoipa::ToSchema;

use crate::http::money::MoneySchema;
use crate::http::whole_number::WholeNumber;

/// The highest price, in minor units: the highest that the catalogue's filters know, and far below what a full cart's
/// sum could overflow by.
const MAX_PRICE: i64 = 1_000_000_000_000;

/// A price, neither negative nor beyond anything that is sold.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    amount: WholeNumber<0, MAX_PRICE>,
    currency: Currency,
}

impl Price {
    /// As money.
    pub fn money(self) -> Money {
        Money {
            amount: self.amount.get(),
            currency: self.currency,
        }
    }
}

/// The price of one variant.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VariantPrice {
    /// Which variant of the product.
    pub sku: String,
    /// What it costs from now on. Left out: what it did.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = MoneySchema, required = false)]
    pub price: Option<Price>,
    /// What it used to cost; null for nothing. Left out: as it was.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<MoneySchema>, required = false)]
    pub compare_at_price: Option<Option<Price>>,
}

/// Reads a field that is there, so that `null` is no way to leave it out.
pub(super) fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
