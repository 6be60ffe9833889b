//! Pricing: lines, a coupon, shipping. Carts and orders use the same rules. Integer minor units throughout,
//! and no I/O. Read next: [`price`].

/// A quantity and its unit price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PricedLine {
    pub unit_price_cents: i64,
    pub quantity: i32,
}

impl PricedLine {
    /// The line's total. `None` on overflow.
    pub fn total_cents(&self) -> Option<i64> {
        self.unit_price_cents.checked_mul(i64::from(self.quantity))
    }
}

/// A coupon's terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coupon {
    pub code: String,
    /// A percentage of the subtotal; otherwise `amount_cents` is set.
    pub percent: Option<i16>,
    /// A fixed amount; otherwise `percent` is set.
    pub amount_cents: Option<i64>,
    /// The currency of amount and minimum. The coupon applies only to carts in this currency.
    pub currency: String,
    /// The lowest subtotal that it applies to.
    pub minimum_cents: i64,
    /// Whether it is valid now and has uses left.
    pub usable: bool,
}

/// Why a coupon doesn't apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CouponRefusal {
    /// Not valid now, or used up.
    NotUsable,
    /// The cart is in another currency.
    OtherCurrency,
    /// The subtotal is below its minimum.
    BelowMinimum,
}

impl Coupon {
    /// The discount on a subtotal, at most all of it. A percentage is rounded half up to minor units.
    ///
    /// # Errors
    /// When a term isn't met.
    pub fn discount(&self, subtotal_cents: i64, currency: &str) -> Result<i64, CouponRefusal> {
        if !self.usable {
            return Err(CouponRefusal::NotUsable);
        }
        if currency != self.currency {
            return Err(CouponRefusal::OtherCurrency);
        }
        if subtotal_cents < self.minimum_cents {
            return Err(CouponRefusal::BelowMinimum);
        }
        let share = |percent: i16| ((i128::from(subtotal_cents) * i128::from(percent) + 50) / 100) as i64;
        let discount = self.percent.map(share).or(self.amount_cents).unwrap_or(0);
        Ok(discount.clamp(0, subtotal_cents))
    }

    /// The discount on a subtotal; 0 when a term isn't met.
    pub fn discount_cents(&self, subtotal_cents: i64, currency: &str) -> i64 {
        self.discount(subtotal_cents, currency).unwrap_or(0)
    }
}

/// A total with its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PriceTotals {
    /// The sum of the lines.
    pub subtotal_cents: i64,
    pub discount_cents: i64,
    pub shipping_cents: i64,
    /// Subtotal − discount + shipping.
    pub total_cents: i64,
}

/// The total of lines in one currency. `None` on overflow.
pub fn price(
    lines: impl IntoIterator<Item = PricedLine>,
    coupon: Option<&Coupon>,
    currency: &str,
    shipping_cents: i64,
) -> Option<PriceTotals> {
    let subtotal_cents = lines
        .into_iter()
        .try_fold(0_i64, |sum, line| sum.checked_add(line.total_cents()?))?;
    let discount_cents = coupon.map_or(0, |coupon| coupon.discount_cents(subtotal_cents, currency));
    Some(PriceTotals {
        subtotal_cents,
        discount_cents,
        shipping_cents,
        total_cents: (subtotal_cents - discount_cents).checked_add(shipping_cents)?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn coupon(percent: Option<i16>, amount_cents: Option<i64>) -> Coupon {
        Coupon {
            code: "TEN".to_owned(),
            percent,
            amount_cents,
            currency: "EUR".to_owned(),
            minimum_cents: 1000,
            usable: true,
        }
    }

    #[test]
    fn a_percentage_is_rounded_half_up_and_an_amount_is_capped_by_the_subtotal() {
        assert_eq!(coupon(Some(10), None).discount_cents(1994, "EUR"), 199);
        assert_eq!(coupon(Some(10), None).discount_cents(1995, "EUR"), 200);
        assert_eq!(coupon(Some(100), None).discount_cents(i64::MAX, "EUR"), i64::MAX);
        assert_eq!(coupon(None, Some(500)).discount_cents(1999, "EUR"), 500);
        assert_eq!(coupon(None, Some(5000)).discount_cents(1999, "EUR"), 1999);
    }

    #[test]
    fn the_first_term_that_is_not_met_is_named() {
        let ten = coupon(Some(10), None);
        assert_eq!(ten.discount(999, "EUR"), Err(CouponRefusal::BelowMinimum));
        assert_eq!(ten.discount(1000, "EUR"), Ok(100));
        assert_eq!(ten.discount(1999, "USD"), Err(CouponRefusal::OtherCurrency));
        assert_eq!(ten.discount_cents(1999, "USD"), 0);
        let over = Coupon { usable: false, ..ten };
        assert_eq!(over.discount(1999, "EUR"), Err(CouponRefusal::NotUsable));
    }

    #[test]
    fn an_overflow_has_no_price() {
        let priciest = PricedLine {
            unit_price_cents: i64::MAX,
            quantity: 1,
        };
        assert!(price([priciest], None, "EUR", 0).is_some());
        assert_eq!(price([priciest], None, "EUR", 1), None);
        assert_eq!(price([priciest, priciest], None, "EUR", 0), None);
        assert_eq!(
            price(
                [PricedLine {
                    quantity: 2,
                    ..priciest
                }],
                None,
                "EUR",
                0
            ),
            None
        );
    }

    fn any_coupon() -> impl Strategy<Value = Coupon> {
        let terms = prop_oneof![
            (1_i16..=100).prop_map(|percent| (Some(percent), None)),
            (1_i64..).prop_map(|amount| (None, Some(amount))),
        ];
        let minimum = prop_oneof![Just(0_i64), 0_i64..1_000_000];
        (terms, minimum, any::<bool>()).prop_map(|((percent, amount_cents), minimum_cents, usable)| Coupon {
            minimum_cents,
            usable,
            ..coupon(percent, amount_cents)
        })
    }

    proptest! {
        #[test]
        fn nothing_is_negative_and_the_total_is_the_sum(
            lines in prop::collection::vec((0_i64..1_000_000_000_000, 1_i32..=1000), 0..100),
            coupon in prop::option::of(any_coupon()),
            currency in prop::sample::select(vec!["EUR", "USD"]),
            shipping in 0_i64..10_000,
        ) {
            let lines = lines.into_iter().map(|(unit_price_cents, quantity)| PricedLine { unit_price_cents, quantity });
            let totals = price(lines, coupon.as_ref(), currency, shipping).unwrap();
            prop_assert!(totals.subtotal_cents >= 0);
            prop_assert!((0..=totals.subtotal_cents).contains(&totals.discount_cents));
            prop_assert!(totals.total_cents >= totals.shipping_cents);
            prop_assert_eq!(
                totals.total_cents,
                totals.subtotal_cents - totals.discount_cents + totals.shipping_cents
            );
        }

        #[test]
        fn a_percentage_is_within_half_a_unit_of_the_exact_value(subtotal in 1000_i64.., percent in 1_i16..=100) {
            let discount = coupon(Some(percent), None).discount(subtotal, "EUR").unwrap();
            let exact_hundredths = i128::from(subtotal) * i128::from(percent);
            let off = i128::from(discount) * 100 - exact_hundredths;
            prop_assert!((-49..=50).contains(&off), "{}", off);
        }
    }
}
