//! A cart in responses. `read_cart.rs` reads and prices it.

use serde::Serialize;
use shop::money::{Currency, Money};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::pricing::ShippingMethod;
use crate::web::money::MoneySchema;

/// A cart with current prices and stock. It reserves nothing.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Cart)]
pub struct CartView {
    pub id: Uuid,
    /// Authorizes access to a guest's cart, sent as `x-cart-token`. Only in the response that created the cart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// An ordered cart can no longer be changed.
    pub ordered: bool,
    /// In the order in which they were added.
    pub items: Vec<CartItem>,
    pub coupon: Option<CartCoupon>,
    pub totals: CartTotals,
}

/// A line of a cart, priced when it is read.
#[derive(Debug, Serialize, ToSchema)]
pub struct CartItem {
    pub sku: String,
    /// The product's slug.
    pub product: String,
    pub title: String,
    pub variant_title: String,
    /// The product's first image.
    pub image: Option<CartImage>,
    pub quantity: i32,
    #[schema(value_type = MoneySchema)]
    pub unit_price: Money,
    #[schema(value_type = MoneySchema)]
    pub line_total: Money,
    /// Units that could be bought now.
    pub available_quantity: i32,
    /// Why the line can't be bought. Inactive lines, and lines in another currency, don't count towards the subtotal.
    pub problems: Vec<ItemProblem>,
}

/// An image of a product.
#[derive(Debug, Serialize, ToSchema)]
pub struct CartImage {
    pub url: String,
    /// A description, for accessibility.
    pub alt: String,
}

/// Why a line can't be bought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ItemProblem {
    /// Fewer units in stock than requested.
    InsufficientStock,
    /// No longer sold.
    Inactive,
    /// The product's currency has changed and differs from the cart's.
    OtherCurrency,
}

/// The cart's coupon, which stays in the cart while it doesn't apply.
#[derive(Debug, Serialize, ToSchema)]
pub struct CartCoupon {
    pub code: String,
    /// Why the coupon doesn't apply now; null if it does.
    pub problem: Option<&'static str>,
}

/// In the cart's one currency.
#[derive(Debug, Serialize, ToSchema)]
pub struct CartTotals {
    /// The sum of the lines, without inactive ones and lines in another currency.
    #[schema(value_type = MoneySchema)]
    pub subtotal: Money,
    #[schema(value_type = MoneySchema)]
    pub discount: Money,
    /// Subtotal − discount, without shipping.
    #[schema(value_type = MoneySchema)]
    pub total: Money,
    pub shipping: ShippingPrices,
}

/// Shipping prices by method.
#[derive(Debug, Serialize, ToSchema)]
pub struct ShippingPrices {
    /// Within a few days.
    #[schema(value_type = MoneySchema)]
    pub standard: Money,
    /// Next day.
    #[schema(value_type = MoneySchema)]
    pub express: Money,
}

impl CartView {
    /// A new cart.
    pub(super) fn empty(id: Uuid, token: Option<String>) -> Self {
        Self {
            id,
            token,
            ordered: false,
            items: Vec::new(),
            coupon: None,
            totals: CartTotals::new(0, 0, Currency::EUR),
        }
    }
}

impl CartTotals {
    pub(super) fn new(subtotal_cents: i64, discount_cents: i64, currency: Currency) -> Self {
        let money = |amount| Money { amount, currency };
        Self {
            subtotal: money(subtotal_cents),
            discount: money(discount_cents),
            total: money(subtotal_cents - discount_cents),
            shipping: ShippingPrices {
                standard: money(ShippingMethod::Standard.price_cents()),
                express: money(ShippingMethod::Express.price_cents()),
            },
        }
    }
}
