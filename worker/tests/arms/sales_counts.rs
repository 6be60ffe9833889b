//! With `per_order`, each order updates the rows of its products.

use crate::sales_counts::{RANKED, calls, queued_orders};
use crate::support::arms::with_arm;
use crate::support::{Shop, until_equal};

#[tokio::test]
async fn per_order_updates_each_product_for_each_order_and_locks_one_at_a_time() {
    let shop = Shop::open().await;
    shop.database
        .execute("create extension if not exists pg_stat_statements")
        .await;
    queued_orders(&shop, 1).await;
    // Each order has products 1 and 2, which are counted in this order. Product 2 is being sold out.
    let mut held = shop.database.pool.begin().await.unwrap();
    sqlx::query("select from products where slug = 'product-2' for no key update")
        .execute(&mut *held)
        .await
        .unwrap();
    let start = async || shop.worker(&[("BACKSTOCK_PARTS", "consumers")]).await;
    let _worker = with_arm("sales_counts", "per_order", start).await;
    let waits = "select count(*) from pg_stat_activity
                 where datname = current_database() and wait_event_type = 'Lock' and query ilike '%update products%'";
    until_equal("the count waits for product 2", 1, async || {
        shop.database.number(waits).await
    })
    .await;
    assert_eq!(
        shop.database.text(RANKED).await,
        "1,0,0,0",
        "product 1 is counted"
    );
    // The transaction that holds product 2 can lock product 1, so there is no deadlock.
    let free = sqlx::query("select from products where slug = 'product-1' for no key update nowait");
    free.execute(&mut *held).await.unwrap();
    held.commit().await.unwrap();
    until_equal("all is counted", "1,2,0,0".to_owned(), async || {
        shop.database.text(RANKED).await
    })
    .await;
    assert_eq!(calls(&shop, "update products set sales_count").await, 2);
    shop.close().await;
}
