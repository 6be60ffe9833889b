//! How requests get their connections, and how these come back.

mod bulkheads;
mod connections;
mod dropped;
#[cfg(feature = "baselines")]
mod gone_clients;
mod waiting;
