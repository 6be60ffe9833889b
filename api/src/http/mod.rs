//! HTTP: what surrounds the slices. A request goes through `layers.rs`, is routed by `router.rs`, is read with
//! `query.rs`, `body.rs` and `identity.rs`, and becomes a problem in `error.rs` when it can't be answered.

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
pub mod money;
mod objects;
pub mod query;
mod slow_body;
pub mod trace_context;
mod under_way;
pub mod whole_number;

pub mod docs;
pub mod home;
pub mod internal;
