//! The real binary: what it says about its settings, the schemas that it refuses, how it starts and how it stops.

mod health;
mod loading_ahead;
mod schema;
mod settings;
mod shutdown;
mod startup;
