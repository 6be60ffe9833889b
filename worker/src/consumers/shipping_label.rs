//! Creates the shipping label of a paid order, captures its payment, and records both.
//!
//! 1. `shipping_started_at` is set on the paid order. From then on it can't be cancelled, so that no money is
//!    captured for an order that is being cancelled concurrently.
//! 2. The carrier creates the label and the gateway captures the payment. Both calls are idempotent, by the
//!    order's id and the payment's id: repeated after a crash, they return the first response, so one parcel
//!    is sent and paid for once. Hence no lease is needed, and two workers with the same message do no harm.
//! 3. One statement writes inbox, shipment, status and timeline.
//!
//! The first and the last step are batched (`crate::batch`), so hundreds of orders that wait for third
//! parties need no more than two connections.

use std::collections::HashMap;
use std::sync::Arc;

use platform::postgres::InstrumentedPool;
use serde_json::Value;
use shop::messages::Consumer;
use shop::orders::orders_reached;
use shop::third_parties::carrier::{Label, LabelOutcome, Parcel};
use shop::third_parties::payment::ChangeOutcome;
use uuid::Uuid;

use super::{ConsumerContext, HandlerError, HandlerOutcome, inbox};
use crate::batch::Batcher;

const CONSUMER: Consumer = Consumer::ShippingLabel;

/// The batched statements of shipping labels. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LabelStatements {
    /// Keyed by a message and its order.
    starts: Batcher<(Uuid, Uuid), Option<ShippableOrder>>,
    completions: Batcher<Completion, CompletionOutcome>,
}

