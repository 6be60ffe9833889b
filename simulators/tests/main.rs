//! What the simulators promise, tested from outside: the real process on ports of its own, spoken to over HTTP and SMTP.
//!
//! Read first: `support/mod.rs`.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking; clippy allows it only inside #[test] functions"
)]

mod support;

mod carrier;

mod conduct;

mod mail;

mod memory;

mod payment;

mod process;

mod smtp;
