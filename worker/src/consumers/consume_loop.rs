//! The path of a message: it is delivered, handled, and then acknowledged, delayed for
//! a retry, or dead-lettered.
//!
//! A retry or dead letter is confirmed by the broker before the delivery is acknowledged. A crash between the
//! two duplicates the message, which the inbox detects, but never loses it. Each message is a task of its
//! own, because it mostly waits for a third party. Statements and acknowledgements are batched.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures_util::StreamExt;
use lapin::Channel;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicQosOptions};
use lapin::types::FieldTable;
use platform::telemetry::trace::{self, KeyValue, Kind, Trace};
use shop::messages::Consumer;
use tokio::task::{JoinError, JoinSet};

use super::acks::{Ack, Acks};
use super::message::redelivery_properties;
use super::{ConsumerContext, HandlerError, HandlerOutcome, Message, handle_event};
use crate::broker::{Broker, BrokerError, Publisher, RESPONSE_TIMEOUT};
use crate::components::{HealthRegistry, ShutdownToken, supervise};
use crate::metrics::{self, LastDelivered};
use crate::queue_metrics::event_time;
use crate::topology::RetryDelays;

/// Prefetched deliveries per message in flight. The second one hides the round trip to the broker; all are
/// redelivered after a crash.
const PREFETCH: u16 = 2;

/// How often a consumer checks whether its channel is open.
const CHANNEL_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Settles a delivery with the broker.
struct DeliveryAck {
    publisher: Publisher,
    consumer: Consumer,
    retry_delays: RetryDelays,
    max_attempts: u32,
}

/// One consumer of this process.
#[derive(Clone)]
pub struct ConsumeLoop {
    pub consumer: Consumer,
    pub broker: Arc<Broker>,
    pub context: Arc<ConsumerContext>,
    /// How long the broker may take to confirm a retried or dead-lettered message.
    pub confirm_timeout: Duration,
    pub health: HealthRegistry,
    pub shutdown: ShutdownToken,
}

impl ConsumeLoop {
    /// Consumes until shutdown, then starts no new message and drains those in flight.
    pub async fn run(self) {
        let name = self.consumer.as_str();
        supervise(name, &self.health, &self.shutdown, || {
            self.consume_until_failure()
        })
        .await;
    }

    async fn consume_until_failure(&self) -> Result<(), BrokerError> {
        let channel = self.broker.channel().await?;
        let ack = Arc::new(DeliveryAck {
            publisher: Publisher::open(&self.broker, self.confirm_timeout).await?,
            consumer: self.consumer,
            retry_delays: self.context.settings.retry_delays.clone(),
            max_attempts: self.context.settings.max_attempts,
        });
        consume(&channel, &ack, &self.context, &self.health, &self.shutdown).await
    }
}

