//! **Technique**: `update products set sales_count = sales_count + n`, for each product of each order.
//! **Cost**: the count is in two indexes, so no update is HOT. Each writes a new version of the product's
//! whole row, including about a kilobyte of text, and an entry in every index of the table (write
//! amplification). Each update is a transaction of its own.
//! **Fails when**: a product is hot. Its counts queue for its row, and so does the order that sells its last
//! unit, whose trigger needs that row. It can't deadlock, because it locks at most one product's row at a
//! time, and updates it without a previous lock.
//! **Source**: <https://www.postgresql.org/docs/current/storage-hot.html>

use platform::postgres::InstrumentedPool;

use super::{Direction, SalesMessage};
use crate::consumers::HandlerError;

/// The arm `sales_counts=per_order`.
#[derive(Debug, Clone)]
pub struct PerOrder {
    pool: InstrumentedPool,
}

impl PerOrder {
    pub(super) fn new(pool: &InstrumentedPool, _max_batch: usize) -> Self {
        Self { pool: pool.clone() }
    }

    pub(super) async fn count_once(&self, message: SalesMessage) -> Result<bool, HandlerError> {
        Ok(count(&self.pool, message).await?)
    }
}

/// Returns whether this delivery counted the message. Each product's update records its position under the
/// message in `inbox`, and the last one records the message itself, so that an interrupted count resumes
/// where it stopped.
async fn count(pool: &InstrumentedPool, message: SalesMessage) -> Result<bool, sqlx::Error> {
    let consumer = message.direction.consumer().as_str();
    let products = sqlx::query!(
        r#"
        select product_id, sum(quantity)::int8 as "units!"
        from order_lines
        where order_id = $1
          and ($2 or exists (select from order_events where order_id = $1 and event = 'paid'))
        group by product_id
        order by product_id
        "#,
        message.order_id,
        message.direction == Direction::Sold
    )
    .fetch_all(pool)
    .await?;
    for (position, product) in products.iter().enumerate() {
        let inbox_key = if position + 1 == products.len() {
            consumer.to_owned()
        } else {
            format!("{consumer}/{position}")
        };
        let is_first = sqlx::query_scalar!(
            r#"
            with first as (
                insert into inbox (message_id, consumer) values ($1, $2)
                on conflict do nothing
                returning true
            ), counted as (
                update products set sales_count = sales_count + $4
                from first
                where id = $3
            )
            select exists (select from first) as "is_first!"
            "#,
            message.message_id,
            inbox_key,
            product.product_id,
            product.units * message.direction.sign()
        )
        .fetch_one(pool)
        .await?;
        if inbox_key == consumer {
            return Ok(is_first);
        }
    }
    // There is nothing to count.
    let insert = sqlx::query!(
        "insert into inbox (message_id, consumer) values ($1, $2) on conflict do nothing",
        message.message_id,
        consumer
    );
    Ok(insert.execute(pool).await?.rows_affected() > 0)
}
