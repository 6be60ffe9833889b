//! Database connections: how requests acquire and release them, and their timeouts.

mod aborted_requests;
mod bulkheads;
pub mod connections;
mod timeouts;
