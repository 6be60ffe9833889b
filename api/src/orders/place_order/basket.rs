//! What a cart holds and costs now, and what the request's key stands for: read in one statement before anything is
//! written.

use storefront::money::Currency;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{PlaceOrder, cart_changed, insufficient_stock};
use crate::database::Session;
use crate::http::error::ApiError;
use crate::orders::idempotency::KnownKey;
use crate::orders::order::{OrderLine, Totals, currency, token_hash};
use crate::pricing::{Coupon, Line, ShippingMethod, price, too_dear};

/// A cart as it is now.
#[derive(Debug)]
pub(super) struct Basket {
    /// By variant id.
    pub(super) items: Vec<Item>,
    /// The coupon that lies in it.
    pub(super) coupon: Option<Coupon>,
    /// Of who is signed in.
    pub(super) customer_email: Option<String>,
    /// Which version of it this is: each change of it moves this on.
    pub(super) version: OffsetDateTime,
    /// There is an order of it.
    pub(super) is_ordered: bool,
    /// Orders of the customer that wait for their payment.
    pub(super) open_orders: i64,
}

/// What a request stands for.
#[derive(Debug)]
pub(super) enum Found {
    /// Its key was used before. It stands for its order, whatever has become of the cart.
    Known(KnownKey),
    /// The cart, under a new key.
    Cart(Basket),
    /// Neither.
    Nothing,
}

/// An item of a cart, with what it is and costs now.
#[derive(Debug, Clone)]
pub struct Item {
    /// Which variant.
    pub variant_id: Uuid,
    /// Of which product.
    pub product_id: Uuid,
    /// How many.
    pub quantity: i32,
    /// What one costs.
    pub unit_price_cents: i64,
    /// How many there were when it was read. Whether there are enough is decided by the arm of `stock`.
    pub stock_quantity: i32,
    /// Whether it is sold at all.
    pub is_active: bool,
    /// What its price is in.
    pub currency: String,
    /// The stock-keeping unit.
    pub sku: String,
    /// The product's title.
    pub title: String,
    /// The variant's.
    pub variant_title: String,
}

/// What a basket costs.
pub(super) struct Priced {
    pub(super) lines: Vec<OrderLine>,
    pub(super) totals: Totals,
    /// The coupon that takes something off.
    pub(super) coupon: Option<String>,
}

/// Reads what the key stands for, else the cart, if it is there and is the requester's.
///
/// # Errors
/// When the statement fails.
pub(super) async fn read(session: &mut Session<'_>, request: &PlaceOrder) -> Result<Found, sqlx::Error> {
    let query = sqlx::query_file!(
        "src/orders/place_order/basket.sql",
        request.order.cart_id,
        request.customer,
        request.cart_token.as_ref().map(<[u8; 32]>::as_slice),
        request.key.owner.as_slice(),
        request.key.key
    );
    let rows = query.fetch_all(session).await?;
    let Some(first) = rows.first() else {
        return Ok(Found::Nothing);
    };
    if let Some((request_hash, order)) = first.request_hash.clone().zip(first.key_order_id) {
        return Ok(Found::Known(KnownKey {
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
        return Ok(Found::Nothing);
    };
    let coupon = first.coupon_code.clone().map(|code| Coupon {
        code,
        percent: first.coupon_percent,
        amount_cents: first.coupon_amount_cents,
        currency: first.coupon_currency.clone().unwrap_or_default(),
        minimum_cents: first.coupon_minimum_cents.unwrap_or_default(),
        usable: first.coupon_usable,
    });
    Ok(Found::Cart(Basket {
        coupon,
        customer_email: first.customer_email.clone(),
        version,
        is_ordered: first.is_ordered,
        open_orders: first.open_orders,
        // A cart without items is one row without an item.
        items: rows
            .into_iter()
            .filter_map(|row| {
                Some(Item {
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
    /// Adds it up. What can't be ordered is refused here; stock as far as one look can tell, which spares everybody a
    /// transaction when a thing is sold out.
    ///
    /// # Errors
    /// 409, by what is in the way.
    pub(super) fn price(&self, shipping: ShippingMethod) -> Result<Priced, ApiError> {
        let currency = self.currency()?;
        let gone = self.items.iter().filter(|item| !item.is_active);
        let gone: Vec<&str> = gone.map(|item| item.sku.as_str()).collect();
        if !gone.is_empty() {
            return Err(cart_changed(format!(
                "no longer sold: {}; take it out of the cart",
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
                "the coupon {} no longer counts; take it out of the cart",
                coupon.code
            )));
        }
        let priced = self.items.iter().map(|item| Line {
            unit_price_cents: item.unit_price_cents,
            quantity: item.quantity,
        });
        let sums = price(
            priced,
            self.coupon.as_ref(),
            currency.as_str(),
            shipping.price_cents(),
        );
        let sums = sums.ok_or_else(too_dear)?;
        let discount = sums.discount_cents;
        let totals = Totals::new(sums.subtotal_cents, discount, sums.shipping_cents, currency);
        Ok(Priced {
            lines,
            totals: totals.ok_or_else(too_dear)?,
            // One whose terms aren't met takes nothing off, and isn't used up.
            coupon: self
                .coupon
                .as_ref()
                .filter(|_| discount > 0)
                .map(|coupon| coupon.code.clone()),
        })
    }

    /// What all items are priced in.
    fn currency(&self) -> Result<Currency, ApiError> {
        let first = self
            .items
            .first()
            .ok_or_else(|| cart_changed("the cart is empty"))?;
        if self.items.iter().any(|item| item.currency != first.currency) {
            return Err(ApiError::Conflict {
                code: "mixed_currencies",
                detail: "the cart's items are priced in several currencies; order them apart".to_owned(),
            });
        }
        Ok(currency(&first.currency)?)
    }
}
