//! What things cost together: lines, a coupon, shipping. Carts show it, orders charge it, by the same rules. Whole minor
//! units all the way, and nothing is read or written here. Read next: [`price`].

/// How many of something, and what one costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// In minor units.
    pub unit_price_cents: i64,
    /// Units.
    pub quantity: i32,
}

impl Line {
    /// What the line costs. `None` when minor units can't hold it.
    pub fn total_cents(&self) -> Option<i64> {
        self.unit_price_cents.checked_mul(i64::from(self.quantity))
    }
}

/// A coupon's terms, as they are in the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coupon {
    /// What a customer types.
    pub code: String,
    /// A share of the subtotal; else an amount.
    pub percent: Option<i16>,
    /// An amount in minor units; else a share.
    pub amount_cents: Option<i64>,
    /// What the amount and the minimum are in. It counts for carts in this currency only.
    pub currency: String,
    /// The subtotal from which it counts.
    pub minimum_cents: i64,
    /// Whether it is within its time and has uses left.
    pub usable: bool,
}

/// Why a coupon takes nothing off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CouponRefusal {
    /// It is out of its time, or all its uses are taken.
    NotUsable,
    /// The cart is in another currency.
    OtherCurrency,
    /// The subtotal is below its minimum.
    BelowMinimum,
}

impl Coupon {
    /// What it takes off a subtotal: never more than all of it. A share is rounded half up to whole minor units.
    ///
    /// # Errors
    /// When its terms aren't met, and why.
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

    /// What it takes off a subtotal; nothing when its terms aren't met.
    pub fn discount_cents(&self, subtotal_cents: i64, currency: &str) -> i64 {
        self.discount(subtotal_cents, currency).unwrap_or(0)
    }
}

/// What is paid, and how it comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// The lines together.
    pub subtotal_cents: i64,
    /// What the coupon takes off.
    pub discount_cents: i64,
    /// What sending it costs.
    pub shipping_cents: i64,
    /// Subtotal − discount + shipping.
    pub total_cents: i64,
}

/// What lines of one currency cost together. `None` when minor units can't hold it.
pub fn price(
    lines: impl IntoIterator<Item = Line>,
    coupon: Option<&Coupon>,
    currency: &str,
    shipping_cents: i64,
) -> Option<Totals> {
    let subtotal_cents = lines
        .into_iter()
        .try_fold(0_i64, |sum, line| sum.checked_add(line.total_cents()?))?;
    let discount_cents = coupon.map_or(0, |coupon| coupon.discount_cents(subtotal_cents, currency));
    Some(Totals {
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
    fn a_share_is_rounded_half_up_and_an_amount_takes_no_more_than_there_is() {
        assert_eq!(coupon(Some(10), None).discount_cents(1994, "EUR"), 199);
        assert_eq!(coupon(Some(10), None).discount_cents(1995, "EUR"), 200);
        assert_eq!(coupon(Some(100), None).discount_cents(i64::MAX, "EUR"), i64::MAX);
        assert_eq!(coupon(None, Some(500)).discount_cents(1999, "EUR"), 500);
        assert_eq!(coupon(None, Some(5000)).discount_cents(1999, "EUR"), 1999);
    }

    #[test]
    fn whoever_does_not_meet_its_terms_is_told_which() {
        let ten = coupon(Some(10), None);
        assert_eq!(ten.discount(999, "EUR"), Err(CouponRefusal::BelowMinimum));
        assert_eq!(ten.discount(1000, "EUR"), Ok(100));
        assert_eq!(ten.discount(1999, "USD"), Err(CouponRefusal::OtherCurrency));
        assert_eq!(ten.discount_cents(1999, "USD"), 0);
        let over = Coupon { usable: false, ..ten };
        assert_eq!(over.discount(1999, "EUR"), Err(CouponRefusal::NotUsable));
    }

    #[test]
    fn what_can_not_be_held_has_no_price() {
        let dear = Line {
            unit_price_cents: i64::MAX,
            quantity: 1,
        };
        assert!(price([dear], None, "EUR", 0).is_some());
        assert_eq!(price([dear], None, "EUR", 1), None);
        assert_eq!(price([dear, dear], None, "EUR", 0), None);
        assert_eq!(price([Line { quantity: 2, ..dear }], None, "EUR", 0), None);
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
            let lines = lines.into_iter().map(|(unit_price_cents, quantity)| Line { unit_price_cents, quantity });
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
        fn a_share_is_within_half_a_unit_of_the_exact_one(subtotal in 1000_i64.., percent in 1_i16..=100) {
            let discount = coupon(Some(percent), None).discount(subtotal, "EUR").unwrap();
            let exact_hundredths = i128::from(subtotal) * i128::from(percent);
            let off = i128::from(discount) * 100 - exact_hundredths;
            prop_assert!((-49..=50).contains(&off), "{}", off);
        }
    }
}
