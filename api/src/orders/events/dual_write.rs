//! **Technique**: commit, then publish to the broker (dual write).
//! **Cost**: a publish and its confirm, which the request waits for; nothing in the database.
//! **Fails when**: the process dies between the two, or the broker is down: the order is paid, and its event is lost.
//! The other order doesn't help: an event published first may be about an order that was rolled back.
//! **Source**: <https://microservices.io/patterns/data/transactional-outbox.html>, the problem that the outbox
//! solves.

use std::time::Duration;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ExchangeKind};
use platform::postgres::UrlError;
use platform::settings::{AmqpSettings, DatabaseSettings};
use shop::messages::{CONTENT_TYPE, EXCHANGE, TRACEPARENT};
use shop::orders::{OutboxRow, PendingEvent};
use tokio::sync::Mutex;

use crate::settings::OrderSettings;

/// The time limit of connecting and publishing together.
const TIMEOUT: Duration = Duration::from_secs(2);

/// AMQP's delivery mode for a message that survives a restart of the broker.
const PERSISTENT: u8 = 2;

/// The arm `events=dual_write`.
pub struct DualWrite {
    amqp: AmqpSettings,
    /// Opened on first use and reopened after a failure. The connection is held because its channel needs it.
    channel: Mutex<Option<(Connection, Channel)>>,
}

impl DualWrite {
    pub(super) fn new(_database: &DatabaseSettings, settings: &OrderSettings) -> Result<Self, UrlError> {
        Ok(Self {
            amqp: AmqpSettings {
                amqp_url: settings.amqp_url.clone(),
            },
            channel: Mutex::new(None),
        })
    }

    /// None: the event is published after the commit.
    pub(super) fn row<'a>(&self, event: &'a PendingEvent) -> OutboxRow<'a> {
        OutboxRow {
            message_id: None,
            ..event.outbox_row()
        }
    }

    /// Publishes the event. If that fails, the event is lost: it is stored nowhere.
    pub(super) async fn after_commit(&self, pending: &PendingEvent) {
        match tokio::time::timeout(TIMEOUT, self.try_publish(pending)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, event = pending.event.name(), "an event was lost"),
            Err(_) => tracing::error!(
                event = pending.event.name(),
                "an event was lost: publishing timed out"
            ),
        }
    }

    async fn try_publish(&self, pending: &PendingEvent) -> anyhow::Result<()> {
        let channel = self.channel().await?;
        let mut headers = FieldTable::default();
        if let Some(trace_context) = &pending.trace_context {
            headers.insert(
                TRACEPARENT.into(),
                AMQPValue::LongString(trace_context.as_str().into()),
            );
        }
        let properties = BasicProperties::default()
            .with_message_id(pending.message_id.to_string().into())
            .with_content_type(CONTENT_TYPE.into())
            .with_delivery_mode(PERSISTENT)
            .with_headers(headers);
        let body = pending.event.body().to_string();
        let published = channel.basic_publish(
            EXCHANGE.into(),
            pending.event.name().into(),
            BasicPublishOptions::default(),
            body.as_bytes(),
            properties,
        );
        let outcome = async { published.await?.await }.await;
        if outcome.is_err() {
            *self.channel.lock().await = None;
        }
        outcome?;
        Ok(())
    }

    async fn channel(&self) -> anyhow::Result<Channel> {
        let mut held = self.channel.lock().await;
        if let Some((_, channel)) = held.as_ref()
            && channel.status().connected()
        {
            return Ok(channel.clone());
        }
        let connection = platform::amqp::connect(&self.amqp, "backstock-api").await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let durable = ExchangeDeclareOptions {
            durable: true,
            ..ExchangeDeclareOptions::default()
        };
        channel
            .exchange_declare(
                EXCHANGE.into(),
                ExchangeKind::Topic,
                durable,
                FieldTable::default(),
            )
            .await?;
        *held = Some((connection, channel.clone()));
        Ok(channel)
    }
}
