//! Database connections: how requests acquire and release them, and their timeouts.

mod aborted_requests;
mod bulkheads;
mod connections;
#[cfg(feature = "baselines")]
mod disconnected_clients;
mod timeouts;
