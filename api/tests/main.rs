//! The guarantees of the api, tested from outside against real servers: through the router of `app(…)` or
//! the real binary.
//!
//! There is one test binary, because linking dominates the time of a test build. The modules mirror the
//! slices; `support/` is the harness. Read first: `support/shop.rs`.

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

#[cfg(feature = "baselines")]
mod arms;
