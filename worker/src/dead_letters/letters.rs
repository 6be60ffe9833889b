//! Dead letters, taken from their queues: each can be given back to its consumer or thrown away.

use std::time::Duration;

use anyhow::Context;
use lapin::Channel;
use lapin::message::Delivery;
use lapin::options::BasicGetOptions;
use storefront::messages::Consumer;
use storefront::settings::AmqpSettings;
use uuid::Uuid;

use crate::broker::{Broker, Publisher};
use crate::consumers::message;
use crate::topology::Topology;

/// How long the broker may take to confirm that a letter is in its queue again.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(10);

/// A message that couldn't be worked off.
pub(super) struct Letter {
    pub(super) consumer: Consumer,
    pub(super) delivery: Delivery,
}

/// Some of them, in the order of consumers and of age.
pub(super) struct Letters {
    pub(super) all: Vec<Letter>,
    broker: Broker,
    channel: Channel,
    publisher: Publisher,
}

impl Letters {
    /// Takes at most so many from each queue.
    pub(super) async fn fetch(
        amqp: &AmqpSettings,
        only: Option<Consumer>,
        limit: u32,
    ) -> anyhow::Result<Self> {
        // No delays: what is declared here are the queues, which may not exist yet.
        let broker = Broker::new(amqp.clone(), Topology::new(Vec::new()));
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
                all.push(Letter {
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

    /// In its consumer's queue, confirmed, before it is taken from here.
    pub(super) async fn redrive(&self, letter: &Letter) -> anyhow::Result<()> {
        let properties = message::carried_on(&letter.delivery, 0, None);
        self.publisher
            .publish("", &letter.consumer.queue(), &letter.delivery.data, properties)
            .await
            .context("the letter stays where it is")?;
        self.throw_away(letter).await
    }

    pub(super) async fn throw_away(&self, letter: &Letter) -> anyhow::Result<()> {
        letter.delivery.ack(Default::default()).await?;
        Ok(())
    }

    /// What was neither redriven nor thrown away. Closing says the acknowledgements, too.
    pub(super) async fn put_back(self) {
        let _ = self.channel.close(200, "done".into()).await;
        self.broker.close().await;
    }
}

/// The letters of a message. One message can be dead for several consumers.
pub(super) fn of(letters: &[Letter], id: Uuid) -> Vec<&Letter> {
    let is_it = |letter: &&Letter| message::message_id(&letter.delivery.properties) == Some(id);
    letters.iter().filter(is_it).collect()
}
