//! Has the label of a paid order's parcel made, takes the money that was held for it, and notes both.
//!
//! 1. `shipping_started_at` is set on the paid order. From here on it can't be cancelled, so that no money is taken for
//!    an order that is given back at the same time.
//! 2. The carrier makes the label, the gateway captures. Both know the order's id, or its payment's, as a key: asked
//!    again after a crash, they answer as the first time, and one parcel is sent and paid for once. So nothing is
//!    claimed, and two workers with the same message do no harm.
//! 3. One statement writes inbox, shipment, status and timeline.
//!
//! The first and the last are statements for many orders at once (`crate::batch`), so that hundreds of orders that wait for
//! third parties need no more than two connections.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;
use storefront::messages::Consumer;
use storefront::postgres::MeasuredPool;
use storefront::telemetry::orders_reached;
use storefront::third_parties::carrier::{Label, LabelOutcome, Parcel};
use storefront::third_parties::payment::ChangeOutcome;
use uuid::Uuid;

use super::{Done, Fault, Tools};
use crate::batch::Batcher;

const CONSUMER: Consumer = Consumer::ShippingLabel;

/// The statements of labels. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Labels {
    /// A message and its order.
    starts: Batcher<(Uuid, Uuid), Option<Order>>,
    finishes: Batcher<Finish, Finished>,
}

#[derive(Debug, Clone)]
struct Finish {
    message_id: Uuid,
    order_id: Uuid,
    label: Label,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Finished {
    /// By this message.
    Now,
    Before,
    /// Another has locked the order.
    Locked,
}

impl Labels {
    /// `most` orders share a statement.
    pub fn new(pool: &MeasuredPool, most: usize) -> Self {
        let of_starts = pool.clone();
        let of_finishes = pool.clone();
        Self {
            starts: Batcher::new(most, move |batch: Arc<[(Uuid, Uuid)]>| {
                let pool = of_starts.clone();
                async move { start(&pool, &batch).await }
            }),
            finishes: Batcher::new(most, move |batch: Arc<[Finish]>| {
                let pool = of_finishes.clone();
                async move { finish(&pool, &batch).await }
            }),
        }
    }
}

#[derive(Debug, Clone)]
struct Order {
    payment_id: Option<String>,
    shipping_method: String,
    shipping_address: Value,
}

/// Ships an order, once.
pub(super) async fn ship(tools: &Tools, message_id: Uuid, order_id: Uuid) -> Result<Done, Fault> {
    let Some(order) = tools.labels.starts.call((message_id, order_id)).await? else {
        return skip(tools, message_id, order_id).await;
    };
    let parcel = Parcel {
        order: order_id,
        service: &order.shipping_method,
        address: &order.shipping_address,
    };
    let label = match tools.carrier.create_label(parcel).await {
        LabelOutcome::Created(label) => label,
        LabelOutcome::Rejected { reason } => {
            let_go(tools, order_id).await?;
            return Err(Fault::Never(reason));
        }
        LabelOutcome::Unknown { why } => return Err(Fault::Later(why)),
    };
    // An order that costs nothing has no payment.
    if let Some(payment_id) = &order.payment_id {
        match tools.payments.capture(payment_id).await {
            ChangeOutcome::Done => {}
            ChangeOutcome::Refused => {
                let_go(tools, order_id).await?;
                return Err(Fault::Never(format!(
                    "the gateway refuses to capture payment {payment_id}; label {} is made, and nobody may send its parcel",
                    label.id
                )));
            }
            ChangeOutcome::Unknown => {
                return Err(Fault::Later(format!(
                    "nobody knows whether payment {payment_id} was captured"
                )));
            }
        }
    }
    let finish = Finish {
        message_id,
        order_id,
        label,
    };
    match tools.labels.finishes.call(finish).await? {
        Finished::Now => Ok(Done::Now),
        Finished::Before => Ok(Done::Before),
        Finished::Locked => Err(Fault::Later(format!("order {order_id} is locked"))),
    }
}

/// The orders that are to be shipped. None of one that isn't paid, or that was shipped under this message.
async fn start(pool: &MeasuredPool, batch: &[(Uuid, Uuid)]) -> Result<Vec<Option<Order>>, sqlx::Error> {
    // In the order of their ids, as all who write several orders at once. One that is locked is left out: its message is tried
    // again later, and the others don't wait for it.
    let mut asked = batch.to_vec();
    asked.sort_unstable_by_key(|(message, order)| (*order, *message));
    let (messages, orders): (Vec<Uuid>, Vec<Uuid>) = asked.into_iter().unzip();
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
    let started: HashMap<Uuid, Order> = rows
        .into_iter()
        .map(|row| {
            let order = Order {
                payment_id: row.payment_id,
                shipping_method: row.shipping_method,
                shipping_address: row.shipping_address,
            };
            (row.id, order)
        })
        .collect();
    // Twins in one batch both go on: label and capture are asked for under the same keys.
    Ok(batch
        .iter()
        .map(|(_, order)| started.get(order).cloned())
        .collect())
}

/// There will be no parcel: the carrier makes no label, or nobody pays. A person decides, and may cancel the order.
async fn let_go(tools: &Tools, order_id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update orders set shipping_started_at = null where id = $1 and status = 'paid'",
        order_id
    )
    .execute(&tools.pool)
    .await?;
    Ok(())
}

