//! Orders.

pub mod shop;

mod bad_input;
mod cancellation;
pub mod carrier_webhook;
mod cart_races;
pub mod checkout;
mod compensation;
mod deadlocks;
pub mod events;
mod history;
mod idempotency;
pub mod order_history;
mod place_order;
mod plans;
pub mod reservation;
mod reservation_limits;
mod resumption;
pub mod stock;
pub mod stock_contention;
pub mod stock_visibility;
