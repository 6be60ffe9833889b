//! How money is described in the OpenAPI document.

use utoipa::ToSchema;

/// An amount in minor units.
#[derive(Debug, ToSchema)]
#[schema(as = Money)]
#[allow(dead_code)] // it only describes `storefront::money::Money`, which knows no OpenAPI
pub struct MoneySchema {
    /// Minor units of the currency: 1299 is 12.99 EUR.
    pub amount: i64,
    /// ISO 4217.
    pub currency: String,
}
