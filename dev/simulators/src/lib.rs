//! Simulators of a shop's third parties, as real servers: a payment gateway, a parcel carrier and a mail server.
//!
//! The product never imports this code; it speaks the protocols of `PROTOCOLS.md`. The three services share their
//! latency distribution ([`latency`]), [`fault_injection`], and a server that can close a connection without a response
//! ([`server`]). Read next: [`payment`].

pub mod carrier;
pub mod error;
pub mod fault_injection;
pub mod latency;
pub mod payment;
pub mod server;
pub mod smtp;
pub mod snapshot;
