//! Extractors for requests, and types for responses and errors. It imports no slice and not `server/`; `error.rs` alone maps
//! the errors of stores.

pub mod answer;
pub mod body;
pub mod cursor;
pub mod error;
pub mod guest_tokens;
pub mod money;
pub mod page;
pub mod query;
pub mod request_class;
pub mod slow_body;
mod strict_object;
pub mod timings;
pub mod trace_context;
pub mod whole_number;
