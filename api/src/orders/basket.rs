//! The cart's content and prices, and the idempotency key's order, read in one statement before anything is written.

use shop::money::Currency;
use time::OffsetDateTime;
use uuid::Uuid;

use super::order_request::PlaceOrder;
use crate::database::InstrumentedConnection;
use crate::orders::idempotency::StoredKey;
use crate::orders::order::{OrderLine, Totals, currency, token_hash};
use crate::pricing::{Coupon, PricedLine, ShippingMethod, amount_overflow, price};
use crate::web::error::ApiError;

/// A cart with current prices and stock.
#[derive(Debug)]
pub(super) struct Basket {
    /// Sorted by variant id.
    pub(super) items: Vec<BasketItem>,
    pub(super) coupon: Option<Coupon>,
    /// The signed-in customer's.
    pub(super) customer_email: Option<String>,
    /// The cart's version, which every change advances.
    pub(super) version: OffsetDateTime,
    pub(super) is_ordered: bool,
    /// The customer's unpaid orders.
    pub(super) open_orders: i64,
}

/// What a request refers to.
#[derive(Debug)]
pub(super) enum LookupResult {
    /// The key was used before. It stands for its order, even if the cart has changed since.
    Known(StoredKey),
    /// The cart, under a new key.
    Cart(Basket),
    /// Neither exists.
    Nothing,
}

/// A cart's item with its current data.
#[derive(Debug, Clone)]
pub struct BasketItem {
    pub variant_id: Uuid,
    pub product_id: Uuid,
    pub quantity: i32,
    pub unit_price_cents: i64,
    /// Units in stock when it was read. Whether they suffice is decided by the arm of `stock`.
    pub stock_quantity: i32,
    pub is_active: bool,
    pub currency: String,
    pub sku: String,
    pub title: String,
    pub variant_title: String,
}

/// A basket with its totals.
pub(super) struct PricedBasket {
    pub(super) lines: Vec<OrderLine>,
    pub(super) totals: Totals,
    /// The coupon, if it applies.
    pub(super) coupon: Option<String>,
}

/// Looks up the key, or the cart if it exists and belongs to the client.
///
/// # Errors
/// When the statement fails.
pub(super) async fn read(
    connection: &mut InstrumentedConnection<'_>,
    request: &PlaceOrder,
) -> Result<LookupResult, sqlx::Error> {
    let query = sqlx::query_file!(
        "src/orders/basket.sql",
        request.order.cart_id,
        request.customer,
        request.cart_token.as_ref().map(<[u8; 32]>::as_slice),
        request.key.owner.as_slice(),
        request.key.key
    );
    let rows = query.fetch_all(connection).await?;
    let Some(first) = rows.first() else {
        return Ok(LookupResult::Nothing);
    };
    if let Some((request_hash, order)) = first.request_hash.clone().zip(first.key_order_id) {
        return Ok(LookupResult::Known(StoredKey {
            request_hash,
            is_locked: first.is_locked,
            order,
            token_hash: first.order_token_hash.clone().map(token_hash).transpose()?,
            answer: first
                .answer_status
                .map(|status| (status, first.answer.clone().unwrap_or_default())),
        }));
    }
    let Some(version) = first.cart_version else {
        return Ok(LookupResult::Nothing);
    };
    let coupon = first.coupon_code.clone().map(|code| Coupon {
        code,
        percent: first.coupon_percent,
        amount_cents: first.coupon_amount_cents,
        currency: first.coupon_currency.clone().unwrap_or_default(),
        minimum_cents: first.coupon_minimum_cents.unwrap_or_default(),
        usable: first.coupon_usable,
    });
    Ok(LookupResult::Cart(Basket {
        coupon,
        customer_email: first.customer_email.clone(),
        version,
        is_ordered: first.is_ordered,
        open_orders: first.open_orders,
        // A cart without items has one row without an item.
        items: rows
            .into_iter()
            .filter_map(|row| {
                Some(BasketItem {
                    variant_id: row.variant_id?,
                    product_id: row.product_id?,
                    quantity: row.quantity?,
                    unit_price_cents: row.price_cents?,
                    stock_quantity: row.stock_quantity?,
                    is_active: row.active?,
                    currency: row.currency?,
                    sku: row.sku?,
                    title: row.title?,
                    variant_title: row.variant_title?,
                })
            })
            .collect(),
    }))
}

impl Basket {
    /// Prices the basket, and rejects one that can't be ordered. Stock is checked against what was read, which spares
    /// a transaction when something is sold out.
    ///
    /// # Errors
    /// 409 with the reason.
    pub(super) fn price(&self, shipping: ShippingMethod) -> Result<PricedBasket, ApiError> {
        let currency = self.currency()?;
        let gone = self.items.iter().filter(|item| !item.is_active);
        let gone: Vec<&str> = gone.map(|item| item.sku.as_str()).collect();
        if !gone.is_empty() {
            return Err(cart_changed(format!(
                "no longer sold: {}; remove it from the cart",
                gone.join(", ")
            )));
        }
        let short = self
            .items
            .iter()
            .filter(|item| item.stock_quantity < item.quantity);
        let short: Vec<&str> = short.map(|item| item.sku.as_str()).collect();
        if !short.is_empty() {
            return Err(insufficient_stock(&short));
        }
        let lines: Vec<OrderLine> = self
            .items
            .iter()
            .map(|item| {
                let texts = (item.sku.clone(), item.title.clone(), item.variant_title.clone());
                OrderLine::new(texts, item.quantity, item.unit_price_cents, currency)
            })
            .collect();
        if let Some(coupon) = self.coupon.as_ref().filter(|coupon| !coupon.usable) {
            return Err(cart_changed(format!(
                "the coupon {} no longer applies; remove it from the cart",
                coupon.code
            )));
        }
        let priced = self.items.iter().map(|item| PricedLine {
            unit_price_cents: item.unit_price_cents,
            quantity: item.quantity,
        });
        let sums = price(
            priced,
            self.coupon.as_ref(),
            currency.as_str(),
            shipping.price_cents(),
        );
        let sums = sums.ok_or_else(amount_overflow)?;
        let discount = sums.discount_cents;
        let totals = Totals::new(sums.subtotal_cents, discount, sums.shipping_cents, currency);
        Ok(PricedBasket {
            lines,
            totals: totals.ok_or_else(amount_overflow)?,
            // A coupon whose terms aren't met gives no discount, and isn't redeemed.
            coupon: self
                .coupon
                .as_ref()
                .filter(|_| discount > 0)
                .map(|coupon| coupon.code.clone()),
        })
    }

    /// The one currency of all items.
    fn currency(&self) -> Result<Currency, ApiError> {
        let first = self
            .items
            .first()
            .ok_or_else(|| cart_changed("the cart is empty"))?;
        if self.items.iter().any(|item| item.currency != first.currency) {
            return Err(ApiError::Conflict {
                code: "mixed_currencies",
                detail: "the cart's items have different currencies; order them separately".to_owned(),
            });
        }
        Ok(currency(&first.currency)?)
    }
}

/// 409 `insufficient_stock`.
pub(super) fn insufficient_stock(skus: &[&str]) -> ApiError {
    ApiError::Conflict {
        code: "insufficient_stock",
        detail: format!("not enough in stock of: {}", skus.join(", ")),
    }
}

/// 409 `cart_changed`.
pub(super) fn cart_changed(detail: impl Into<String>) -> ApiError {
    ApiError::Conflict {
        code: "cart_changed",
        detail: detail.into(),
    }
}
