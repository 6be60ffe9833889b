//! An order in responses.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use shop::money::{Currency, Money};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::opaque_token::TokenHash;
use crate::postal_address::PostalAddress;
use crate::web::money::MoneySchema;

/// An order's status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Its stock is reserved; the payment's outcome is not known yet.
    PendingPayment,
    /// The payment is authorized.
    Paid,
    /// The parcel is labelled, and the payment captured.
    Fulfilled,
    Delivered,
    /// The payment failed, and the stock was returned.
    PaymentFailed,
    Cancelled,
}

impl Status {
    /// The names in the API and in the database, in the order of transitions.
    pub const NAMES: &[(&str, Status)] = &[
        ("pending_payment", Status::PendingPayment),
        ("paid", Status::Paid),
        ("fulfilled", Status::Fulfilled),
        ("delivered", Status::Delivered),
        ("payment_failed", Status::PaymentFailed),
        ("cancelled", Status::Cancelled),
    ];

    /// The name in the API and in the database.
    pub fn as_str(self) -> &'static str {
        let found = Self::NAMES.iter().find(|(_, status)| *status == self);
        found.map(|(name, _)| *name).expect("every status has a name")
    }

    /// Parses a column's value.
    ///
    /// # Errors
    /// When this build doesn't know the status, which a newer release may have written.
    pub fn from_column(name: &str) -> Result<Self, sqlx::Error> {
        let found = Self::NAMES.iter().find(|(known, _)| *known == name);
        found
            .map(|(_, status)| *status)
            .ok_or_else(|| sqlx::Error::Decode(format!("`{name}` is not a status of an order").into()))
    }
}

/// An order in full.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Order {
    pub id: Uuid,
    /// The number that customers and support use.
    pub number: i64,
    pub status: Status,
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub created_at: OffsetDateTime,
    /// The recipient of mails about the order.
    pub email: String,
    /// With the titles and prices at the time of the order.
    pub items: Vec<OrderLine>,
    pub totals: Totals,
    pub coupon: Option<String>,
    #[schema(value_type = crate::pricing::ShippingMethod)]
    pub shipping_method: Cow<'static, str>,
    #[schema(value_type = PostalAddress)]
    pub shipping_address: serde_json::Value,
    /// Present once the parcel has a label.
    pub tracking_number: Option<String>,
    /// In chronological order.
    pub timeline: Vec<TimelineEvent>,
    /// The hash of a guest's order token. Never serialized.
    #[serde(skip)]
    pub token_hash: Option<TokenHash>,
}

/// An order in a list, without its address and timeline.
#[derive(Debug, Serialize, ToSchema)]
pub struct OrderSummary {
    pub id: Uuid,
    /// The number that customers and support use.
    pub number: i64,
    pub status: Status,
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub created_at: OffsetDateTime,
    /// With the titles and prices at the time of the order.
    pub items: Vec<OrderLine>,
    pub totals: Totals,
}

/// A line of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct OrderLine {
    pub sku: String,
    pub title: String,
    pub variant_title: String,
    pub quantity: i32,
    #[schema(value_type = MoneySchema)]
    pub unit_price: Money,
    #[schema(value_type = MoneySchema)]
    pub line_total: Money,
}

impl OrderLine {
    /// `texts` are the SKU and the titles of product and variant. The price is in minor units; the line's total
    /// saturates instead of overflowing.
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

/// The amounts of an order, all in its currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Totals {
    /// The sum of the lines.
    #[schema(value_type = MoneySchema)]
    pub subtotal: Money,
    #[schema(value_type = MoneySchema)]
    pub discount: Money,
    #[schema(value_type = MoneySchema)]
    pub shipping: Money,
    #[schema(value_type = MoneySchema)]
    pub total: Money,
}

impl Totals {
    /// From amounts in minor units. `None` on overflow.
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

/// An event in an order's timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TimelineEvent {
    /// `created`, `paid`, `payment_failed`, `confirmation_sent`, `label_created`, `fulfilled`, `delivered`,
    /// `cancelled`.
    #[schema(value_type = String)]
    pub event: Cow<'static, str>,
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub at: OffsetDateTime,
}

/// The current time with Postgres' precision, so that a response and its row agree.
pub fn now() -> OffsetDateTime {
    let now = OffsetDateTime::now_utc();
    let micros = now.microsecond();
    now.replace_microsecond(micros)
        .expect("a time's own microseconds are in range")
}

/// Parses a currency column.
///
/// # Errors
/// When it isn't a currency, which a check constraint prevents.
pub fn currency(code: &str) -> Result<Currency, sqlx::Error> {
    code.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

/// Parses the column with the hash of a guest's order token.
///
/// # Errors
/// When it isn't a hash, which a check constraint prevents.
pub fn token_hash(column: Vec<u8>) -> Result<TokenHash, sqlx::Error> {
    let hash = column.try_into();
    hash.map_err(|_| sqlx::Error::Decode("a token's hash has 32 bytes".into()))
}
