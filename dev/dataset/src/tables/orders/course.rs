//! What became of an order: its states, and when it came to each.
//!
//! Most were delivered. Those of the last days of the history are still on their way, those of its last hours only paid.
//! None waits for its payment: the worker would settle it at once.

use crate::rng::RowRng;
use crate::timestamps::HISTORY_END_US;

const SECOND_US: u64 = 1_000_000;
const MINUTE_US: u64 = 60 * SECOND_US;
const HOUR_US: u64 = 60 * MINUTE_US;

/// The state that an order is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Authorized, waiting for its parcel.
    Paid,
    /// Captured, on its way.
    Fulfilled,
    /// Arrived.
    Delivered,
    /// The card was declined.
    PaymentFailed,
    /// Called off by the customer, before it was sent.
    Cancelled,
}

impl Status {
    /// Its name in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Status::Paid => "paid",
            Status::Fulfilled => "fulfilled",
            Status::Delivered => "delivered",
            Status::PaymentFailed => "payment_failed",
            Status::Cancelled => "cancelled",
        }
    }

    /// Whether it has what it reserved: stock, and the use of its coupon.
    pub const fn holds_stock(self) -> bool {
        !matches!(self, Status::PaymentFailed | Status::Cancelled)
    }
}

/// The way of an order through its states.
#[derive(Debug)]
pub struct Course {
    /// Whether it is sent by express.
    pub express: bool,
    /// Where it has come to.
    pub status: Status,
    /// What its timeline says: the event, and when, in microseconds of Unix time. That mails and labels were made is
    /// left out, which halves the largest of the tables.
    pub events: Vec<(&'static str, i64)>,
}

impl Course {
    /// The course of an order.
    pub fn of(created_us: i64, rng: &mut RowRng) -> Self {
        let express = rng.percent(20);
        let after = |from: i64, low: u64, high: u64, rng: &mut RowRng| from + rng.between(low, high) as i64;
        let outcome = rng.below(100);
        let mut events = vec![("created", created_us)];
        let answered_us = after(created_us, SECOND_US / 10, 2 * SECOND_US, rng);
        if outcome < 2 {
            events.push(("payment_failed", answered_us));
            return Self {
                express,
                status: Status::PaymentFailed,
                events,
            };
        }
        events.push(("paid", answered_us));
        if outcome < 5 {
            let cancelled_us = after(answered_us, 2 * MINUTE_US, HOUR_US, rng);
            if cancelled_us < HISTORY_END_US {
                events.push(("cancelled", cancelled_us));
                return Self {
                    express,
                    status: Status::Cancelled,
                    events,
                };
            }
        }
        let fulfilled_us = after(answered_us, HOUR_US, 30 * HOUR_US, rng);
        let (low, high) = if express { (14, 30) } else { (36, 130) };
        let delivered_us = after(fulfilled_us, low * HOUR_US, high * HOUR_US, rng);
        let mut status = Status::Paid;
        for (next, event, at_us) in [
            (Status::Fulfilled, "fulfilled", fulfilled_us),
            (Status::Delivered, "delivered", delivered_us),
        ] {
            if at_us < HISTORY_END_US {
                events.push((event, at_us));
                status = next;
            }
        }
        Self {
            express,
            status,
            events,
        }
    }

    /// When it came to the state of an event, if it did.
    pub fn at_us(&self, event: &str) -> Option<i64> {
        let found = self.events.iter().find(|(name, _)| *name == event);
        found.map(|(_, at_us)| *at_us)
    }

    /// When something last happened to it.
    pub fn updated_us(&self) -> i64 {
        self.events.last().expect("an order was created").1
    }
}
