//! The orders of the last two years, in the order in which they were made: three times as many a day in the end as in
//! the beginning.
//!
//! They are a history to read: their stock was taken before the shop's present stock was counted, and no message about
//! them is on its way. Read next: [`buyers`] for who buys, [`lines`] for what, [`course`] for what became of it.

use uuid::Uuid;

pub mod buyers;
pub mod course;
pub mod lines;

use super::addresses;
use super::coupons::{COUPONS, Coupon, USED};
use super::customers::Customer;
use crate::copy_format::Rows;
use crate::rng::{Purpose, RowRng};
use crate::tables::catalogue::Catalogue;
use crate::timestamps::{HISTORY_END_US, uuid_at};
use course::Course;
use lines::Line;

/// The columns of [`row`].
pub const COLUMNS: &str = "id, number, customer_id, created_at, updated_at, reserved_until, subtotal_cents, \
    discount_cents, shipping_cents, total_cents, currency, status, shipping_method, email, coupon_code, payment_id, \
    payment_voided_at, shipping_address";

/// Two years.
const SPAN_US: i64 = 2 * 365 * 86_400 * 1_000_000;

/// The last order is made so long before the end of the history that its payment is answered within it.
const LAST_US: i64 = HISTORY_END_US - 60 * 1_000_000;

/// How long stock is held for an order that is not paid: a minute, the api's default.
const RESERVED_US: i64 = 60 * 1_000_000;

/// One order in so many came with a coupon.
const ORDERS_A_COUPON: u64 = 20;

/// What shipping costs, as in the api's price list.
const STANDARD_CENTS: i64 = 495;
const EXPRESS_CENTS: i64 = 1_295;

/// An order without its lines: what the tables of its parts need.
#[derive(Debug)]
pub struct Head {
    /// Its id.
    pub id: Uuid,
    /// When it was made, in microseconds of Unix time.
    pub created_us: i64,
    /// What became of it.
    pub course: Course,
}

/// An order.
#[derive(Debug)]
pub struct Order<'a> {
    /// Its id, its time and its state.
    pub head: Head,
    /// The number of the customer who made it.
    pub customer: u64,
    /// What was bought.
    pub lines: Vec<Line<'a>>,
    /// The coupon that took something off.
    pub coupon: Option<&'static Coupon>,
}

impl Head {
    /// The head of the order of a number, from 0, the oldest.
    pub fn at(catalogue: &Catalogue, index: u64) -> Self {
        let mut rng = RowRng::new(catalogue.seed, Purpose::Order, index);
        // Below 0.9, so that orders stay in their order.
        let jitter = rng.unit() * 0.9;
        let share = (index as f64 + jitter) / catalogue.scale.orders() as f64;
        // A rate of 1 + 2x, over x from 0 to 1, makes (x + x²) / 2 of all orders until x; this is its inverse.
        let x = ((1.0 + 8.0 * share).sqrt() - 1.0) / 2.0;
        let created_us = LAST_US - SPAN_US + (x * SPAN_US as f64) as i64;
        let id = uuid_at(created_us, index, 0, &mut rng);
        Self {
            id,
            created_us,
            course: Course::of(created_us, &mut rng),
        }
    }
}

impl<'a> Order<'a> {
    /// The order of a number.
    pub fn at(catalogue: &'a Catalogue, index: u64) -> Self {
        let head = Head::at(catalogue, index);
        let lines = lines::of(catalogue, index, head.created_us);
        let subtotal_cents: i64 = lines.iter().map(Line::total_cents).sum();
        let mut rng = RowRng::new(catalogue.seed, Purpose::OrderBuyer, index);
        Self {
            customer: catalogue.draw_customer(head.created_us, &mut rng),
            coupon: coupon_of(index).filter(|coupon| coupon.discount_cents(subtotal_cents) > 0),
            head,
            lines,
        }
    }
}

/// Writes the row of an order.
pub fn row(catalogue: &Catalogue, index: u64, rows: &mut Rows) {
    let order = Order::at(catalogue, index);
    let customer = Customer::at(catalogue, order.customer);
    let addresses = addresses::of(catalogue, order.customer, &customer);
    let address = &addresses[index as usize % addresses.len()];
    let subtotal_cents: i64 = order.lines.iter().map(Line::total_cents).sum();
    let discount_cents = order
        .coupon
        .map_or(0, |coupon| coupon.discount_cents(subtotal_cents));
    let Head {
        id,
        created_us,
        course,
    } = order.head;
    let (method, shipping_cents) = if course.express {
        ("express", EXPRESS_CENTS)
    } else {
        ("standard", STANDARD_CENTS)
    };

    rows.row(18).uuid(id).bigint(index as i64 + 1).uuid(customer.id);
    rows.timestamp(created_us)
        .timestamp(course.updated_us())
        .timestamp(created_us + RESERVED_US);
    rows.bigint(subtotal_cents)
        .bigint(discount_cents)
        .bigint(shipping_cents)
        .bigint(subtotal_cents - discount_cents + shipping_cents);
    rows.text("EUR")
        .text(course.status.as_str())
        .text(method)
        .text(&customer.email);
    match order.coupon {
        Some(coupon) => rows.text(coupon.code),
        None => rows.null(),
    };
    match course.at_us("paid") {
        Some(_) => rows.text(&format!("pay_{}", id.simple())),
        None => rows.null(),
    };
    // A decline holds no money: else the worker would ask the gateway for each.
    let voided_us = course.at_us("cancelled").map(|at_us| at_us + 1_000_000);
    match voided_us.or(course.at_us("payment_failed")) {
        Some(at_us) => rows.timestamp(at_us),
        None => rows.null(),
    };
    rows.jsonb(&address.json());
}

/// The numbers of the orders that came with a coupon, whether or not it took something off.
pub fn coupon_candidates(orders: u64, coupon: u64) -> impl Iterator<Item = u64> {
    let first = if coupon < USED {
        coupon * ORDERS_A_COUPON
    } else {
        orders
    };
    (first..orders).step_by((USED * ORDERS_A_COUPON) as usize)
}

fn coupon_of(index: u64) -> Option<&'static Coupon> {
    let with_coupon = index.is_multiple_of(ORDERS_A_COUPON);
    with_coupon.then(|| &COUPONS[(index / ORDERS_A_COUPON % USED) as usize])
}
