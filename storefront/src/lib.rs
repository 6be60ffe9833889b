//! Shared by api and worker: variants, settings, value types, and clients of each store. It has no routes.
//! Read first: [`variants`].

pub mod variants;

pub mod money;
pub mod pricing;

pub mod access_token;
pub mod email_address;
pub mod keyring;
pub mod settings;

pub mod command_line;
pub mod server;
pub mod shutdown;
pub mod startup;
pub mod systemd_notify;

pub mod amqp;
pub mod healthcheck;
pub mod postgres;
pub mod redis;
pub mod schema;
pub mod telemetry;

pub mod messages;
pub mod orders;

pub mod emails;
pub mod third_parties;
