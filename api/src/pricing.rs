//! Shipping prices as the API names them. Totals are computed in [`shop::pricing`].

use serde::{Deserialize, Serialize};
pub use shop::pricing::{Coupon, CouponRefusal, PricedLine, price};
use utoipa::ToSchema;

use crate::web::error::ApiError;

/// How an order is delivered, which decides the price of shipping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ShippingMethod {
    /// Within a few days.
    Standard,
    /// Next day.
    Express,
}

impl ShippingMethod {
    /// The name in the API and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Express => "express",
        }
    }

    /// The price in minor units of the cart's currency. A real shop has a table by country, weight and currency; no
    /// lesson needs one.
    pub const fn price_cents(self) -> i64 {
        match self {
            Self::Standard => 495,
            Self::Express => 1295,
        }
    }
}

/// A 409 for a total that overflows: an imported price may be any value that its column holds.
pub fn amount_overflow() -> ApiError {
    ApiError::Conflict {
        code: "cart_too_dear",
        detail: "this cart's total is too large for the shop; take something out".to_owned(),
    }
}
