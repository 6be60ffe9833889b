//! The way to RabbitMQ: a connection that recovers by itself.

use lapin::{Connection, ConnectionProperties};
use secrecy::ExposeSecret;

use crate::settings::AmqpSettings;

/// Connects, under a name that RabbitMQ shows. A lost *connection* is recovered with its topology by lapin; a closed
/// *channel* is for its user to reopen.
///
/// # Errors
/// When the URL can't be parsed or no broker answers.
pub async fn connect(settings: &AmqpSettings, process: &str) -> lapin::Result<Connection> {
    let properties = ConnectionProperties::default()
        .with_connection_name(process.into())
        .enable_auto_recover();
    Connection::connect(settings.amqp_url.expose_secret(), properties).await
}
