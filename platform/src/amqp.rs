//! Connections to RabbitMQ.

use std::time::Duration;

use lapin::{Connection, ConnectionProperties};
use secrecy::ExposeSecret;

use crate::settings::AmqpSettings;

/// How long opening a connection may take. lapin itself has no timeout.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why no connection to RabbitMQ was opened.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nothing within the timeout.
    #[error("no broker opened a connection within {CONNECT_TIMEOUT:?}")]
    Timeout,
    /// The broker refused, or the URL is invalid.
    #[error(transparent)]
    Failed(#[from] lapin::Error),
}

impl ConnectError {
    /// Whether a retry can help.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Timeout => true,
            Self::Failed(error) => is_transient(error),
        }
    }
}

/// Whether a retry can help: the broker is unreachable or starting. It creates its users and virtual hosts
/// before it accepts connections, so a refusal is permanent.
pub fn is_transient(error: &lapin::Error) -> bool {
    // AMQP 0-9-1 reply codes: invalid path, access refused, precondition failed, not allowed.
    const PERMANENT: [u16; 4] = [402, 403, 406, 530];
    match error.kind() {
        lapin::ErrorKind::ProtocolError(refusal) => !PERMANENT.contains(&refusal.get_id()),
        _ => true,
    }
}

/// Connects, under a name that RabbitMQ shows. lapin recovers a lost *connection* with its topology; a closed
/// *channel* must be reopened by its user.
///
/// # Errors
/// When the URL is invalid, or no broker opens a connection in time.
pub async fn connect(settings: &AmqpSettings, process: &str) -> Result<Connection, ConnectError> {
    let properties = ConnectionProperties::default()
        .with_connection_name(process.into())
        .enable_auto_recover();
    open(settings, properties).await
}

/// Connects without recovery, for a process that reopens a lost connection itself, with everything it
/// declares and consumes: it then has one startup path instead of two.
///
/// # Errors
/// As [`connect`].
pub async fn connect_without_recovery(
    settings: &AmqpSettings,
    process: &str,
) -> Result<Connection, ConnectError> {
    open(
        settings,
        ConnectionProperties::default().with_connection_name(process.into()),
    )
    .await
}

async fn open(settings: &AmqpSettings, properties: ConnectionProperties) -> Result<Connection, ConnectError> {
    let connecting = Connection::connect(settings.amqp_url.expose_secret(), properties);
    Ok(tokio::time::timeout(CONNECT_TIMEOUT, connecting)
        .await
        .map_err(|_| ConnectError::Timeout)??)
}
