//! The way of a message: delivered, worked on, and only then acknowledged; or delayed; or laid aside.
//!
//! Whatever happens to a message is confirmed by the broker before the delivery is acknowledged. So a crash between the
//! two has the message twice, which the inbox knows, and never not at all. Each message is a task, since most of its time
//! it waits for a third party; in Postgres, and in their acknowledgements, they travel together.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures_util::StreamExt;
use lapin::Channel;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicQosOptions};
use lapin::types::FieldTable;
use storefront::messages::Consumer;
use storefront::telemetry::trace::{self, KeyValue, Kind, Trace};
use tokio::task::{JoinError, JoinSet};

use super::acks::{Ack, Acks};
use super::message::carried_on;
use super::{Done, Fault, Message, Tools, work};
use crate::broker::{ANSWER_TIMEOUT, Broker, BrokerError, Publisher};
use crate::gauges::time_of;
use crate::metrics::{self, LastDelivered};
use crate::parts::{Parts, Stop, keep_alive};

/// Deliveries for each message in work: as many as are worked off while the broker answers wait here, and come again after
/// a crash.
const PREFETCH: u16 = 2;

/// How often a consumer looks whether its channel lives.
const LOOK_AT_THE_CHANNEL: Duration = Duration::from_secs(1);

/// A delivery's way back to the broker.
struct Post {
    broker: Arc<Broker>,
    publisher: Publisher,
    consumer: Consumer,
    max_attempts: u32,
}

/// One consumer of this process.
#[derive(Clone)]
pub struct Consuming {
    /// Which.
    pub consumer: Consumer,
    /// Where its messages come from.
    pub broker: Arc<Broker>,
    /// What it works with.
    pub tools: Arc<Tools>,
    /// How long the broker may take to confirm what it is given back.
    pub confirm_timeout: Duration,
    /// Where it says how it is.
    pub parts: Parts,
    /// When it ends.
    pub stop: Stop,
}

impl Consuming {
    /// Consumes until the signal comes. Then no new message is begun, and those under way are finished.
    pub async fn run(self) {
        let name = self.consumer.as_str();
        keep_alive(name, &self.parts, &self.stop, || self.session()).await;
    }

    async fn session(&self) -> Result<(), BrokerError> {
        let channel = self.broker.channel().await?;
        let post = Arc::new(Post {
            broker: self.broker.clone(),
            publisher: Publisher::open(&self.broker, self.confirm_timeout).await?,
            consumer: self.consumer,
            max_attempts: self.tools.settings.max_attempts,
        });
        consume(&channel, &post, &self.tools, &self.parts, &self.stop).await
    }
}

async fn consume(
    channel: &Channel,
    post: &Arc<Post>,
    tools: &Arc<Tools>,
    parts: &Parts,
    stop: &Stop,
) -> Result<(), BrokerError> {
    let name = post.consumer.as_str();
    let in_flight = tools.settings.in_flight(post.consumer);
    let beginning = async {
        let prefetch = in_flight.saturating_mul(PREFETCH);
        channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
        let queue = post.consumer.queue().into();
        channel
            .basic_consume(queue, name.into(), Default::default(), FieldTable::default())
            .await
    };
    let begun = tokio::time::timeout(ANSWER_TIMEOUT, beginning).await;
    let mut deliveries = begun.map_err(|_| BrokerError::Timeout("begin to deliver"))??;
    // A connection that is lost ends the deliveries; not always, so somebody looks.
    let mut look = tokio::time::interval(LOOK_AT_THE_CHANNEL);
    parts.works(name);
    let in_flight = usize::from(in_flight);
    let mut under_way = UnderWay::new(in_flight);
    let ended = loop {
        tokio::select! {
            biased;
            () = stop.given() => break Ok(()),
            Some(ended) = under_way.tasks.join_next() => {
                if let Err(error) = under_way.ended(name, ended) {
                    break Err(error);
                }
                // All that have ended by now, so that one frame acknowledges a batch.
                if let Err(error) = under_way.all_ended(name) {
                    break Err(error);
                }
                let due = under_way.acks.due();
                if let Err(error) = acknowledge(channel, due).await {
                    break Err(error);
                }
            },
            _ = look.tick() => if !channel.status().connected() {
                break Err(BrokerError::Cancelled);
            },
            delivery = deliveries.next(), if under_way.tasks.len() < in_flight => match delivery {
                Some(Ok(delivery)) => {
                    under_way.acks.begin(delivery.delivery_tag);
                    under_way.tasks.spawn(handle(delivery, post.clone(), tools.clone()));
                }
                Some(Err(error)) => break Err(error.into()),
                None => break Err(BrokerError::Cancelled),
            },
        }
    };
    if ended.is_ok() {
        let cancelling = channel.basic_cancel(name.into(), BasicCancelOptions::default());
        let _ = tokio::time::timeout(ANSWER_TIMEOUT, cancelling).await;
    }
    // Also after a fault: what is under way may be sending an email, and is delivered again with the next session.
    while let Some(ended) = under_way.tasks.join_next().await {
        let _ = under_way.ended(name, ended);
    }
    if channel.status().connected() {
        let due = under_way.acks.due().into_iter().chain(under_way.acks.all_held());
        let _ = acknowledge(channel, due.collect()).await;
    }
    // What was given to us and not begun goes back to its queue.
    let closing = channel.close(200, "no more work".into());
    let _ = tokio::time::timeout(ANSWER_TIMEOUT, closing).await;
    ended
}

