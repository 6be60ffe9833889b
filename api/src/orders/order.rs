//! An order as the API shows it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use storefront::money::{Currency, Money};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::http::money::MoneySchema;
use crate::opaque_token::TokenHash;
use crate::postal_address::PostalAddress;

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Its stock is held, and nobody knows yet whether it is paid.
    PendingPayment,
    /// The money is held.
    Paid,
    /// The parcel has its label, and the money was taken.
    Fulfilled,
    /// It has arrived.
    Delivered,
    /// The payment came to nothing, and the stock was given back.
    PaymentFailed,
    /// Called off.
    Cancelled,
}

impl Status {
    /// All of them, in the order in which they can follow each other.
    pub const ALL: [Status; 6] = [
        Status::PendingPayment,
        Status::Paid,
        Status::Fulfilled,
        Status::Delivered,
        Status::PaymentFailed,
        Status::Cancelled,
    ];

    /// Its name in the API and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Status::PendingPayment => "pending_payment",
            Status::Paid => "paid",
            Status::Fulfilled => "fulfilled",
            Status::Delivered => "delivered",
            Status::PaymentFailed => "payment_failed",
            Status::Cancelled => "cancelled",
        }
    }

    /// The status that a row names.
    ///
    /// # Errors
    /// When the database holds one that this build doesn't know.
    pub fn from_column(name: &str) -> Result<Self, sqlx::Error> {
        let found = Self::ALL.into_iter().find(|status| status.as_str() == name);
        found.ok_or_else(|| sqlx::Error::Decode(format!("`{name}` is no status of an order").into()))
    }
}

/// An order with all that is known of it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Order {
    /// Its id.
    pub id: Uuid,
    /// What people say on the telephone.
    pub number: i64,
    /// Where it stands.
    pub status: Status,
    /// When it was placed.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub created_at: OffsetDateTime,
    /// Where its news go.
    pub email: String,
    /// What was bought, as it was named and priced then.
    pub items: Vec<OrderLine>,
    /// What it costs.
    pub totals: Totals,
    /// The coupon that was used.
    pub coupon: Option<String>,
    /// How it is sent.
    #[schema(value_type = crate::pricing::ShippingMethod)]
    pub shipping_method: Cow<'static, str>,
    /// Where to.
    #[schema(value_type = PostalAddress)]
    pub shipping_address: serde_json::Value,
    /// What the parcel is followed with, from its label on.
    pub tracking_number: Option<String>,
    /// What happened to it, in order.
    pub timeline: Vec<TimelineEvent>,
    /// Of what opens a guest's. It is never told, nor kept with an answer.
    #[serde(skip)]
    pub token_hash: Option<TokenHash>,
}

/// An order in a list: without its address and its timeline.
#[derive(Debug, Serialize, ToSchema)]
pub struct OrderSummary {
    /// Its id.
    pub id: Uuid,
    /// What people say on the telephone.
    pub number: i64,
    /// Where it stands.
    pub status: Status,
    /// When it was placed.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub created_at: OffsetDateTime,
    /// What was bought, as it was named and priced then.
    pub items: Vec<OrderLine>,
    /// What it costs.
    pub totals: Totals,
}

/// A line of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct OrderLine {
    /// The stock-keeping unit.
    pub sku: String,
    /// The product's title.
    pub title: String,
    /// The variant's.
    pub variant_title: String,
    /// How many.
    pub quantity: i32,
    /// What one costs.
    #[schema(value_type = MoneySchema)]
    pub unit_price: Money,
    /// What all cost.
    #[schema(value_type = MoneySchema)]
    pub line_total: Money,
}

impl OrderLine {
    /// From a row's columns.
    pub fn new(
        texts: (String, String, String),
        quantity: i32,
        unit_price_cents: i64,
        currency: Currency,
    ) -> Self {
        let money = |amount| Money { amount, currency };
        let (sku, title, variant_title) = texts;
        Self {
            sku,
            title,
            variant_title,
            quantity,
            unit_price: money(unit_price_cents),
            line_total: money(unit_price_cents.saturating_mul(i64::from(quantity))),
        }
    }
}

/// What an order costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Totals {
    /// Its lines together.
    #[schema(value_type = MoneySchema)]
    pub subtotal: Money,
    /// What the coupon took off.
    #[schema(value_type = MoneySchema)]
    pub discount: Money,
    /// What sending it costs.
    #[schema(value_type = MoneySchema)]
    pub shipping: Money,
    /// What is paid.
    #[schema(value_type = MoneySchema)]
    pub total: Money,
}

impl Totals {
    /// From amounts in minor units. `None` when the sum can't be held.
    pub fn new(subtotal: i64, discount: i64, shipping: i64, currency: Currency) -> Option<Self> {
        let total = subtotal.checked_sub(discount)?.checked_add(shipping)?;
        let money = |amount| Money { amount, currency };
        Some(Self {
            subtotal: money(subtotal),
            discount: money(discount),
            shipping: money(shipping),
            total: money(total),
        })
    }
}

/// Something that happened to an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TimelineEvent {
    /// `created`, `paid`, `payment_failed`, `confirmation_sent`, `label_created`, `fulfilled`, `delivered`, `cancelled`.
    #[schema(value_type = String)]
    pub event: Cow<'static, str>,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub at: OffsetDateTime,
}

/// Now, as exactly as Postgres keeps it, so that an answer and the row behind it say the same.
pub fn now() -> OffsetDateTime {
    let now = OffsetDateTime::now_utc();
    let micros = now.microsecond();
    now.replace_microsecond(micros)
        .expect("a clock's own microseconds")
}

/// A currency from its column.
///
/// # Errors
/// When the database holds something else, which its checks don't let in.
pub fn currency(code: &str) -> Result<Currency, sqlx::Error> {
    code.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

/// What opens a guest's order, from its column.
///
/// # Errors
/// When the database holds something else, which its checks don't let in.
pub fn token_hash(column: Vec<u8>) -> Result<TokenHash, sqlx::Error> {
    let hash = column.try_into();
    hash.map_err(|_| sqlx::Error::Decode("a token's hash has 32 bytes".into()))
}
