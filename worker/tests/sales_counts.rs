//! Sales are counted once, despite duplicated and reordered messages, in few writes and without deadlocks.

use shop::messages::{Consumer, Event};
use uuid::Uuid;

use crate::support::arms::each_arm;
use crate::support::{Shop, until, until_equal};

/// The column that lists sort by.
pub const RANKED: &str = "select string_agg(sales_count::text, ',' order by slug) from products";
/// Counts that are not in the ranking yet.
const PENDING: &str = "select count(*) from product_sales";

async fn cancel(shop: &Shop, order: Uuid) {
    let cancel =
        format!("update orders set status = 'cancelled', payment_voided_at = now() where id = '{order}'");
    shop.database.execute(&cancel).await;
}

#[tokio::test]
async fn an_order_is_counted_once_and_subtracted_once_if_it_is_cancelled() {
    each_arm("sales_counts", async || {
        let shop = Shop::open().await;
        let orders = shop.paid_orders(10).await;
        let unpaid = shop.reserve(1, "now() + interval '1 hour'").await;
        shop.enqueue_paid(&orders[..4]).await;
        for order in [&orders[0], &orders[1], &unpaid[0]] {
            cancel(&shop, order.id).await;
            let message_id = Uuid::now_v7();
            for _ in 0..2 {
                shop.enqueue(message_id, Event::OrderCancelled { order_id: order.id })
                    .await;
            }
        }
        let _worker = shop.worker(&[]).await;
        until_equal(
            "eight orders are in the ranking",
            "8,16,0,0".to_owned(),
            async || shop.database.text(RANKED).await,
        )
        .await;
        let noted = "select count(*) from inbox where consumer in ('popularity', 'cancelled_sales')";
        until_equal("each message is in the inbox", 10 + 3, async || {
            shop.database.number(noted).await
        })
        .await;
        assert_eq!(shop.database.text(RANKED).await, "8,16,0,0");
        assert_eq!(shop.database.number(PENDING).await, 0);
        shop.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_cancellation_that_overtakes_its_sale_waits_for_it() {
    each_arm("sales_counts", async || {
        let shop = Shop::open().await;
        let orders = shop.reserve(1, "now() + interval '1 hour'").await;
        shop.pay(&orders).await;
        cancel(&shop, orders[0].id).await;
        let order_id = orders[0].id;
        shop.enqueue(Uuid::now_v7(), Event::OrderCancelled { order_id })
            .await;
        let worker = shop.worker(&[("BACKSTOCK_MAX_ATTEMPTS", "1000")]).await;
        let cancelled = r#"consumer="cancelled_sales""#;
        until("it was consumed", async || {
            let consumed = worker.counter("messages_consumed_total", &[cancelled]).await;
            consumed > 0
        })
        .await;
        // The ranking never goes below zero.
        assert_eq!(shop.database.text(RANKED).await, "0,0,0,0");
        shop.enqueue_paid(&orders).await;
        let noted = "select count(*) from inbox where consumer in ('popularity', 'cancelled_sales')";
        until_equal("both are counted", 2, async || shop.database.number(noted).await).await;
        until_equal("nothing is pending", 0, async || {
            shop.database.number(PENDING).await
        })
        .await;
        assert_eq!(shop.database.text(RANKED).await, "0,0,0,0");
        shop.close().await;
    })
    .await;
}

/// Rows of a table that the current transaction updated, and how many of them in place (HOT), without a new
/// index entry.
async fn updated(connection: &mut sqlx::PgConnection, table: &str) -> (i64, i64) {
    sqlx::query_as(
        "select pg_stat_get_xact_tuples_updated($1::text::regclass), pg_stat_get_xact_tuples_hot_updated($1::text::regclass)",
    )
    .bind(table)
    .fetch_one(connection)
    .await
    .unwrap()
}

#[tokio::test]
async fn a_count_in_the_products_row_updates_every_index_and_one_in_the_narrow_row_none() {
    let shop = Shop::open().await;
    let mut transaction = shop.database.pool.begin().await.unwrap();
    for statement in [
        "insert into product_sales (product_id, sold) select id, 1 from products",
        "insert into product_sales (product_id, sold) select id, 1 from products where slug = 'product-1'
         on conflict (product_id) do update set sold = product_sales.sold + excluded.sold",
        "update products set sales_count = sales_count + 1 where slug = 'product-1'",
    ] {
        sqlx::query(statement).execute(&mut *transaction).await.unwrap();
    }
    assert_eq!(updated(&mut transaction, "product_sales").await, (1, 1));
    assert_eq!(updated(&mut transaction, "products").await, (1, 0));
    transaction.rollback().await.unwrap();
    shop.close().await;
}

/// Creates paid orders whose messages wait in the queue.
pub async fn queued_orders(shop: &Shop, orders: usize) {
    shop.paid_orders(orders).await;
    let relay = shop.worker(&[("BACKSTOCK_PARTS", "relay")]).await;
    until_equal("all events are published", 0, async || {
        shop.database.number("select count(*) from outbox").await
    })
    .await;
    relay.stop().await;
}

/// How often statements that contain the text were run.
pub async fn calls(shop: &Shop, text: &str) -> i64 {
    let calls = format!(
        "select coalesce(sum(calls), 0) from pg_stat_statements
         where dbid = (select oid from pg_database where datname = current_database()) and query ilike '%{text}%'
           and query not ilike '%pg_stat_statements%'"
    );
    shop.database.number(&calls).await
}

#[tokio::test]
async fn arrived_messages_are_counted_in_one_statement_that_updates_each_product_once() {
    const ORDERS: i64 = 200;
    let shop = Shop::open().await;
    shop.database
        .execute("create extension if not exists pg_stat_statements")
        .await;
    queued_orders(&shop, ORDERS as usize).await;
    let mut held = shop.database.pool.begin().await.unwrap();
    sqlx::query("lock table product_sales in exclusive mode")
        .execute(&mut *held)
        .await
        .unwrap();
    let _worker = shop
        .worker(&[
            ("BACKSTOCK_PARTS", "consumers"),
            ("BACKSTOCK_SALES_IN_FLIGHT", "256"),
        ])
        .await;
    until_equal("all are delivered", Some(0), async || {
        shop.broker.ready_messages(&Consumer::Popularity.queue()).await
    })
    .await;
    held.commit().await.unwrap();
    let noted = "select count(*) from inbox where consumer = 'popularity'";
    until_equal("all are counted", ORDERS, async || {
        shop.database.number(noted).await
    })
    .await;
    // One statement that waited for the lock, one for all messages that arrived meanwhile,
    // and one for stragglers.
    let statements = calls(&shop, "insert into product_sales").await;
    assert!(statements <= 3, "{statements}");
    assert_eq!(calls(&shop, "update products").await, 0);
    assert_eq!(shop.sold().await, format!("{ORDERS},{},0,0", 2 * ORDERS));

    let _refresher = shop.worker(&[("BACKSTOCK_PARTS", "upkeep")]).await;
    until_equal(
        "the ranking has all",
        format!("{ORDERS},{},0,0", 2 * ORDERS),
        async || shop.database.text(RANKED).await,
    )
    .await;
    assert_eq!(shop.database.number(PENDING).await, 0);
    shop.close().await;
}

#[tokio::test]
async fn the_refresh_skips_a_product_that_is_being_sold_out_and_retries_it_later() {
    let shop = Shop::open().await;
    let products = "insert into product_sales (product_id, sold)
                    select id, 5 from products where slug in ('product-1', 'product-2');
                    insert into product_sales (product_id, sold) values (gen_random_uuid(), 7)";
    shop.database.execute(products).await;
    let mut held = shop.database.pool.begin().await.unwrap();
    sqlx::query("select from products where slug = 'product-1' for no key update")
        .execute(&mut *held)
        .await
        .unwrap();
    let _worker = shop.worker(&[("BACKSTOCK_PARTS", "upkeep")]).await;
    until_equal("the others are refreshed", "0,5,0,0".to_owned(), async || {
        shop.database.text(RANKED).await
    })
    .await;
    until_equal("the count of a deleted product is dropped", 1, async || {
        shop.database.number(PENDING).await
    })
    .await;
    held.commit().await.unwrap();
    until_equal(
        "it is refreshed after the lock is released",
        "5,5,0,0".to_owned(),
        async || shop.database.text(RANKED).await,
    )
    .await;
    assert_eq!(shop.database.number(PENDING).await, 0);
    shop.close().await;
}
