//! The storefront's HTTP service: `app` builds the router, `main.rs` serves it.
//!
//! Read first: `server/router.rs` (all routes on a page), `server/layers.rs` (the middleware on a page), then a slice,
//! for example `catalog/browse_products/`.

#![cfg_attr(
    not(feature = "baselines"),
    allow(
        unused_imports,
        reason = "a component's declaration names types that only its expansion with baselines uses"
    )
)]

pub mod build_error;
pub mod settings;

pub mod server;
pub mod web;

pub mod carts;
pub mod catalog;

pub mod accounts;
pub mod orders;

pub mod admin;

pub mod opaque_token;
pub mod passwords;
pub mod postal_address;
pub mod pricing;
pub mod sessions;
pub mod welcome_email;

pub mod database;
pub mod metrics;

pub mod import;
pub mod migrate;

pub use server::router::app;
