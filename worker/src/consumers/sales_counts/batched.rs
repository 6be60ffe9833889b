//! **Technique**: write coalescing in a separate table. All messages that arrive while one statement
//! runs are counted by the next: one `inbox` row per message, and one upsert into the narrow
//! `product_sales` per product, in however many orders it occurs. A bounded job moves the sums to the
//! column that lists sort by (`background_tasks/refresh_sales.rs`).
//! **Cost**: a row of 48 bytes per product and batch, updated in place (HOT), with one index; the product's
//! own row, and an entry in each of its indexes, once per round of the job instead of once per order.
//! **Fails when**: a rank must be exact immediately, because it is as stale as the job's interval. If each
//! product is sold only once between two rounds, the job writes as much as the plain update would, plus the
//! narrow row.
//! **Source**: <https://github.com/rust-lang/crates.io>, whose `crate_downloads` is such a table, and
//! <https://www.postgresql.org/docs/current/storage-hot.html>

use std::collections::HashSet;
use std::sync::Arc;

use platform::postgres::InstrumentedPool;
use uuid::Uuid;

use super::SalesMessage;
use crate::batch::Batcher;
use crate::consumers::HandlerError;

/// The arm `sales_counts=batched`.
#[derive(Debug, Clone)]
pub struct Batched {
    counts: Batcher<SalesMessage, bool>,
}

impl Batched {
    pub fn new(pool: &InstrumentedPool, max_batch: usize) -> Self {
        let pool = pool.clone();
        let counts = Batcher::new(max_batch, move |batch: Arc<[SalesMessage]>| {
            let pool = pool.clone();
            async move { count_batch(&pool, &batch).await }
        });
        Self { counts }
    }

    pub(super) async fn count_once(&self, message: SalesMessage) -> Result<bool, HandlerError> {
        Ok(self.counts.call(message).await?)
    }
}

/// One statement, so that the inbox rows and the counts are written atomically. Inbox rows are inserted in
/// the order of message ids, then products are counted in the order of their ids, so two workers with the
/// same messages can't deadlock. (`asked` is ordered, and sorting the sums reads all of `first` before the
/// first of them is written.)
async fn count_batch(pool: &InstrumentedPool, batch: &[SalesMessage]) -> Result<Vec<bool>, sqlx::Error> {
    let mut messages: Vec<&SalesMessage> = batch.iter().collect();
    messages.sort_by_key(|message| (message.message_id, message.direction.sign()));
    // The broker may redeliver a message while its first delivery is in this batch.
    messages.dedup_by_key(|message| (message.message_id, message.direction.sign()));
    let ids: Vec<Uuid> = messages.iter().map(|message| message.message_id).collect();
    let consumers: Vec<String> = messages
        .iter()
        .map(|message| message.direction.consumer().as_str().to_owned())
        .collect();
    let orders: Vec<Uuid> = messages.iter().map(|message| message.order_id).collect();
    let signs: Vec<i64> = messages.iter().map(|message| message.direction.sign()).collect();
    let first = sqlx::query_scalar!(
        r#"
        with asked as (
            select * from unnest($1::uuid[], $2::text[], $3::uuid[], $4::int8[]) as asked (message_id, consumer, order_id, sign)
        ), first as (
            insert into inbox (message_id, consumer)
            select message_id, consumer from asked
            on conflict do nothing
            returning message_id, consumer
        ), sold as (
            select l.product_id, sum(l.quantity * a.sign)::int8 as units
            from first
            join asked a on a.message_id = first.message_id and a.consumer = first.consumer
            join order_lines l on l.order_id = a.order_id
            -- What was never paid was never counted. Not `exists`, which the planner may answer with a hash of all events.
            where a.sign > 0
               or (select true from order_events e where e.order_id = a.order_id and e.event = 'paid' limit 1)
            group by l.product_id
            order by l.product_id
        ), counted as (
            insert into product_sales (product_id, sold)
            select product_id, units from sold
            on conflict (product_id) do update set sold = product_sales.sold + excluded.sold
        )
        select message_id from first
        "#,
        &ids,
        &consumers,
        &orders,
        &signs
    )
    .fetch_all(pool)
    .await?;
    let mut first: HashSet<Uuid> = first.into_iter().collect();
    // Of duplicates in the batch, one was counted.
    Ok(batch
        .iter()
        .map(|message| first.remove(&message.message_id))
        .collect())
}
