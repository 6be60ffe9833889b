//! The coupons: two that some of the orders used, one for large orders, one that is over and one that is yet to come.

use super::orders::{Order, coupon_candidates};
use crate::copy_format::Rows;
use crate::tables::catalogue::{Catalogue, OPENED_US};
use crate::timestamps::HISTORY_END_US;

const DAY_US: i64 = 86_400 * 1_000_000;

/// What a coupon takes off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Off {
    Percent(i16),
    Cents(i64),
}

/// A coupon.
#[derive(Debug)]
pub struct Coupon {
    /// What customers type.
    pub code: &'static str,
    off: Off,
    minimum_cents: i64,
    valid_from_us: i64,
    valid_until_us: i64,
    max_uses: Option<i32>,
}

/// The coupons that orders used, over the shop's whole history, come first.
pub const COUPONS: [Coupon; 5] = [
    coupon("WELCOME10", Off::Percent(10), 0),
    coupon("THANKS5", Off::Cents(500), 3_000),
    Coupon {
        max_uses: Some(1_000),
        ..coupon("LARGE20", Off::Percent(20), 20_000)
    },
    Coupon {
        valid_until_us: HISTORY_END_US - 365 * DAY_US,
        ..coupon("LASTYEAR25", Off::Percent(25), 0)
    },
    Coupon {
        valid_from_us: HISTORY_END_US + 5 * 365 * DAY_US,
        ..coupon("FUTURE15", Off::Percent(15), 0)
    },
];

/// How many of [`COUPONS`] orders used.
pub const USED: u64 = 2;

/// One that is valid from the first day of the shop to ten years after its history.
const fn coupon(code: &'static str, off: Off, minimum_cents: i64) -> Coupon {
    Coupon {
        code,
        off,
        minimum_cents,
        valid_from_us: OPENED_US,
        valid_until_us: HISTORY_END_US + 10 * 365 * DAY_US,
        max_uses: None,
    }
}

impl Coupon {
    /// What it takes off a subtotal, by the api's rule: a share is rounded down, and below the minimum it is nothing.
    pub fn discount_cents(&self, subtotal_cents: i64) -> i64 {
        if subtotal_cents < self.minimum_cents {
            return 0;
        }
        match self.off {
            Off::Percent(percent) => subtotal_cents * i64::from(percent) / 100,
            Off::Cents(cents) => cents.min(subtotal_cents),
        }
    }
}

/// Writes the row of a coupon.
pub fn row(catalogue: &Catalogue, index: u64, rows: &mut Rows) {
    let coupon = &COUPONS[index as usize];
    rows.row(9).text(coupon.code);
    match coupon.off {
        Off::Percent(percent) => rows.smallint(percent).null(),
        Off::Cents(cents) => rows.null().bigint(cents),
    };
    rows.text("EUR")
        .bigint(coupon.minimum_cents)
        .timestamp(coupon.valid_from_us)
        .timestamp(coupon.valid_until_us);
    match coupon.max_uses {
        Some(uses) => rows.integer(uses),
        None => rows.null(),
    };
    rows.integer(uses(catalogue, index));
}

/// How many orders hold a use of it. One that was cancelled or not paid has given its use back.
fn uses(catalogue: &Catalogue, coupon: u64) -> i32 {
    coupon_candidates(catalogue.scale.orders(), coupon)
        .map(|index| Order::at(catalogue, index))
        .filter(|order| order.coupon.is_some() && order.head.course.status.holds_stock())
        .count() as i32
}
