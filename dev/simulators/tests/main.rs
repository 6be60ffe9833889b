//! Black-box tests of the simulators: a real process on its own ports, over HTTP and SMTP.
//!
//! Read first: `support/mod.rs`.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking; clippy allows it only inside #[test] functions"
)]

mod support;

mod carrier;

mod fault_injection;

mod mail;

mod snapshot;

mod payment;

mod process;

mod smtp;
