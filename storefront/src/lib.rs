//! What the api and the worker share: the variants, the settings, the value types, and the way to each store.
//! It has no routes. Read first: [`variants`].

pub mod variants;

pub mod money;
pub mod pricing;

pub mod access_token;
pub mod email_address;
pub mod keyring;
pub mod settings;

pub mod command_line;
pub mod server;
pub mod starting;
pub mod stopping;
pub mod supervisor;

pub mod amqp;
pub mod postgres;
pub mod probe;
pub mod redis;
pub mod schema;
pub mod telemetry;

pub mod messages;
pub mod orders;

pub mod emails;
pub mod third_parties;
