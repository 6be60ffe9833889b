//! A queue that hears every paid order, as any other service of a company would.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result};
use lapin::options::{
    BasicGetOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ExchangeKind};
use shop::messages::{EXCHANGE, Event};
use uuid::Uuid;

use super::broker::connect;

/// Its name.
pub(super) const TAP: &str = "lab.tap";

/// The event that it hears.
const PAID: &str = "order.paid";

/// How often the queue's length is asked for while it is waited for.
const POLL: Duration = Duration::from_millis(10);

/// A quorum queue bound to the shop's exchange.
pub struct Tap {
    channel: Channel,
    /// The channel lives as long.
    _connection: Connection,
}

/// What was heard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heard {
    /// The message ids under which each order was heard of, each as often as it came.
    pub orders: HashMap<Uuid, Vec<String>>,
}

impl Tap {
    /// Declares the exchange as the shop does, and the queue.
    pub async fn start(amqp_url: &str) -> Result<Tap> {
        let (connection, channel) = connect(amqp_url).await?;
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
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        let durable = QueueDeclareOptions {
            durable: true,
            ..QueueDeclareOptions::default()
        };
        channel.queue_declare(TAP.into(), durable, arguments).await?;
        channel
            .queue_bind(
                TAP.into(),
                EXCHANGE.into(),
                PAID.into(),
                QueueBindOptions::default(),
                FieldTable::default(),
            )
            .await?;
        Ok(Tap {
            channel,
            _connection: connection,
        })
    }

    /// Messages that wait in it.
    pub async fn waiting(&self) -> Result<u32> {
        let passive = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let queue = self
            .channel
            .queue_declare(TAP.into(), passive, FieldTable::default())
            .await?;
        Ok(queue.message_count())
    }

    /// Waits until so many messages are there. `false` when patience ends first.
    pub async fn wait_for(&self, messages: u32, patience: Duration) -> Result<bool> {
        let begun = tokio::time::Instant::now();
        while self.waiting().await? < messages {
            if begun.elapsed() > patience {
                return Ok(false);
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(true)
    }

    /// Deletes it with all that is in it: who measures something else isn't to pay for it.
    pub async fn remove(self) -> Result<()> {
        self.channel
            .queue_delete(TAP.into(), QueueDeleteOptions::default())
            .await?;
        Ok(())
    }

    /// Takes everything out of it.
    pub async fn drain(&self) -> Result<Heard> {
        let mut heard = Heard::default();
        let take = BasicGetOptions { no_ack: true };
        while let Some(message) = self.channel.basic_get(TAP.into(), take).await? {
            let Event::OrderPaid { order_id } =
                Event::parse(PAID, &message.data).context("the tap hears paid orders")?
            else {
                continue;
            };
            let id = message.properties.message_id().as_ref().map(ToString::to_string);
            heard
                .orders
                .entry(order_id)
                .or_default()
                .push(id.unwrap_or_default());
        }
        Ok(heard)
    }
}

impl Heard {
    /// Messages beyond the first of each order.
    pub fn doubled(&self) -> usize {
        self.orders.values().map(|ids| ids.len() - 1).sum()
    }

    /// Those of them that have a message id of their own: a consumer cannot know them again.
    pub fn doubled_under_another_id(&self) -> usize {
        let different = |ids: &Vec<String>| {
            let mut ids = ids.clone();
            ids.sort_unstable();
            ids.dedup();
            ids.len() - 1
        };
        self.orders.values().map(different).sum()
    }
}
