//! How requests get their connections.

mod connections;
