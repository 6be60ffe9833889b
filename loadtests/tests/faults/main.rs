//! Faults that a shop of real processes survives: an api that dies between any two steps of a checkout; a Postgres, a Redis
//! and a broker that die under load. And what is no fault, but must not look like one either: an api and a worker that are
//! replaced under load. What must hold afterwards is in `aftermath.rs`.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking; clippy allows it only inside #[test] functions"
)]

mod aftermath;
mod buyers;
mod checkout;
mod gate;
mod ground;
mod postgres;
mod rolling;
#[path = "../town_support/mod.rs"]
mod town_support;
mod unnoticed;
