//! Orders: first the guarantees of all arms, then how they differ.

pub mod shop;

mod bad_input;
mod cancellation;
pub mod carrier_webhook;
mod cart_races;
mod compensation;
mod deadlocks;
mod history;
mod idempotency;
mod place_order;
mod plans;
mod reservation_limits;
mod resumption;
mod stock_contention;
mod stock_visibility;

mod arms_agree;

mod checkout;
mod events;
mod order_history;
// Without baselines, few lines are inserted with their order: see `reservation.rs`.
#[cfg(feature = "baselines")]
mod order_lines;
mod reservation;
mod stock;
