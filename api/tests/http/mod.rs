//! What every route has in common: headers, problems, compression, and the documents about them.

mod compression;
mod connections;
mod documents;
mod headers;
mod strict_objects;
