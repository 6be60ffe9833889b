//! Dead letters fetched from their queues. Each can be redriven to its consumer's queue or discarded.

use std::time::Duration;

use anyhow::Context;
use lapin::Channel;
use lapin::message::Delivery;
use lapin::options::BasicGetOptions;
use platform::settings::AmqpSettings;
use shop::messages::Consumer;
use uuid::Uuid;

use crate::broker::{Broker, Publisher};
use crate::consumers::message;
use crate::topology::Topology;

/// How long the broker may take to confirm a redriven message.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(10);

/// A message that failed permanently.
pub(super) struct DeadLetter {
    pub(super) consumer: Consumer,
    pub(super) delivery: Delivery,
}

/// Fetched dead letters, ordered by consumer, then oldest first.
pub(super) struct DeadLetterBatch {
    pub(super) all: Vec<DeadLetter>,
    broker: Broker,
    channel: Channel,
    publisher: Publisher,
}

impl DeadLetterBatch {
    /// Fetches up to `limit` dead letters from each queue.
    pub(super) async fn fetch(
        amqp: &AmqpSettings,
        only: Option<Consumer>,
        limit: u32,
    ) -> anyhow::Result<Self> {
        // Only the consumers' queues, which may not exist yet, are needed here.
        let broker = Broker::new(amqp.clone(), Topology::without_delays());
        let channel = broker.channel().await.context("BACKSTOCK_AMQP_URL")?;
        let publisher = Publisher::open(&broker, CONFIRM_TIMEOUT).await?;
        let mut all = Vec::new();
        for consumer in Consumer::ALL {
            if only.is_some_and(|only| only != consumer) {
                continue;
            }
            for _ in 0..limit {
                let queue = consumer.dead_letter_queue();
                let got = channel
                    .basic_get(queue.into(), BasicGetOptions::default())
                    .await?;
                let Some(got) = got else { break };
                all.push(DeadLetter {
                    consumer,
                    delivery: got.delivery,
                });
            }
        }
        Ok(Self {
            all,
            broker,
            channel,
            publisher,
        })
    }

    /// Publishes the message to its consumer's queue, and removes it here only after the broker's confirm.
    pub(super) async fn redrive(&self, letter: &DeadLetter) -> anyhow::Result<()> {
        let properties = message::redelivery_properties(&letter.delivery, 0, None);
        self.publisher
            .publish("", &letter.consumer.queue(), &letter.delivery.data, properties)
            .await
            .context("the message stays a dead letter")?;
        self.discard(letter).await
    }

    pub(super) async fn discard(&self, letter: &DeadLetter) -> anyhow::Result<()> {
        letter.delivery.ack(Default::default()).await?;
        Ok(())
    }

    /// Requeues what was neither redriven nor discarded. Closing the channel
    /// also flushes the acknowledgements.
    pub(super) async fn requeue_rest(self) {
        let _ = self.channel.close(200, "done".into()).await;
        self.broker.close().await;
    }
}

/// The dead letters of a message. One message can have failed for several consumers.
pub(super) fn with_id(letters: &[DeadLetter], id: Uuid) -> Vec<&DeadLetter> {
    let is_it = |letter: &&DeadLetter| message::message_id(&letter.delivery.properties) == Some(id);
    letters.iter().filter(is_it).collect()
}
