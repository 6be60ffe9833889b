//! From a priced basket to an order that isn't stored yet.

use std::time::Instant;

use platform::postgres::is_deadlock;
use shop::orders::Unit;
use time::OffsetDateTime;
use uuid::Uuid;

use super::basket::{Basket, BasketItem, cart_changed};
use super::holdings;
use super::order::{Order, Status, TimelineEvent, now};
use super::order_request::PlaceOrder;
use super::order_tokens::OrderTokens;
use crate::settings::OrderSettings;
use crate::web::error::ApiError;

/// An order that isn't stored yet.
#[derive(Debug)]
pub struct OrderDraft {
    /// As the response shows it. Its number is assigned by the database.
    pub order: Order,
    /// The items of its lines, sorted by variant id.
    pub items: Vec<BasketItem>,
    pub cart_id: Uuid,
    /// The version of the cart that was read.
    pub cart_version: OffsetDateTime,
    /// The signed-in customer.
    pub customer: Option<Uuid>,
    /// When its prices were read.
    pub priced_at: Instant,
    pub is_first_attempt: bool,
}

impl OrderDraft {
    /// Prices the basket, and rejects one that can't be ordered.
    ///
    /// # Errors
    /// 409 with the reason; 400 when a guest's email is missing.
    pub(super) fn new(
        settings: &OrderSettings,
        tokens: &OrderTokens,
        request: &PlaceOrder,
        basket: Basket,
        priced_at: Instant,
    ) -> Result<Self, ApiError> {
        if basket.is_ordered {
            return Err(ApiError::Conflict {
                code: "cart_ordered",
                detail: "this cart was ordered already; see GET /v1/orders".to_owned(),
            });
        }
        holdings::check(settings, request.customer, &basket)?;
        let priced = basket.price(request.order.shipping_method)?;
        if let Some(expected) = request.order.expected_total
            && expected != priced.totals.total
        {
            return Err(cart_changed(format!(
                "it now costs {}, not {expected}; check the cart again",
                priced.totals.total
            )));
        }
        let email = match (&request.order.email, basket.customer_email) {
            (Some(email), _) => email.as_str().to_owned(),
            (None, Some(email)) => email,
            (None, None) => {
                return Err(ApiError::parameter(
                    "email",
                    "is missing; guests must provide one",
                ));
            }
        };
        let id = Uuid::now_v7();
        let created_at = now();
        let address = serde_json::to_value(&request.order.shipping_address).map_err(ApiError::internal)?;
        let token_hash = match request.customer {
            Some(_) => None,
            None => Some(tokens.derive(id).hash()),
        };
        Ok(Self {
            order: Order {
                id,
                number: 0,
                status: Status::PendingPayment,
                created_at,
                email,
                items: priced.lines,
                totals: priced.totals,
                coupon: priced.coupon,
                shipping_method: request.order.shipping_method.as_str().into(),
                shipping_address: address,
                tracking_number: None,
                timeline: vec![TimelineEvent {
                    event: "created".into(),
                    at: created_at,
                }],
                token_hash,
            },
            items: basket.items,
            cart_id: request.order.cart_id,
            cart_version: basket.version,
            customer: request.customer,
            priced_at,
            is_first_attempt: true,
        })
    }

    /// The units to take of each variant.
    pub(super) fn units(&self) -> Vec<Unit> {
        let unit = |item: &BasketItem| Unit {
            product_id: item.product_id,
            variant_id: item.variant_id,
            quantity: item.quantity,
            unit_price_cents: item.unit_price_cents,
        };
        self.items.iter().map(unit).collect()
    }
}

/// Why a reservation failed.
#[derive(Debug)]
pub enum ReserveError {
    /// Something changed since the cart was priced: a concurrent request, another order of the cart, a price, the
    /// last unit. The cart must be read again.
    Retry,
    /// The order can't be placed.
    Rejected(ApiError),
}

impl From<ApiError> for ReserveError {
    fn from(error: ApiError) -> Self {
        Self::Rejected(error)
    }
}

impl From<sqlx::Error> for ReserveError {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error() {
            _ if is_deadlock(&error) => Self::Retry,
            Some(fault) if fault.constraint() == Some("orders_cart_id_key") => Self::Retry,
            _ => Self::Rejected(error.into()),
        }
    }
}
