//! The connection to RabbitMQ, opened again whenever it is lost, with the topology declared on each.
//!
//! Whoever uses the broker asks for a channel, works until something fails, waits a little and asks again. So there is
//! one way to begin, after a start as after a fault, and nothing depends on what a client library restores by itself.
//! Read next: `topology.rs`.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use lapin::options::BasicPublishOptions;
use lapin::{BasicProperties, Channel, Confirmation, Connection};
use storefront::amqp::{self, ConnectError};
use storefront::settings::AmqpSettings;
use tokio::sync::Mutex;

use crate::topology::Topology;

/// How long the broker may take to open a channel or to declare the topology.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Why the broker can't be used now. All of it passes, or is repaired by a person; none of it is a message's fault.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// There is no connection.
    #[error("can't connect to RabbitMQ: {0}")]
    Connect(#[from] ConnectError),
    /// The connection or the channel failed.
    #[error("RabbitMQ failed: {0}")]
    Failed(#[from] lapin::Error),
    /// It didn't answer in time.
    #[error("RabbitMQ didn't {0} in time")]
    Timeout(&'static str),
    /// It refused a message.
    #[error("RabbitMQ refused a message for `{0}`")]
    Refused(String),
    /// It has no queue for a message.
    #[error("RabbitMQ has no queue for `{0}`")]
    Unroutable(String),
    /// It ended the delivery of messages.
    #[error("RabbitMQ ended the delivery of messages")]
    Cancelled,
}

impl BrokerError {
    /// Whether waiting may help.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect(error) => error.is_transient(),
            Self::Failed(error) => amqp::is_transient(error),
            Self::Timeout(_) | Self::Cancelled => true,
            Self::Refused(_) | Self::Unroutable(_) => false,
        }
    }
}

/// The way to the broker, for all parts of the process.
#[derive(Debug)]
pub struct Broker {
    settings: AmqpSettings,
    topology: Topology,
    /// `None` until the first one is open.
    current: RwLock<Option<Arc<Connection>>>,
    /// Held while a connection is opened, so that all parts wait for one instead of opening one each.
    opening: Mutex<()>,
}

impl Broker {
    /// Connects to nothing yet.
    pub fn new(settings: AmqpSettings, topology: Topology) -> Self {
        Self {
            settings,
            topology,
            current: RwLock::new(None),
            opening: Mutex::new(()),
        }
    }

    /// Connects and declares the topology, unless that is done.
    ///
    /// # Errors
    /// When there is no broker, or it has queues of the same names and other properties.
    pub async fn connect(&self) -> Result<(), BrokerError> {
        self.connection().await.map(drop)
    }

    /// What is declared on each connection.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// Whether there is a connection now.
    pub fn is_connected(&self) -> bool {
        self.current().is_some_and(|current| current.status().connected())
    }

    /// A new channel, on a new connection if the last one is lost.
    ///
    /// # Errors
    /// When there is no broker.
    pub async fn channel(&self) -> Result<Channel, BrokerError> {
        let connection = self.connection().await?;
        let channel = tokio::time::timeout(ANSWER_TIMEOUT, connection.create_channel()).await;
        Ok(channel.map_err(|_| BrokerError::Timeout("open a channel"))??)
    }

    /// A channel on a connection of its own, which ends with it: for what may fail without disturbing anybody's work. Some
    /// faults of a channel close its whole connection.
    ///
    /// # Errors
    /// When there is no broker.
    pub async fn channel_apart(&self) -> Result<(Connection, Channel), BrokerError> {
        let connection = amqp::connect_without_recovery(&self.settings, "backstock-worker gauges").await?;
        let channel = tokio::time::timeout(ANSWER_TIMEOUT, connection.create_channel()).await;
        let channel = channel.map_err(|_| BrokerError::Timeout("open a channel"))??;
        Ok((connection, channel))
    }

    /// Says goodbye. Deliveries that were not acknowledged go back to their queues.
    pub async fn close(&self) {
        let Some(current) = self.current() else { return };
        if let Err(error) = current.close(200, "the worker stops".into()).await {
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
        channel.close(200, "all is declared".into()).await
    };
    let declared = tokio::time::timeout(ANSWER_TIMEOUT, declaring).await;
    declared.map_err(|_| BrokerError::Timeout("declare the queues"))??;
    Ok(connection)
}

/// A channel on which each message is confirmed: for messages that go one by one. The relay has windows of its own.
#[derive(Debug, Clone)]
pub struct Publisher {
    channel: Channel,
    confirm_timeout: Duration,
}

impl Publisher {
    /// On a channel of its own.
    ///
    /// # Errors
    /// When there is no broker.
    pub async fn open(broker: &Broker, confirm_timeout: Duration) -> Result<Self, BrokerError> {
        let channel = broker.channel().await?;
        let selecting = channel.confirm_select(Default::default());
        let selected = tokio::time::timeout(ANSWER_TIMEOUT, selecting).await;
        selected.map_err(|_| BrokerError::Timeout("begin to confirm"))??;
        Ok(Self {
            channel,
            confirm_timeout,
        })
    }

    /// Returns when the message is in its queue, on disk.
    ///
    /// # Errors
    /// When that is not known. The message may be in its queue all the same.
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
            // A message that no queue takes is acknowledged, too: it was handled, by throwing it away.
            Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_)) => {
                Err(BrokerError::Unroutable(routing_key.to_owned()))
            }
            Confirmation::Nack(None) | Confirmation::NotRequested => {
                Err(BrokerError::Refused(routing_key.to_owned()))
            }
        }
    }
}
