//! The way to RabbitMQ: a connection that recovers by itself.

use std::time::Duration;

use lapin::{Connection, ConnectionProperties};
use secrecy::ExposeSecret;

use crate::settings::AmqpSettings;

/// How long a broker may take to open a connection. lapin itself would try for as long as nobody answers.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nothing within five seconds.
    #[error("no broker opened a connection within {CONNECT_TIMEOUT:?}")]
    Timeout,
    /// The broker refused, or the URL can't be parsed.
    #[error(transparent)]
    Failed(#[from] lapin::Error),
}

impl ConnectError {
    /// Whether waiting may help.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Timeout => true,
            Self::Failed(error) => may_pass(error),
        }
    }
}

/// Whether waiting may help: nobody answers, or the broker doesn't yet. It makes its users and virtual hosts before it lets
/// anybody in, so what it refuses then it refuses for good.
pub fn may_pass(error: &lapin::Error) -> bool {
    // Codes of AMQP 0-9-1: no such path, access refused, a queue that is declared otherwise, not allowed.
    const FOR_GOOD: [u16; 4] = [402, 403, 406, 530];
    match error.kind() {
        lapin::ErrorKind::ProtocolError(refusal) => !FOR_GOOD.contains(&refusal.get_id()),
        _ => true,
    }
}

/// Connects, under a name that RabbitMQ shows. A lost *connection* is recovered with its topology by lapin; a closed
/// *channel* is for its user to reopen.
///
/// # Errors
/// When the URL can't be parsed, or no broker opens a connection in time.
pub async fn connect(settings: &AmqpSettings, process: &str) -> Result<Connection, ConnectError> {
    let properties = ConnectionProperties::default()
        .with_connection_name(process.into())
        .enable_auto_recover();
    open(settings, properties).await
}

/// Connects likewise, but a lost connection stays lost: for a process that opens the next one itself, with all that
/// it declares and consumes, and so has one way to begin instead of two.
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
