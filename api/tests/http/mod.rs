//! Behavior that all routes share: headers, problems, compression, connections, and the API documents.

pub mod compression;
mod connections;
pub mod documents;
mod headers;
mod strict_objects;
