//! The HTTP edge around the slices. A request passes `layers.rs`, is routed by `router.rs` and read with `query.rs`,
//! `body.rs` and `identity.rs`; errors become problems in `error.rs`.

pub mod router;

pub mod layers;

pub mod compression;

pub mod context;
pub mod timings;

pub mod answer;
pub mod body;
pub mod client_address;
pub mod cursor;
pub mod error;
pub mod identity;
mod in_flight;
pub mod money;
pub mod query;
mod slow_body;
mod strict_object;
pub mod trace_context;
pub mod whole_number;

pub mod docs;
pub mod home;
pub mod internal;
