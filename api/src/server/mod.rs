//! The HTTP service around the slices. A request passes the middleware (`layers.rs`), and `router.rs` routes it to a
//! slice, which gets its part of the application's state (`app.rs`). `serve.rs` starts and stops the process.

pub mod router;

pub mod layers;

pub mod compression;
pub mod context;
mod in_flight;

pub mod app;

pub mod docs;
pub mod home;
pub mod internal;

mod graceful_shutdown;
mod listen_socket;
pub mod serve;
