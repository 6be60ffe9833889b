//! Behavior that all routes share: headers, problems, compression, connections, and the API documents.

mod compression;
mod connections;
mod documents;
mod headers;
mod strict_objects;