async fn consume(
    channel: &Channel,
    ack: &Arc<DeliveryAck>,
    context: &Arc<ConsumerContext>,
    health: &HealthRegistry,
    shutdown: &ShutdownToken,
) -> Result<(), BrokerError> {
    let name = ack.consumer.as_str();
    let in_flight = context.settings.in_flight(ack.consumer);
    let starting = async {
        let prefetch = in_flight.saturating_mul(PREFETCH);
        channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
        let queue = ack.consumer.queue().into();
        channel
            .basic_consume(queue, name.into(), Default::default(), FieldTable::default())
            .await
    };
    let started = tokio::time::timeout(RESPONSE_TIMEOUT, starting).await;
    let mut deliveries = started.map_err(|_| BrokerError::Timeout("start delivering"))??;
    // A lost connection usually ends the stream of deliveries, but not always, so the channel
    // is checked as well.
    let mut channel_check = tokio::time::interval(CHANNEL_CHECK_INTERVAL);
    health.mark_healthy(name);
    let max_in_flight = usize::from(in_flight);
    let mut in_flight = InFlightMessages::new(max_in_flight);
    let ended = loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break Ok(()),
            Some(ended) = in_flight.tasks.join_next() => {
                if let Err(error) = in_flight.collect(name, ended) {
                    break Err(error);
                }
                // Collects all that have ended by now, so that one frame acknowledges a batch.
                if let Err(error) = in_flight.collect_finished(name) {
                    break Err(error);
                }
                let due = in_flight.acks.take_due();
                if let Err(error) = acknowledge(channel, due).await {
                    break Err(error);
                }
            },
            _ = channel_check.tick() => if !channel.status().connected() {
                break Err(BrokerError::Cancelled);
            },
            delivery = deliveries.next(), if in_flight.tasks.len() < max_in_flight => match delivery {
                Some(Ok(delivery)) => {
                    in_flight.acks.start(delivery.delivery_tag);
                    in_flight.tasks.spawn(handle(delivery, ack.clone(), context.clone()));
                }
                Some(Err(error)) => break Err(error.into()),
                None => break Err(BrokerError::Cancelled),
            },
        }
    };
    if ended.is_ok() {
        let cancelling = channel.basic_cancel(name.into(), BasicCancelOptions::default());
        let _ = tokio::time::timeout(RESPONSE_TIMEOUT, cancelling).await;
    }
    // Drains after a failure, too: a message in flight may be sending an email, and is redelivered on the
    // next channel.
    while let Some(ended) = in_flight.tasks.join_next().await {
        let _ = in_flight.collect(name, ended);
    }
    if channel.status().connected() {
        let due = in_flight
            .acks
            .take_due()
            .into_iter()
            .chain(in_flight.acks.take_held());
        let _ = acknowledge(channel, due.collect()).await;
    }
    // Prefetched deliveries that were not started are requeued.
    let closing = channel.close(200, "consumer stopped".into());
    let _ = tokio::time::timeout(RESPONSE_TIMEOUT, closing).await;
    ended
}

/// The messages in flight on a channel, and their pending acknowledgements.
struct InFlightMessages {
    /// Each returns its delivery tag.
    tasks: JoinSet<Result<u64, BrokerError>>,
    acks: Acks,
}

impl InFlightMessages {
    fn new(in_flight: usize) -> Self {
        Self {
            tasks: JoinSet::new(),
            // With a prefetch of twice `in_flight`, a quarter of it may wait for a slow message.
            acks: Acks::new(in_flight / 2),
        }
    }

    fn collect(
        &mut self,
        consumer: &'static str,
        ended: Result<Result<u64, BrokerError>, JoinError>,
    ) -> Result<(), BrokerError> {
        match ended {
            Ok(Ok(tag)) => {
                self.acks.mark_done(tag);
                Ok(())
            }
            Ok(Err(error)) => Err(error),
            // Not acknowledged, so it is redelivered on the next channel, up to the broker's delivery limit.
            Err(panic) => {
                tracing::error!(consumer, %panic, "a message handler panicked");
                Err(BrokerError::Cancelled)
            }
        }
    }

    fn collect_finished(&mut self, consumer: &'static str) -> Result<(), BrokerError> {
        while let Some(ended) = self.tasks.try_join_next() {
            self.collect(consumer, ended)?;
        }
        Ok(())
    }
}

/// Handles a delivery, and returns its tag for the acknowledgement.
async fn handle(
    delivery: Delivery,
    ack: Arc<DeliveryAck>,
    context: Arc<ConsumerContext>,
) -> Result<u64, BrokerError> {
    let message = match Message::parse(ack.consumer, &delivery) {
        Ok(message) => message,
        Err(why) => {
            ack.dead_letter(&delivery, 0, &why).await?;
            return Ok(delivery.delivery_tag);
        }
    };
    let event_at = event_time(message.id);
    if let Some(event_at) = event_at.filter(|_| message.attempts == 0) {
        LastDelivered::record(ack.consumer.queue(), event_at);
    }
    let parent = || message.trace_context.as_deref()?.parse().ok();
    let handling = handle_message(&delivery, &message, &ack, &context, event_at);
    let Some(trace) = trace::begin(Kind::Consumer, parent) else {
        return handling.await.0.map(|()| delivery.delivery_tag);
    };
    let mut span = MessageSpan {
        trace: &trace,
        consumer: ack.consumer,
        message: &message,
        failure: Some("aborted".to_owned()),
    };
    let (handled, failure) = trace::within(trace.clone(), handling).await;
    span.failure = failure;
    handled.map(|()| delivery.delivery_tag)
}

