//! What any service needs, and nothing of a shop: settings, telemetry, connections to each store with their deadlines,
//! startup, shutdown and health checks. Read first: [`settings`], then [`postgres`].

pub mod command_line;
pub mod keyring;
pub mod settings;

pub mod server;
pub mod shutdown;
pub mod startup;
pub mod systemd_notify;

pub mod amqp;
pub mod healthcheck;
pub mod postgres;
pub mod redis;
pub mod telemetry;
