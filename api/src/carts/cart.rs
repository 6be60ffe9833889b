//! What a cart looks like. How one is read and priced is in `read_cart.rs`.

use serde::Serialize;
use storefront::money::{Currency, Money};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::http::money::MoneySchema;
use crate::pricing::ShippingMethod;

/// A cart, priced and held against the stock at the moment of the answer. Nothing is reserved by it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Cart)]
pub struct CartView {
    /// Its id.
    pub id: Uuid,
    /// What opens a guest's cart, sent back as `x-cart-token`. Only in the answer that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// It was ordered, and stays as it is.
    pub ordered: bool,
    /// In the order in which they were put in.
    pub items: Vec<CartItem>,
    /// The coupon that was put on it.
    pub coupon: Option<CartCoupon>,
    /// What it costs.
    pub totals: CartTotals,
}

/// A line of a cart.
#[derive(Debug, Serialize, ToSchema)]
pub struct CartItem {
    /// The stock-keeping unit.
    pub sku: String,
    /// The product's slug.
    pub product: String,
    /// The product's title.
    pub title: String,
    /// The variant's.
    pub variant_title: String,
    /// The product's first image.
    pub image: Option<CartImage>,
    /// How many are wanted.
    pub quantity: i32,
    /// What one costs.
    #[schema(value_type = MoneySchema)]
    pub unit_price: Money,
    /// What all cost.
    #[schema(value_type = MoneySchema)]
    pub line_total: Money,
    /// How many could be bought now.
    pub available_quantity: i32,
    /// What stands against buying it. The subtotal is without lines that can't be bought in any quantity.
    pub problems: Vec<ItemProblem>,
}

/// A picture.
#[derive(Debug, Serialize, ToSchema)]
pub struct CartImage {
    /// Where it is.
    pub url: String,
    /// What it shows, for those who can't see it.
    pub alt: String,
}

/// What stands against buying a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ItemProblem {
    /// There are fewer than are wanted.
    InsufficientStock,
    /// It is not sold any more.
    Inactive,
    /// Its currency has changed, and is no longer that of the cart.
    OtherCurrency,
}

/// A coupon on a cart.
#[derive(Debug, Serialize, ToSchema)]
pub struct CartCoupon {
    /// Its code.
    pub code: String,
    /// Why it takes nothing off now; null when it does.
    pub problem: Option<&'static str>,
}

/// What a cart costs, in its one currency.
#[derive(Debug, Serialize, ToSchema)]
pub struct CartTotals {
    /// Its lines together, without those that can't be bought in any quantity.
    #[schema(value_type = MoneySchema)]
    pub subtotal: Money,
    /// What the coupon takes off.
    #[schema(value_type = MoneySchema)]
    pub discount: Money,
    /// Subtotal − discount: what is paid, but for shipping.
    #[schema(value_type = MoneySchema)]
    pub total: Money,
    /// What each way of sending it would add.
    pub shipping: ShippingPrices,
}

/// What shipping costs, by method.
#[derive(Debug, Serialize, ToSchema)]
pub struct ShippingPrices {
    /// In a few days.
    #[schema(value_type = MoneySchema)]
    pub standard: Money,
    /// On the next.
    #[schema(value_type = MoneySchema)]
    pub express: Money,
}

impl CartView {
    /// A cart that was just made.
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
