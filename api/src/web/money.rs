//! Money in the OpenAPI document.

use utoipa::ToSchema;

/// An amount in minor units.
#[derive(Debug, ToSchema)]
#[schema(as = Money)]
#[allow(dead_code)] // only the schema of `shop::money::Money`, which doesn't depend on utoipa
pub struct MoneySchema {
    /// Minor units of the currency: 1299 is 12.99 EUR.
    pub amount: i64,
    /// ISO 4217.
    pub currency: String,
}
