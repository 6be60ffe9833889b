//! Reads a cart in one statement; [`crate::pricing`] prices it each time.

use shop::money::{Currency, Money};
use uuid::Uuid;

use super::cart::{CartCoupon, CartImage, CartItem, CartTotals, CartView, ItemProblem};
use super::cart_owner::CartKey;
use crate::database::InstrumentedConnection;
use crate::pricing::{Coupon, CouponRefusal, PricedLine, amount_overflow, price};
use crate::web::answer::Answer;
use crate::web::error::ApiError;

/// A cart with its coupon, or with a candidate for one.
pub(super) struct StoredCart {
    pub(super) id: Uuid,
    pub(super) ordered: bool,
    items: Vec<CartItem>,
    coupon: Option<CouponOnCart>,
    currency: Currency,
    subtotal_cents: i64,
}

pub(super) struct CouponOnCart {
    terms: Coupon,
    /// Why no cart can use it.
    unusable: Option<&'static str>,
}

impl CouponOnCart {
    /// As stored, in upper case.
    pub(super) fn code(&self) -> &str {
        &self.terms.code
    }

    /// The discount, or the problem's code and text if the coupon doesn't apply.
    pub(super) fn discount(
        &self,
        subtotal_cents: i64,
        currency: Currency,
    ) -> Result<i64, (&'static str, String)> {
        let terms = &self.terms;
        let refusal = match terms.discount(subtotal_cents, currency.as_str()) {
            Ok(discount) => return Ok(discount),
            Err(refusal) => refusal,
        };
        Err(match (refusal, self.unusable) {
            (CouponRefusal::NotUsable, Some("coupon_not_yet_valid")) => {
                ("coupon_not_yet_valid", "this coupon is not valid yet".to_owned())
            }
            (CouponRefusal::NotUsable, Some("coupon_used_up")) => {
                ("coupon_used_up", "this coupon has been used up".to_owned())
            }
            (CouponRefusal::NotUsable, _) => ("coupon_expired", "this coupon is no longer valid".to_owned()),
            (CouponRefusal::OtherCurrency, _) => {
                let detail = format!("this coupon is in {}, the cart in {currency}", terms.currency);
                ("coupon_other_currency", detail)
            }
            (CouponRefusal::BelowMinimum, _) => {
                let minimum = Money {
                    amount: terms.minimum_cents,
                    currency,
                };
                let detail = format!("this coupon requires a subtotal of at least {minimum}");
                ("coupon_below_minimum", detail)
            }
        })
    }
}

impl StoredCart {
    pub(super) fn coupon(&self) -> Option<&CouponOnCart> {
        self.coupon.as_ref()
    }

    /// The discount of its coupon.
    pub(super) fn discount(&self) -> Option<Result<i64, (&'static str, String)>> {
        let coupon = self.coupon.as_ref()?;
        Some(coupon.discount(self.subtotal_cents, self.currency))
    }

    pub(super) fn answer(self) -> Result<Answer, ApiError> {
        let discount = self.discount();
        let discount_cents = match &discount {
            Some(Ok(cents)) => *cents,
            _ => 0,
        };
        let view = CartView {
            id: self.id,
            token: None,
            ordered: self.ordered,
            items: self.items,
            coupon: self.coupon.map(|coupon| CartCoupon {
                code: coupon.terms.code,
                problem: discount.and_then(Result::err).map(|(code, _)| code),
            }),
            totals: CartTotals::new(self.subtotal_cents, discount_cents, self.currency),
        };
        let body = serde_json::to_vec(&view).map_err(ApiError::internal)?;
        Ok(Answer::new(None, &body))
    }
}

/// One row per line, each with the cart and its coupon; a cart without lines has one row without a line.
struct CartRow {
    id: Uuid,
    ordered: bool,
    coupon_code: Option<String>,
    percent: Option<i16>,
    amount_cents: Option<i64>,
    coupon_currency: Option<String>,
    minimum_cents: Option<i64>,
    coupon_unusable: Option<String>,
    quantity: Option<i32>,
    sku: Option<String>,
    variant_title: Option<String>,
    price_cents: Option<i64>,
    stock_quantity: Option<i32>,
    active: Option<bool>,
    slug: Option<String>,
    title: Option<String>,
    currency: Option<String>,
    image_url: Option<String>,
    image_alt: Option<String>,
}