/// The messages of a session that are worked on, and what of them is to be acknowledged.
struct UnderWay {
    /// Each ends with the tag of its delivery.
    tasks: JoinSet<Result<u64, BrokerError>>,
    acks: Acks,
}

impl UnderWay {
    fn new(in_flight: usize) -> Self {
        Self {
            tasks: JoinSet::new(),
            // With twice as many prefetched, a quarter may wait for a slow one.
            acks: Acks::new(in_flight / 2),
        }
    }

    fn ended(
        &mut self,
        consumer: &'static str,
        ended: Result<Result<u64, BrokerError>, JoinError>,
    ) -> Result<(), BrokerError> {
        match ended {
            Ok(Ok(tag)) => {
                self.acks.done(tag);
                Ok(())
            }
            Ok(Err(error)) => Err(error),
            // It was not acknowledged: it comes again with the next session, until the broker's limit.
            Err(panic) => {
                tracing::error!(consumer, %panic, "the work on a message panicked");
                Err(BrokerError::Cancelled)
            }
        }
    }

    fn all_ended(&mut self, consumer: &'static str) -> Result<(), BrokerError> {
        while let Some(ended) = self.tasks.try_join_next() {
            self.ended(consumer, ended)?;
        }
        Ok(())
    }
}

/// The tag of the delivery, which is to be acknowledged.
async fn handle(delivery: Delivery, post: Arc<Post>, tools: Arc<Tools>) -> Result<u64, BrokerError> {
    let message = match Message::read(post.consumer, &delivery) {
        Ok(message) => message,
        Err(why) => {
            post.lay_aside(&delivery, 0, &why).await?;
            return Ok(delivery.delivery_tag);
        }
    };
    let event_at = time_of(message.id);
    if let Some(event_at) = event_at.filter(|_| message.attempts == 0) {
        LastDelivered::was(post.consumer.queue(), event_at);
    }
    let parent = || message.trace_context.as_deref()?.parse().ok();
    let handling = handle_message(&delivery, &message, &post, &tools, event_at);
    let Some(trace) = trace::begin(Kind::Consumer, parent) else {
        return handling.await.0.map(|()| delivery.delivery_tag);
    };
    let mut traced = Traced {
        trace: &trace,
        consumer: post.consumer,
        message: &message,
        failure: Some("cut off".to_owned()),
    };
    let (handled, failure) = trace::within(trace.clone(), handling).await;
    traced.failure = failure;
    handled.map(|()| delivery.delivery_tag)
}

/// The work on a message in its trace: it ends when this is dropped, also in the middle of it.
struct Traced<'m> {
    trace: &'m Trace,
    consumer: Consumer,
    message: &'m Message,
    failure: Option<String>,
}

