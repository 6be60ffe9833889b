//! Orders. First what all arms promise, then how they differ.

pub mod shopping;

mod bad_input;
mod cancelling;
pub mod carrier;
mod deadlocks;
mod history;
mod idempotency;
mod its_cart;
mod placing;
mod resuming;
mod returning;
mod seen_in_lists;
mod waiting;

mod arms_agree;

mod checkout;
mod events;
mod order_history;
mod order_lines;
mod stock;
