//! One window: claim rows, publish them, wait for the publisher confirms, delete the confirmed rows.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use lapin::options::BasicPublishOptions;
use lapin::{Channel, Confirmation, PublisherConfirm};
use platform::postgres::InstrumentedConnection;
use platform::telemetry::trace::{self, KeyValue, Kind, Trace};
use shop::messages::{EXCHANGE, properties};
use tokio::time::Instant;
use uuid::Uuid;

use super::low_water_mark::{ClaimedRows, LowWaterMark};
use super::{Relay, RelayError, must_be_routed};
use crate::broker::BrokerError;

/// The outcome of a window.
#[derive(Debug, Default)]
pub(super) struct WindowOutcome {
    pub(super) claimed: u32,
    pub(super) confirmed: usize,
    /// The event types of unroutable messages.
    pub(super) returned: Vec<String>,
    pub(super) unconfirmed: usize,
}

struct OutboxRow {
    id: i64,
    message_id: Uuid,
    event: String,
    body: String,
    trace_context: Option<String>,
    /// The claim's snapshot: transactions from here on hadn't begun, those below `xmin` had ended.
    xmax: i64,
    xmin: i64,
}

impl Relay<'_> {
    /// The transaction stays open while the broker confirms, so that other relays skip these rows. That is
    /// acceptable, because the deadline bounds it and only relays lock these rows.
    pub(super) async fn relay_window(
        self,
        channel: &Channel,
        unroutable: &[String],
        low_water_mark: &mut LowWaterMark,
    ) -> Result<WindowOutcome, RelayError> {
        let mut connection = self.pool.acquire().await?;
        let mut transaction = connection.begin().await?;
        let from = low_water_mark.scan_start(Instant::now());
        let rows = claim(&mut transaction, self.settings.relay_window, unroutable, from).await?;
        let Some(last) = rows.last() else {
            return Ok(WindowOutcome::default());
        };
        low_water_mark.advance(ClaimedRows {
            last_id: last.id,
            is_all: rows.len() < self.settings.relay_window as usize,
            xmin: last.xmin,
            xmax: last.xmax,
            at: Instant::now(),
        });
        let deadline = Instant::now() + self.settings.confirm_timeout;
        let (confirmed, window) = publish(channel, &rows, deadline).await?;
        sqlx::query!("delete from outbox where id = any($1)", &confirmed)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(window)
    }
}

async fn claim(
    connection: &mut InstrumentedConnection<'_, ()>,
    limit: u32,
    unroutable: &[String],
    from: i64,
) -> Result<Vec<OutboxRow>, sqlx::Error> {
    sqlx::query_as!(
        OutboxRow,
        r#"
        select id, message_id, event, body::text as "body!", trace_context,
               pg_current_xact_id()::text::int8 as "xmax!",
               pg_snapshot_xmin(pg_current_snapshot())::text::int8 as "xmin!"
        from outbox
        where id >= $3 and event <> all($2)
        order by id
        limit $1
        for update skip locked
        "#,
        i64::from(limit),
        unroutable,
        from
    )
    .fetch_all(connection)
    .await
}

/// Returns the ids of the confirmed rows, and the outcome of the window.
async fn publish(
    channel: &Channel,
    rows: &[OutboxRow],
    deadline: Instant,
) -> Result<(Vec<i64>, WindowOutcome), BrokerError> {
    let mut window = WindowOutcome {
        claimed: u32::try_from(rows.len()).expect("no more than the window's size"),
        ..WindowOutcome::default()
    };
    let mut waiting = FuturesUnordered::new();
    let mut traced: HashMap<i64, Arc<Trace>> = HashMap::new();
    let mut confirmed = Vec::with_capacity(rows.len());
    let sending = async {
        for row in rows {
            let trace = begin_trace(row);
            let confirm = send(channel, row, trace.as_deref()).await?;
            traced.extend(trace.map(|trace| (row.id, trace)));
            waiting.push(async move { (row, confirm.await) });
        }
        while let Some((row, confirmation)) = waiting.next().await {
            let confirmation = confirmation?;
            if let Some(trace) = traced.remove(&row.id) {
                end_trace(&trace, row, failure(&confirmation));
            }
            match confirmation {
                Confirmation::Ack(None) => confirmed.push(row.id),
                Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_)) => {
                    window.returned.push(row.event.clone());
                }
                Confirmation::Nack(None) | Confirmation::NotRequested => {}
            }
        }
        Ok::<(), lapin::Error>(())
    };
    // At the deadline, or when the channel fails, the rows confirmed so far are deleted and the others
    // republished later.
    if let Ok(Err(error)) = tokio::time::timeout_at(deadline, sending).await {
        tracing::warn!(%error, "RabbitMQ failed while publishing a window");
    }
    for row in rows {
        if let Some(trace) = traced.remove(&row.id) {
            end_trace(&trace, row, Some("not confirmed"));
        }
    }
    window.returned.sort();
    let returned = window.returned.len();
    window.returned.dedup();
    window.confirmed = confirmed.len();
    window.unconfirmed = rows.len() - confirmed.len() - returned;
    Ok((confirmed, window))
}

/// With tracing enabled, publishing is a span in the trace of the request that caused the event, and the
/// parent of the consumers' spans.
fn begin_trace(row: &OutboxRow) -> Option<Arc<Trace>> {
    let cause = row.trace_context.as_deref()?.parse().ok()?;
    trace::begin(Kind::Producer, || Some(cause))
}

fn end_trace(trace: &Trace, row: &OutboxRow, failure: Option<&'static str>) {
    let attributes = || {
        vec![
            KeyValue::new("messaging.system", "rabbitmq"),
            KeyValue::new("messaging.destination.name", EXCHANGE),
            KeyValue::new("messaging.message.id", row.message_id.to_string()),
        ]
    };
    trace.end(
        || format!("publish {}", row.event),
        attributes,
        failure.map(Into::into),
    );
}

fn failure(confirmation: &Confirmation) -> Option<&'static str> {
    match confirmation {
        Confirmation::Ack(None) => None,
        Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_)) => Some("unroutable"),
        Confirmation::Nack(None) | Confirmation::NotRequested => Some("rejected"),
    }
}

async fn send(
    channel: &Channel,
    row: &OutboxRow,
    trace: Option<&Trace>,
) -> Result<PublisherConfirm, lapin::Error> {
    let options = BasicPublishOptions {
        mandatory: must_be_routed(&row.event),
        ..Default::default()
    };
    let own = trace.map(|trace| trace.own().to_string());
    let trace_context = own.as_deref().or(row.trace_context.as_deref());
    let properties = properties(row.message_id, &row.event, trace_context);
    channel
        .basic_publish(
            EXCHANGE.into(),
            row.event.as_str().into(),
            options,
            row.body.as_bytes(),
            properties,
        )
        .await
}