/// There is nothing to ship: it was done, or is done by the process that wrote the inbox, or the order was cancelled.
async fn skip(tools: &Tools, message_id: Uuid, order_id: Uuid) -> Result<Done, Fault> {
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
    .fetch_optional(&tools.pool)
    .await?
    .ok_or_else(|| Fault::Never(format!("order {order_id} doesn't exist")))?;
    if order.is_noted {
        return Ok(Done::Before);
    }
    // The message came before the payment's transaction, or at the same moment.
    if matches!(order.status.as_str(), "pending_payment" | "paid") {
        return Err(Fault::Later(format!("order {order_id} isn't paid yet")));
    }
    sqlx::query!(
        "insert into inbox (message_id, consumer) values ($1, $2) on conflict do nothing",
        message_id,
        CONSUMER.as_str()
    )
    .execute(&tools.pool)
    .await?;
    Ok(Done::Before)
}

/// Whether it was this message that made each order `fulfilled`. An order that is locked is left out, as in [`start`]: nothing
/// of it is written, and its message is tried again later.
async fn finish(pool: &MeasuredPool, batch: &[Finish]) -> Result<Vec<Finished>, sqlx::Error> {
    let mut asked: Vec<&Finish> = batch.iter().collect();
    asked.sort_unstable_by_key(|finish| (finish.order_id, finish.message_id));
    // A carrier has one label for an order, for all who ask.
    asked.dedup_by_key(|finish| (finish.order_id, finish.message_id));
    let messages: Vec<Uuid> = asked.iter().map(|finish| finish.message_id).collect();
    let orders: Vec<Uuid> = asked.iter().map(|finish| finish.order_id).collect();
    let labels: Vec<String> = asked.iter().map(|finish| finish.label.id.clone()).collect();
    let tracking_numbers: Vec<String> = asked
        .iter()
        .map(|finish| finish.label.tracking_number.clone())
        .collect();
    let (created, fulfilled): (Vec<Uuid>, Vec<Uuid>) =
        asked.iter().map(|_| (Uuid::now_v7(), Uuid::now_v7())).unzip();
    let rows = sqlx::query_as!(
        FinishedRow,
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

/// What [`finish`] says of an order that was not locked.
struct FinishedRow {
    message_id: Uuid,
    order_id: Uuid,
    is_fulfilled: bool,
}

fn outcomes(batch: &[Finish], rows: Vec<FinishedRow>) -> Vec<Finished> {
    let mut finished: HashMap<(Uuid, Uuid), Finished> = rows
        .into_iter()
        .map(|row| {
            let finished = if row.is_fulfilled {
                Finished::Now
            } else {
                Finished::Before
            };
            ((row.message_id, row.order_id), finished)
        })
        .collect();
    // Of twins, one was the first.
    batch
        .iter()
        .map(|finish| {
            let finished = finished.get_mut(&(finish.message_id, finish.order_id));
            finished.map_or(Finished::Locked, |finished| {
                std::mem::replace(finished, Finished::Before)
            })
        })
        .collect()
}
