//! Stand-ins for the third parties of a shop, as real servers: payments, parcels, mail.
//!
//! The product knows none of this code; it speaks the protocols of `PROTOCOLS.md`. What the three share is how they
//! are slow ([`latency`]), how they fail ([`conduct`]), and a server that can hang up without an answer ([`server`]).
//! Read next: [`payment`].

pub mod carrier;
pub mod conduct;
pub mod latency;
pub mod memory;
pub mod payment;
pub mod refusal;
pub mod server;
pub mod smtp;