#[derive(Debug, Clone)]
struct Completion {
    message_id: Uuid,
    order_id: Uuid,
    label: Label,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CompletionOutcome {
    /// This message completed the order.
    Completed,
    AlreadyCompleted,
    /// Another transaction has locked the order.
    Locked,
}

impl LabelStatements {
    /// Up to `max_batch` orders share a statement.
    pub fn new(pool: &InstrumentedPool, max_batch: usize) -> Self {
        let start_pool = pool.clone();
        let completion_pool = pool.clone();
        Self {
            starts: Batcher::new(max_batch, move |batch: Arc<[(Uuid, Uuid)]>| {
                let pool = start_pool.clone();
                async move { start_shipping(&pool, &batch).await }
            }),
            completions: Batcher::new(max_batch, move |batch: Arc<[Completion]>| {
                let pool = completion_pool.clone();
                async move { complete_orders(&pool, &batch).await }
            }),
        }
    }
}

#[derive(Debug, Clone)]
struct ShippableOrder {
    payment_id: Option<String>,
    shipping_method: String,
    shipping_address: Value,
}

/// Creates the label, captures the payment and completes the order, once.
pub(super) async fn ship(
    context: &ConsumerContext,
    message_id: Uuid,
    order_id: Uuid,
) -> Result<HandlerOutcome, HandlerError> {
    let Some(order) = context.labels.starts.call((message_id, order_id)).await? else {
        return skip(context, message_id, order_id).await;
    };
    let parcel = Parcel {
        order: order_id,
        service: &order.shipping_method,
        address: &order.shipping_address,
    };
    let label = match context.carrier.create_label(parcel).await {
        LabelOutcome::Created(label) => label,
        LabelOutcome::Rejected { reason } => {
            reset_shipping(context, order_id).await?;
            return Err(HandlerError::Permanent(reason));
        }
        LabelOutcome::Unknown { why } => return Err(HandlerError::Retryable(why)),
    };
    // A free order has no payment.
    if let Some(payment_id) = &order.payment_id {
        match context.payments.capture(payment_id).await {
            ChangeOutcome::Done => {}
            ChangeOutcome::Refused => {
                reset_shipping(context, order_id).await?;
                return Err(HandlerError::Permanent(format!(
                    "the gateway refuses to capture payment {payment_id}; label {} exists, but its parcel must not be sent",
                    label.id
                )));
            }
            ChangeOutcome::Unknown => {
                return Err(HandlerError::Retryable(format!(
                    "it is unknown whether payment {payment_id} was captured"
                )));
            }
        }
    }
    let completion = Completion {
        message_id,
        order_id,
        label,
    };
    match context.labels.completions.call(completion).await? {
        CompletionOutcome::Completed => Ok(HandlerOutcome::Done),
        CompletionOutcome::AlreadyCompleted => Ok(HandlerOutcome::AlreadyDone),
        CompletionOutcome::Locked => Err(HandlerError::Retryable(format!("order {order_id} is locked"))),
    }
}

/// Returns the orders to ship: `None` for an order that isn't paid, is locked, or was
/// shipped by this message.
async fn start_shipping(
    pool: &InstrumentedPool,
    batch: &[(Uuid, Uuid)],
) -> Result<Vec<Option<ShippableOrder>>, sqlx::Error> {
    // Sorted by order id, the lock order of all writers of several orders. A locked order is skipped, so that
    // the others don't wait for it, and its message is retried later.
    let mut requested = batch.to_vec();
    requested.sort_unstable_by_key(|(message, order)| (*order, *message));
    let (messages, orders): (Vec<Uuid>, Vec<Uuid>) = requested.into_iter().unzip();
    let rows = sqlx::query!(
        r#"
        with free as materialized (
            select id from orders where id = any($2) and status = 'paid' order by id for no key update skip locked
        )
        update orders o
        set shipping_started_at = coalesce(o.shipping_started_at, now())
        from unnest($1::uuid[], $2::uuid[]) as asked (message_id, order_id)
        join free on free.id = asked.order_id
        where o.id = asked.order_id
          and not exists (select from inbox i where i.message_id = asked.message_id and i.consumer = $3)
        returning o.id, o.payment_id, o.shipping_method, o.shipping_address as "shipping_address: Value"
        "#,
        &messages,
        &orders,
        CONSUMER.as_str()
    )
    .fetch_all(pool)
    .await?;
    let started: HashMap<Uuid, ShippableOrder> = rows
        .into_iter()
        .map(|row| {
            let order = ShippableOrder {
                payment_id: row.payment_id,
                shipping_method: row.shipping_method,
                shipping_address: row.shipping_address,
            };
            (row.id, order)
        })
        .collect();
    // Duplicates in one batch both proceed, which is harmless because label and capture are idempotent.
    Ok(batch
        .iter()
        .map(|(_, order)| started.get(order).cloned())
        .collect())
}

/// Makes the order cancellable again, because the carrier rejected the label or the gateway refused the
/// capture. An operator decides what to do, and may cancel the order.
async fn reset_shipping(context: &ConsumerContext, order_id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update orders set shipping_started_at = null where id = $1 and status = 'paid'",
        order_id
    )
    .execute(&context.pool)
    .await?;
    Ok(())
}

/// Handles a message without an order to ship: it was handled before, the order was cancelled, or it isn't
/// paid yet.
async fn skip(
    context: &ConsumerContext,
    message_id: Uuid,
    order_id: Uuid,
) -> Result<HandlerOutcome, HandlerError> {
    let order = sqlx::query!(
        r#"
        select status,
               exists (select from inbox where message_id = $2 and consumer = $3) as "is_noted!"
        from orders
        where id = $1
        "#,
        order_id,
        message_id,
        CONSUMER.as_str()
    )
    .fetch_optional(&context.pool)
    .await?
    .ok_or_else(|| HandlerError::Permanent(format!("order {order_id} doesn't exist")))?;
    if order.is_noted {
        return Ok(HandlerOutcome::AlreadyDone);
    }
    // The message arrived before the payment's transaction committed, or the order was locked.
    if matches!(order.status.as_str(), "pending_payment" | "paid") {
        return Err(HandlerError::Retryable(format!(
            "order {order_id} isn't paid yet, or is locked"
        )));
    }
    inbox::record(&context.pool, CONSUMER, message_id).await?;
    Ok(HandlerOutcome::AlreadyDone)
}

