//! What `backstock-api import` promises, against a real Postgres: `shop.rs` has the shop that each test gets.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking; clippy allows it only inside #[test] functions"
)]

mod shop;

mod reading_exports;

mod bad_rows;

mod importing_again;

mod all_or_nothing;