impl Drop for Traced<'_> {
    fn drop(&mut self) {
        let Self {
            consumer, message, ..
        } = self;
        let attributes = || {
            vec![
                KeyValue::new("messaging.system", "rabbitmq"),
                KeyValue::new("messaging.destination.name", consumer.queue()),
                KeyValue::new("messaging.message.id", message.id.to_string()),
                KeyValue::new("attempts", i64::from(message.attempts)),
            ]
        };
        let failure = self.failure.take().map(Into::into);
        self.trace
            .end(|| format!("process {}", consumer.as_str()), attributes, failure);
    }
}

/// What became of the delivery, and why its work failed, if it did.
async fn handle_message(
    delivery: &Delivery,
    message: &Message,
    post: &Post,
    tools: &Tools,
    event_at: Option<SystemTime>,
) -> (Result<(), BrokerError>, Option<String>) {
    let begun = Instant::now();
    let ended = work(tools, post.consumer, message.id, message.event).await;
    metrics::worked(post.consumer, begun.elapsed());
    if let (Ok(Done::Now), Some(event_at)) = (&ended, event_at) {
        metrics::done(post.consumer, event_at);
    }
    // That somebody else works on it is no failure.
    let failure = match &ended {
        Ok(_) | Err(Fault::Busy) => None,
        Err(fault) => Some(fault.to_string()),
    };
    (conclude(ended, delivery, message, post).await, failure)
}

async fn conclude(
    ended: Result<Done, Fault>,
    delivery: &Delivery,
    message: &Message,
    post: &Post,
) -> Result<(), BrokerError> {
    let trace_context = message.trace_context.as_deref().unwrap_or_default();
    let consumer = post.consumer.as_str();
    match ended {
        Ok(done) => {
            tracing::debug!(consumer, message = %message.id, trace_context, ?done, "done");
            let outcome = match done {
                Done::Now => "done",
                Done::Before => "repeated",
            };
            metrics::consumed(post.consumer, outcome);
            Ok(())
        }
        Err(Fault::Busy) => {
            post.delay(delivery, message, message.attempts).await?;
            metrics::consumed(post.consumer, "busy");
            Ok(())
        }
        Err(fault) => {
            let attempts = message.attempts.saturating_add(1);
            tracing::warn!(consumer, message = %message.id, trace_context, attempts, %fault, "failed attempt");
            if matches!(fault, Fault::Never(_)) || attempts >= post.max_attempts {
                return post.lay_aside(delivery, attempts, &fault.to_string()).await;
            }
            post.delay(delivery, message, attempts).await?;
            metrics::consumed(post.consumer, "retried");
            Ok(())
        }
    }
}

impl Post {
    /// Back to the queue, but not at once.
    async fn delay(&self, delivery: &Delivery, message: &Message, attempts: u32) -> Result<(), BrokerError> {
        // The end of a UUIDv7 is random, and differs between the messages that fail together.
        let random = message.id.as_bytes()[15].wrapping_add(attempts as u8);
        let exchange = self.broker.topology().delay(attempts, random);
        let properties = carried_on(delivery, attempts, None);
        self.publisher
            .publish(&exchange, &self.consumer.queue(), &delivery.data, properties)
            .await
    }

    /// To where a person looks at it.
    async fn lay_aside(&self, delivery: &Delivery, attempts: u32, why: &str) -> Result<(), BrokerError> {
        tracing::error!(
            consumer = self.consumer.as_str(),
            attempts,
            why,
            "a message became a dead letter; see `backstock-worker dead-letters list`"
        );
        let properties = carried_on(delivery, attempts, Some(why));
        self.publisher
            .publish("", &self.consumer.dead_letter_queue(), &delivery.data, properties)
            .await?;
        metrics::consumed(self.consumer, "dead");
        Ok(())
    }
}

async fn acknowledge(channel: &Channel, due: Vec<Ack>) -> Result<(), BrokerError> {
    let acknowledging = async {
        for ack in due {
            let (tag, multiple) = match ack {
                Ack::UpTo(tag) => (tag, true),
                Ack::Of(tag) => (tag, false),
            };
            channel.basic_ack(tag, BasicAckOptions { multiple }).await?;
        }
        Ok::<(), lapin::Error>(())
    };
    // On a connection that breaks at this moment it would be waited for without end.
    let acknowledged = tokio::time::timeout(ANSWER_TIMEOUT, acknowledging).await;
    acknowledged.map_err(|_| BrokerError::Timeout("take an acknowledgement"))??;
    Ok(())
}
