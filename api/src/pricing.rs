//! What things cost beside their own price, as the API names it: shipping. The sums are in [`storefront::pricing`].

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use storefront::pricing::{Coupon, CouponRefusal, Line, price};

use crate::http::error::ApiError;

/// How a parcel is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ShippingMethod {
    /// In a few days.
    Standard,
    /// On the next.
    Express,
}

impl ShippingMethod {
    /// Its name in the API and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Express => "express",
        }
    }

    /// What it costs, in minor units of whatever the cart is priced in. A real shop has a table by country, weight and
    /// currency; none of our lessons is about it.
    pub const fn price_cents(self) -> i64 {
        match self {
            Self::Standard => 495,
            Self::Express => 1295,
        }
    }
}

/// A 409 for what costs more than minor units can hold: a price that was imported may be anything that a column holds.
pub fn too_dear() -> ApiError {
    ApiError::Conflict {
        code: "cart_too_dear",
        detail: "this cart costs more than the shop can count; take something out".to_owned(),
    }
}
