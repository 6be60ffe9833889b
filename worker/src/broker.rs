//! The connection to RabbitMQ: reopened when it is lost, with the topology declared on every new connection.
//!
//! A component requests a channel, uses it until something fails, backs off and requests a new one. Startup
//! and recovery therefore take the same path, and nothing depends on automatic recovery in the client
//! library. Read next: `topology.rs`.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use lapin::options::BasicPublishOptions;
use lapin::{BasicProperties, Channel, Confirmation, Connection};
use platform::amqp::{self, ConnectError};
use platform::settings::AmqpSettings;
use tokio::sync::Mutex;

use crate::topology::Topology;

/// How long the broker may take to respond to one request: to open a channel, to declare the topology, to
/// report a queue's length.
pub const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

/// Why the broker is unavailable. Each case is transient or needs an operator; none is caused
/// by a message's content.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// Connecting failed.
    #[error("can't connect to RabbitMQ: {0}")]
    Connect(#[from] ConnectError),
    /// The connection or the channel failed.
    #[error("RabbitMQ failed: {0}")]
    Failed(#[from] lapin::Error),
    /// The broker didn't respond in time.
    #[error("RabbitMQ didn't {0} in time")]
    Timeout(&'static str),
    /// The broker rejected a message (`basic.nack`).
    #[error("RabbitMQ rejected a message for `{0}`")]
    Refused(String),
    /// No queue is bound to a message's routing key.
    #[error("RabbitMQ has no queue for `{0}`")]
    Unroutable(String),
    /// The broker cancelled the consumer, for example because its queue was deleted.
    #[error("RabbitMQ cancelled the consumer")]
    Cancelled,
}

impl BrokerError {
    /// Whether a retry may help.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect(error) => error.is_transient(),
            Self::Failed(error) => amqp::is_transient(error),
            Self::Timeout(_) | Self::Cancelled => true,
            Self::Refused(_) | Self::Unroutable(_) => false,
        }
    }
}

/// The connection to RabbitMQ, shared by all components.
#[derive(Debug)]
pub struct Broker {
    settings: AmqpSettings,
    topology: Topology,
    /// `None` until the first connection is open.
    current: RwLock<Option<Arc<Connection>>>,
    /// Single flight: held while a connection is opened, so that all components wait for one instead of
    /// opening their own.
    opening: Mutex<()>,
}

impl Broker {
    /// Doesn't connect yet.
    pub fn new(settings: AmqpSettings, topology: Topology) -> Self {
        Self {
            settings,
            topology,
            current: RwLock::new(None),
            opening: Mutex::new(()),
        }
    }

    /// Connects and declares the topology, unless a connection is open.
    ///
    /// # Errors
    /// When the broker is unavailable, or has queues of the same names with other properties.
    pub async fn connect(&self) -> Result<(), BrokerError> {
        self.connection().await.map(drop)
    }

    /// The topology that is declared on each connection.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// Whether a connection is open.
    pub fn is_connected(&self) -> bool {
        self.current().is_some_and(|current| current.status().connected())
    }

    /// A new channel, on a new connection if the current one was lost.
    ///
    /// # Errors
    /// When the broker is unavailable.
    pub async fn channel(&self) -> Result<Channel, BrokerError> {
        let connection = self.connection().await?;
        let channel = tokio::time::timeout(RESPONSE_TIMEOUT, connection.create_channel()).await;
        Ok(channel.map_err(|_| BrokerError::Timeout("open a channel"))??)
    }

    /// A channel on a separate connection, for operations that may fail without disturbing other components.
    /// Some channel errors close the whole connection.
    ///
    /// # Errors
    /// When the broker is unavailable.
    pub async fn isolated_channel(&self) -> Result<(Connection, Channel), BrokerError> {
        let connection = amqp::connect_without_recovery(&self.settings, "backstock-worker metrics").await?;
        let channel = tokio::time::timeout(RESPONSE_TIMEOUT, connection.create_channel()).await;
        let channel = channel.map_err(|_| BrokerError::Timeout("open a channel"))??;
        Ok((connection, channel))
    }

    /// Closes the connection. Unacknowledged deliveries are requeued.
    pub async fn close(&self) {
        let Some(current) = self.current() else { return };
        if let Err(error) = current.close(200, "worker shutdown".into()).await {
            tracing::debug!(%error, "the connection to RabbitMQ didn't close cleanly");
        }
    }

    fn current(&self) -> Option<Arc<Connection>> {
        self.current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    async fn connection(&self) -> Result<Arc<Connection>, BrokerError> {
        let _one_at_a_time = self.opening.lock().await;
        let current = self.current();
        if let Some(current) = &current
            && current.status().connected()
        {
            return Ok(current.clone());
        }
        let opened = Arc::new(open(&self.settings, &self.topology).await?);
        if current.is_some() {
            tracing::info!("connected to RabbitMQ again");
        }
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(opened.clone());
        Ok(opened)
    }
}

async fn open(settings: &AmqpSettings, topology: &Topology) -> Result<Connection, BrokerError> {
    let connection = amqp::connect_without_recovery(settings, "backstock-worker").await?;
    let declaring = async {
        let channel = connection.create_channel().await?;
        topology.declare(&channel).await?;
        channel.close(200, "topology declared".into()).await
    };
    let declared = tokio::time::timeout(RESPONSE_TIMEOUT, declaring).await;
    declared.map_err(|_| BrokerError::Timeout("declare the queues"))??;
    Ok(connection)
}

/// A channel with publisher confirms, for single messages. The relay publishes in windows instead.
#[derive(Debug, Clone)]
pub struct Publisher {
    channel: Channel,
    confirm_timeout: Duration,
}

impl Publisher {
    /// Opens a separate channel.
    ///
    /// # Errors
    /// When the broker is unavailable.
    pub async fn open(broker: &Broker, confirm_timeout: Duration) -> Result<Self, BrokerError> {
        let channel = broker.channel().await?;
        let selecting = channel.confirm_select(Default::default());
        let selected = tokio::time::timeout(RESPONSE_TIMEOUT, selecting).await;
        selected.map_err(|_| BrokerError::Timeout("enable publisher confirms"))??;
        Ok(Self {
            channel,
            confirm_timeout,
        })
    }

    /// Returns once the broker has confirmed that the message is in its queue, on disk.
    ///
    /// # Errors
    /// When the confirm is missing or negative. The message may have been enqueued nevertheless.
    pub async fn publish(
        &self,
        exchange: &str,
        routing_key: &str,
        body: &[u8],
        properties: BasicProperties,
    ) -> Result<(), BrokerError> {
        let publishing = async {
            let options = BasicPublishOptions {
                mandatory: true,
                ..Default::default()
            };
            let confirm = self
                .channel
                .basic_publish(exchange.into(), routing_key.into(), options, body, properties)
                .await?;
            confirm.await
        };
        let confirmed = tokio::time::timeout(self.confirm_timeout, publishing).await;
        match confirmed.map_err(|_| BrokerError::Timeout("confirm a message"))?? {
            Confirmation::Ack(None) => Ok(()),
            // The broker returns an unroutable message, because it is `mandatory`, and acknowledges it as well.
            Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_)) => {
                Err(BrokerError::Unroutable(routing_key.to_owned()))
            }
            Confirmation::Nack(None) | Confirmation::NotRequested => {
                Err(BrokerError::Refused(routing_key.to_owned()))
            }
        }
    }
}