/// The span of handling a message. It ends when this guard is dropped, even if the task is aborted.
struct MessageSpan<'m> {
    trace: &'m Trace,
    consumer: Consumer,
    message: &'m Message,
    failure: Option<String>,
}

impl Drop for MessageSpan<'_> {
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

/// Returns the result of settling the delivery, and the handler's error message, if any.
async fn handle_message(
    delivery: &Delivery,
    message: &Message,
    ack: &DeliveryAck,
    context: &ConsumerContext,
    event_at: Option<SystemTime>,
) -> (Result<(), BrokerError>, Option<String>) {
    let started = Instant::now();
    let result = handle_event(context, ack.consumer, message.id, message.event).await;
    metrics::handled(ack.consumer, started.elapsed());
    if let (Ok(HandlerOutcome::Done), Some(event_at)) = (&result, event_at) {
        metrics::completed(ack.consumer, event_at);
    }
    // A message that another worker is handling doesn't count as a failure.
    let failure = match &result {
        Ok(_) | Err(HandlerError::Busy) => None,
        Err(error) => Some(error.to_string()),
    };
    (settle(result, delivery, message, ack).await, failure)
}

async fn settle(
    result: Result<HandlerOutcome, HandlerError>,
    delivery: &Delivery,
    message: &Message,
    ack: &DeliveryAck,
) -> Result<(), BrokerError> {
    let trace_context = message.trace_context.as_deref().unwrap_or_default();
    let consumer = ack.consumer.as_str();
    match result {
        Ok(outcome) => {
            tracing::debug!(consumer, message = %message.id, trace_context, ?outcome, "handled a message");
            let outcome = match outcome {
                HandlerOutcome::Done => "done",
                HandlerOutcome::AlreadyDone => "repeated",
            };
            metrics::consumed(ack.consumer, outcome);
            Ok(())
        }
        Err(HandlerError::Busy) => {
            ack.delay(delivery, message, message.attempts).await?;
            metrics::consumed(ack.consumer, "busy");
            Ok(())
        }
        Err(error) => {
            let attempts = message.attempts.saturating_add(1);
            tracing::warn!(consumer, message = %message.id, trace_context, attempts, %error, "failed attempt");
            if matches!(error, HandlerError::Permanent(_)) || attempts >= ack.max_attempts {
                return ack.dead_letter(delivery, attempts, &error.to_string()).await;
            }
            ack.delay(delivery, message, attempts).await?;
            metrics::consumed(ack.consumer, "retried");
            Ok(())
        }
    }
}

impl DeliveryAck {
    /// Publishes the message to a delay queue, from which it returns to its own queue.
    async fn delay(&self, delivery: &Delivery, message: &Message, attempts: u32) -> Result<(), BrokerError> {
        // The last byte of a UUIDv7 is random, so messages that fail together get different delays (jitter).
        let random = message.id.as_bytes()[15].wrapping_add(attempts as u8);
        let exchange = self.retry_delays.exchange(attempts, random);
        let properties = redelivery_properties(delivery, attempts, None);
        self.publisher
            .publish(&exchange, &self.consumer.queue(), &delivery.data, properties)
            .await
    }

    /// Publishes the message to the dead-letter queue, for an operator.
    async fn dead_letter(&self, delivery: &Delivery, attempts: u32, why: &str) -> Result<(), BrokerError> {
        tracing::error!(
            consumer = self.consumer.as_str(),
            attempts,
            why,
            "a message became a dead letter; see `backstock-worker dead-letters list`"
        );
        let properties = redelivery_properties(delivery, attempts, Some(why));
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
                Ack::Single(tag) => (tag, false),
            };
            channel.basic_ack(tag, BasicAckOptions { multiple }).await?;
        }
        Ok::<(), lapin::Error>(())
    };
    // On a connection that breaks at this moment, the acknowledgement would never complete.
    let acknowledged = tokio::time::timeout(RESPONSE_TIMEOUT, acknowledging).await;
    acknowledged.map_err(|_| BrokerError::Timeout("accept an acknowledgement"))??;
    Ok(())
}
