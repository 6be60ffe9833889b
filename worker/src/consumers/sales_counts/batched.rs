//! **Technique**: write coalescing in a table of its own. What has arrived while the last statement ran is counted by the
//! next: one note in `inbox` for each message, and one upsert into the narrow `product_sales` for each product, whatever
//! number of orders it is in. A bounded job moves the sums to the column that lists sort by (`upkeep/refresh_sales.rs`).
//! **Cost**: a row of 48 bytes a product and batch, in place (HOT), with one index; the product's own row, and an entry in each
//! of its indexes, once a round of the job instead of once an order.
//! **Fails when**: a rank has to be exact at once: it is as old as the job's interval. And where each product is sold once
//! between two rounds, the job writes what the plain update would have written, and the narrow row besides.
//! **Source**: <https://github.com/rust-lang/crates.io>, whose `crate_downloads` is such a table, and
//! <https://www.postgresql.org/docs/current/storage-hot.html>

use std::collections::HashSet;
use std::sync::Arc;

use storefront::postgres::MeasuredPool;
use uuid::Uuid;

use super::Counted;
use crate::batch::{Batcher, StatementError};

/// The arm `sales_counts=batched`.
#[derive(Debug, Clone)]
pub struct Batched {
    counts: Batcher<Counted, bool>,
}

impl Batched {
    pub(super) fn new(pool: &MeasuredPool, most: usize) -> Self {
        let pool = pool.clone();
        let counts = Batcher::new(most, move |batch: Arc<[Counted]>| {
            let pool = pool.clone();
            async move { count(&pool, &batch).await }
        });
        Self { counts }
    }

    /// Whether it was counted now, and not before.
    pub(super) async fn count(&self, counted: Counted) -> Result<bool, StatementError> {
        self.counts.call(counted).await
    }
}

/// One statement, so that the notes in the inbox and the counts are there together or not at all. Messages are noted in the
/// order of their ids and products counted in the order of theirs, after all messages: two workers that were given the
/// same messages can't wait for each other. (`asked` is in order, and the sums are sorted, which reads all of `first`
/// before the first of them is written.)
async fn count(pool: &MeasuredPool, batch: &[Counted]) -> Result<Vec<bool>, sqlx::Error> {
    let mut asked: Vec<&Counted> = batch.iter().collect();
    asked.sort_by_key(|counted| (counted.message_id, counted.direction.sign()));
    // The broker may deliver a message again while its first delivery is in this batch.
    asked.dedup_by_key(|counted| (counted.message_id, counted.direction.sign()));
    let ids: Vec<Uuid> = asked.iter().map(|counted| counted.message_id).collect();
    let consumers: Vec<String> = asked
        .iter()
        .map(|counted| counted.direction.consumer().as_str().to_owned())
        .collect();
    let orders: Vec<Uuid> = asked.iter().map(|counted| counted.order_id).collect();
    let signs: Vec<i64> = asked.iter().map(|counted| counted.direction.sign()).collect();
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
            -- What was never paid was never counted.
            where a.sign > 0
               or exists (select from order_events e where e.order_id = a.order_id and e.event = 'paid')
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
    // Of twins, one was counted.
    Ok(batch
        .iter()
        .map(|counted| first.remove(&counted.message_id))
        .collect())
}
