//! Counts what was sold, by which the catalogue orders its best sellers.

use storefront::messages::Consumer;
use uuid::Uuid;

use super::{Done, Fault, Tools};

/// Adds the order's lines to their products, once: one statement, so that the note in the inbox and the counts are
/// there together or not at all. Products are locked in the order of their ids, so that two orders with the same
/// products don't wait for each other.
pub(super) async fn count(tools: &Tools, message_id: Uuid, order_id: Uuid) -> Result<Done, Fault> {
    let is_first = sqlx::query_scalar!(
        r#"
        with first as (
            insert into inbox (message_id, consumer) values ($1, $2)
            on conflict do nothing
            returning true
        ), sold as (
            select product_id, sum(quantity) as quantity
            from order_lines, first
            where order_id = $3
            group by product_id
        ), locked as (
            select products.id, sold.quantity
            from products
            join sold on sold.product_id = products.id
            order by products.id
            for no key update of products
        ), counted as (
            update products
            set sales_count = sales_count + locked.quantity::bigint
            from locked
            where products.id = locked.id
        )
        select exists (select from first) as "is_first!"
        "#,
        message_id,
        Consumer::Popularity.as_str(),
        order_id
    )
    .fetch_one(&tools.pool)
    .await?;
    Ok(if is_first { Done::Now } else { Done::Before })
}
