//! The real binary: its settings, the schemas that it accepts, its startup and its shutdown.

mod healthcheck;
mod preload;
pub mod schema;
pub mod settings;
mod shutdown;
mod startup;
