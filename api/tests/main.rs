//! What the api promises, tested from outside: through `app(app_builder)` or through the real binary, against real servers.
//!
//! One binary, since linking is what tests wait for. The modules mirror the slices; `support/` is the harness. Read
//! first: `support/shop.rs`.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking; clippy allows it only inside #[test] functions"
)]

mod support;

mod catalog;

mod accounts;

mod carts;

mod orders;

mod admin;

mod import;

mod database;

mod http;

mod faults;

mod process;

mod budgets;
