//! An order's transitions, with their SQL. The api and the worker call the same code, so an order is paid,
//! failed, cancelled or discarded in one way. There is no HTTP here.
//!
//! ```text
//! reservation ─▶ pending_payment ─▶ paid ─▶ fulfilled ─▶ delivered
//!                     │  │           │
//!        payment_failed  └─ discarded│ (deleted)
//!                     └──────────────┴─▶ cancelled
//! ```
//!
//! Each transition names the status that it starts from, so it happens once: a client's retry, a second
//! worker or a late cancellation changes nothing. The transaction that ends an order also returns its
//! stock, coupon use and cart.
//!
//! # The lock order
//!
//! Every transaction locks the rows it needs in this order, and skips the others. So concurrent
//! transactions on the same order, SKU or coupon can't deadlock:
//!
//! 1. the idempotency key that a reservation inserts
//! 2. the cart
//! 3. the order, then the idempotency key that it is bound to
//! 4. the variants, by `(product_id, id)`, in one statement
//! 5. their products: triggers of that statement lock them when stock runs out or returns, in the order of
//!    its rows; then their `search_rows` and `catalog_changes`
//! 6. the coupon
//! 7. `catalog_epoch`, in the commit (a deferred trigger, for processes of the earlier release)
//!
//! The coupon comes after the stock, so that an order waiting for a hot SKU doesn't hold its coupon's row,
//! and orders of other SKUs with the same coupon proceed. From 6 on, a transaction waits for commits only.
//!
//! Read next: `reservation.rs`, `stock.rs`, then `payment.rs` and `compensation.rs`.

mod compensation;
mod coupon;
mod event;
mod metrics;
mod payment;
mod reservation;
mod stock;

pub use self::compensation::{
    Cancellation, Cancelled, FailureReason, cancel_order, discard_order, discard_order_within, fail_order,
    fail_order_within,
};
pub use self::event::{OutboxRow, PendingEvent};
pub use self::metrics::{init_order_metrics, order_reached, orders_reached};
pub use self::payment::{Payment, pay_order, record_void};
pub use self::reservation::{
    MAX_LINES_AT_ONCE, NewKey, NewLines, NewOrder, ReservationCheck, check_reservation, insert_order,
    reserve_at_once,
};
pub use self::stock::{Unit, take_stock};

/// How often a transaction is attempted that ends in a deadlock. The shop's own transactions follow the lock
/// order; an import or an operator's `psql` may not.
const ATTEMPTS: u32 = 4;

/// An idempotency key that is bound to an order.
#[derive(Debug, Clone, Copy)]
pub struct BoundKey<'a> {
    pub owner: &'a [u8],
    pub key: &'a str,
}
