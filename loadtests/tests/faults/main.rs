//! Faults that a shop of real processes survives: an api that dies between any two steps of a checkout, and a Postgres
//! that dies under load. What must hold afterwards is in `aftermath.rs`.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking; clippy allows it only inside #[test] functions"
)]

mod ground;

mod aftermath;

mod gate;

mod checkout;

mod postgres;
