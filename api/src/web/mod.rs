//! What handlers read requests with and write responses with. Nothing here knows a slice, a store or the router.
//!
//! A request is read with `query.rs`, `body.rs` and `guest_tokens.rs`; errors become problems in `error.rs`.

pub mod answer;
pub mod body;
pub mod cursor;
pub mod error;
pub mod guest_tokens;
pub mod money;
pub mod query;
pub mod request_class;
pub mod slow_body;
mod strict_object;
pub mod timings;
pub mod trace_context;
pub mod whole_number;
