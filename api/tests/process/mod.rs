//! The real binary: what it says about its settings, the schemas that it refuses, and how it stops.

mod health;
mod schema;
mod settings;
mod stopping;