/// Reads a cart with its coupon, or with the candidate instead. `None` when this key has no access to such a cart.
///
/// # Errors
/// When the statement fails, or the cart's total overflows.
pub(super) async fn read_cart(
    connection: &mut InstrumentedConnection<'_>,
    key: &CartKey,
    candidate: Option<&str>,
) -> Result<Option<StoredCart>, ApiError> {
    let rows = sqlx::query_file_as!(
        CartRow,
        "src/carts/read_cart.sql",
        key.id,
        key.customer,
        key.token(),
        candidate
    )
    .fetch_all(connection)
    .await?;
    let Some(first) = rows.first() else {
        return Ok(None);
    };
    let (id, ordered, coupon) = (first.id, first.ordered, coupon(first));
    let currency = match &first.currency {
        Some(code) => parse_currency(code)?,
        None => Currency::EUR,
    };
    let items = rows.into_iter().filter_map(|row| item(row, currency).transpose());
    let items = items.collect::<Result<Vec<_>, _>>()?;
    let lines = items
        .iter()
        .filter(|item| can_be_bought(item))
        .map(|item| PricedLine {
            unit_price_cents: item.unit_price.amount,
            quantity: item.quantity,
        });
    let totals = price(lines, None, currency.as_str(), 0).ok_or_else(amount_overflow)?;
    Ok(Some(StoredCart {
        id,
        ordered,
        items,
        coupon,
        currency,
        subtotal_cents: totals.subtotal_cents,
    }))
}

/// In any quantity.
fn can_be_bought(item: &CartItem) -> bool {
    !item
        .problems
        .iter()
        .any(|problem| matches!(problem, ItemProblem::Inactive | ItemProblem::OtherCurrency))
}

fn coupon(row: &CartRow) -> Option<CouponOnCart> {
    const REASONS: [&str; 3] = ["coupon_not_yet_valid", "coupon_expired", "coupon_used_up"];
    let unusable = row.coupon_unusable.as_deref();
    let unusable = unusable.and_then(|reason| REASONS.into_iter().find(|known| *known == reason));
    Some(CouponOnCart {
        terms: Coupon {
            code: row.coupon_code.clone()?,
            percent: row.percent,
            amount_cents: row.amount_cents,
            currency: row.coupon_currency.clone()?,
            minimum_cents: row.minimum_cents?,
            usable: unusable.is_none(),
        },
        unusable,
    })
}

/// The row's line. `None` when the cart has no lines.
fn item(row: CartRow, cart_currency: Currency) -> Result<Option<CartItem>, ApiError> {
    let (Some(sku), Some(product), Some(title), Some(variant_title)) =
        (row.sku, row.slug, row.title, row.variant_title)
    else {
        return Ok(None);
    };
    let (Some(quantity), Some(price_cents), Some(stock), Some(active), Some(currency)) = (
        row.quantity,
        row.price_cents,
        row.stock_quantity,
        row.active,
        row.currency,
    ) else {
        return Ok(None);
    };
    let currency = parse_currency(&currency)?;
    let line = PricedLine {
        unit_price_cents: price_cents,
        quantity,
    };
    let mut problems = Vec::new();
    if !active {
        problems.push(ItemProblem::Inactive);
    } else if stock < quantity {
        problems.push(ItemProblem::InsufficientStock);
    }
    if currency != cart_currency {
        problems.push(ItemProblem::OtherCurrency);
    }
    let money = |amount| Money { amount, currency };
    Ok(Some(CartItem {
        sku,
        product,
        title,
        variant_title,
        image: row.image_url.map(|url| CartImage {
            url,
            alt: row.image_alt.unwrap_or_default(),
        }),
        quantity,
        unit_price: money(price_cents),
        line_total: money(line.total_cents().ok_or_else(amount_overflow)?),
        available_quantity: if active { stock } else { 0 },
        problems,
    }))
}

fn parse_currency(code: &str) -> Result<Currency, ApiError> {
    code.parse::<Currency>().map_err(ApiError::internal)
}
