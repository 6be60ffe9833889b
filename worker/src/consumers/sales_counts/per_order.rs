//! **Technique**: `update products set sales_count = sales_count + n`, for each product of each order.
//! **Cost**: the count is in two indexes, so no update is HOT: each writes a new version of the product's whole row, about a kilobyte of
//! texts included, and an entry in every index of the table. Each is a transaction of its own.
//! **Fails when**: a product is hot: its counts take turns at its row, and so does the order that sells its last unit,
//! whose trigger needs that row. Not by a deadlock: no more than one product's row is locked at a time, and it is updated
//! without being locked before.
//! **Source**: <https://www.postgresql.org/docs/current/storage-hot.html>

use storefront::postgres::MeasuredPool;

use super::{Counted, Direction};

/// Whether it was counted now, and not before. Each product's count is noted with it: under the message and the product's
/// place in the order, and the last one under the message itself. So a count that was cut off goes on where it was.
pub(super) async fn count(pool: &MeasuredPool, counted: Counted) -> Result<bool, sqlx::Error> {
    let consumer = counted.direction.consumer().as_str();
    let products = sqlx::query!(
        r#"
        select product_id, sum(quantity)::int8 as "units!"
        from order_lines
        where order_id = $1
          and ($2 or exists (select from order_events where order_id = $1 and event = 'paid'))
        group by product_id
        order by product_id
        "#,
        counted.order_id,
        counted.direction == Direction::Sold
    )
    .fetch_all(pool)
    .await?;
    for (place, product) in products.iter().enumerate() {
        let noted_as = if place + 1 == products.len() {
            consumer.to_owned()
        } else {
            format!("{consumer}/{place}")
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
            counted.message_id,
            noted_as,
            product.product_id,
            product.units * counted.direction.sign()
        )
        .fetch_one(pool)
        .await?;
        if noted_as == consumer {
            return Ok(is_first);
        }
    }
    // Nothing to count.
    let noted = sqlx::query!(
        "insert into inbox (message_id, consumer) values ($1, $2) on conflict do nothing",
        counted.message_id,
        consumer
    );
    Ok(noted.execute(pool).await?.rows_affected() > 0)
}