/// Makes orders `fulfilled`, and returns whether this message did so. A locked order is skipped, as in
/// [`start_shipping`]: nothing is written for it, and its message is retried later.
async fn complete_orders(
    pool: &InstrumentedPool,
    batch: &[Completion],
) -> Result<Vec<CompletionOutcome>, sqlx::Error> {
    let mut requested: Vec<&Completion> = batch.iter().collect();
    requested.sort_unstable_by_key(|completion| (completion.order_id, completion.message_id));
    // Duplicates have the same label, because the carrier creates one per order.
    requested.dedup_by_key(|completion| (completion.order_id, completion.message_id));
    let messages: Vec<Uuid> = requested.iter().map(|completion| completion.message_id).collect();
    let orders: Vec<Uuid> = requested.iter().map(|completion| completion.order_id).collect();
    let labels: Vec<String> = requested
        .iter()
        .map(|completion| completion.label.id.clone())
        .collect();
    let tracking_numbers: Vec<String> = requested
        .iter()
        .map(|completion| completion.label.tracking_number.clone())
        .collect();
    let (created, fulfilled): (Vec<Uuid>, Vec<Uuid>) =
        requested.iter().map(|_| (Uuid::now_v7(), Uuid::now_v7())).unzip();
    let rows = sqlx::query_as!(
        CompletionRow,
        r#"
        with free as materialized (
            select id from orders where id = any($2) order by id for no key update skip locked
        ), asked as (
            select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::uuid[], $6::uuid[])
                as asked (message_id, order_id, carrier_label, tracking_number, created, fulfilled)
            where order_id in (select id from free)
        ), first as (
            insert into inbox (message_id, consumer)
            select message_id, $7 from asked order by message_id
            on conflict do nothing
            returning message_id
        ), fulfilled as (
            update orders o
            set status = 'fulfilled', updated_at = now()
            from first
            join asked a on a.message_id = first.message_id
            where o.id = a.order_id and o.status = 'paid'
            returning a.*
        ), shipped as (
            insert into shipments (order_id, carrier_label, tracking_number)
            select order_id, carrier_label, tracking_number from fulfilled
            on conflict (order_id) do nothing
        ), told as (
            insert into order_events (order_id, id, event)
            select order_id, created, 'label_created' from fulfilled
            union all
            select order_id, fulfilled.fulfilled, 'fulfilled' from fulfilled
        )
        select asked.message_id as "message_id!", asked.order_id as "order_id!",
               fulfilled.message_id is not null as "is_fulfilled!"
        from asked
        left join fulfilled on fulfilled.message_id = asked.message_id and fulfilled.order_id = asked.order_id
        "#,
        &messages,
        &orders,
        &labels,
        &tracking_numbers,
        &created,
        &fulfilled,
        CONSUMER.as_str()
    )
    .fetch_all(pool)
    .await?;
    orders_reached(
        "fulfilled",
        rows.iter().filter(|row| row.is_fulfilled).count() as u64,
    );
    Ok(outcomes(batch, rows))
}

/// The result of [`complete_orders`] for an order that was not locked.
struct CompletionRow {
    message_id: Uuid,
    order_id: Uuid,
    is_fulfilled: bool,
}

fn outcomes(batch: &[Completion], rows: Vec<CompletionRow>) -> Vec<CompletionOutcome> {
    let mut outcomes: HashMap<(Uuid, Uuid), CompletionOutcome> = rows
        .into_iter()
        .map(|row| {
            let outcome = if row.is_fulfilled {
                CompletionOutcome::Completed
            } else {
                CompletionOutcome::AlreadyCompleted
            };
            ((row.message_id, row.order_id), outcome)
        })
        .collect();
    // Of duplicates in the batch, the first one counts.
    batch
        .iter()
        .map(|completion| {
            let outcome = outcomes.get_mut(&(completion.message_id, completion.order_id));
            outcome.map_or(CompletionOutcome::Locked, |outcome| {
                std::mem::replace(outcome, CompletionOutcome::AlreadyCompleted)
            })
        })
        .collect()
}
