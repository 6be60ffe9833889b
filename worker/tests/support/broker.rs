//! The tests' own connection to RabbitMQ, to count and publish messages and to delete queues.

use std::time::{Duration, Instant};

use lapin::options::{BasicPublishOptions, ExchangeDeleteOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use shop::messages::{Consumer, EXCHANGE};

use super::POLL_INTERVAL;
use super::servers::VirtualHost;
use super::worker::RETRY_DELAYS_MS;

/// All tests of a run create their virtual hosts at the same time, which takes a busy broker more than a minute.
const CONNECT_DEADLINE: Duration = Duration::from_mins(4);

pub struct TestBroker {
    pub host: VirtualHost,
    connection: Connection,
}

impl TestBroker {
    /// Deletes everything that an earlier test left in the virtual host.
    pub async fn new() -> Self {
        let host = VirtualHost::acquire();
        let url = host.url();
        let started = Instant::now();
        // The broker resets connections while it creates a virtual host.
        let connection = loop {
            match Connection::connect(&url, ConnectionProperties::default()).await {
                Ok(connection) => break connection,
                Err(error) => assert!(started.elapsed() < CONNECT_DEADLINE, "{error}"),
            }
            // A pause between two attempts. The loop fails at the deadline without a connection.
            tokio::time::sleep(POLL_INTERVAL).await;
        };
        let broker = Self { host, connection };
        let channel = broker.channel().await;
        for consumer in Consumer::ALL {
            delete_queue(&channel, &consumer.queue()).await;
            delete_queue(&channel, &consumer.dead_letter_queue()).await;
        }
        for delay in RETRY_DELAYS_MS {
            let name = format!("backstock.retry.{delay}ms");
            delete_queue(&channel, &name).await;
            delete_exchange(&channel, &name).await;
        }
        delete_exchange(&channel, EXCHANGE).await;
        broker
    }

    pub async fn channel(&self) -> Channel {
        self.connection.create_channel().await.unwrap()
    }

    /// The number of ready messages in a queue. `None` when the queue doesn't exist.
    pub async fn ready_messages(&self, queue: &str) -> Option<u32> {
        let channel = self.channel().await;
        let options = QueueDeclareOptions {
            passive: true,
            ..Default::default()
        };
        let declared = channel
            .queue_declare(queue.into(), options, FieldTable::default())
            .await;
        let count = declared.ok().map(|queue| queue.message_count());
        if count.is_some() {
            let _ = channel.close(200, "counted".into()).await;
        }
        count
    }

    pub async fn publish(&self, queue: &str, body: &str, properties: BasicProperties) {
        let channel = self.channel().await;
        channel.confirm_select(Default::default()).await.unwrap();
        let options = BasicPublishOptions {
            mandatory: true,
            ..Default::default()
        };
        let confirm = channel
            .basic_publish("".into(), queue.into(), options, body.as_bytes(), properties)
            .await
            .unwrap();
        assert!(confirm.await.unwrap().take_message().is_none(), "{queue} exists");
    }

    pub async fn delete_queue(&self, queue: &str) {
        delete_queue(&self.channel().await, queue).await;
    }

    pub async fn delete_exchange(&self, exchange: &str) {
        delete_exchange(&self.channel().await, exchange).await;
    }
}

async fn delete_queue(channel: &Channel, queue: &str) {
    channel
        .queue_delete(queue.into(), QueueDeleteOptions::default())
        .await
        .unwrap();
}

async fn delete_exchange(channel: &Channel, exchange: &str) {
    channel
        .exchange_delete(exchange.into(), ExchangeDeleteOptions::default())
        .await
        .unwrap();
}
