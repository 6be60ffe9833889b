//! Counts are updated incrementally: the change feed names the products, so the catalogue isn't read again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::arms::each_arm;
use crate::support::catalogue::{add_product, change_price};
use crate::support::database::{Content, Database};
use crate::support::postgres_proxy::PostgresProxy;
use crate::support::shop::{Changes, TestShop};
use crate::support::until;

/// The time within which a change must be visible.
const MAX_DELAY: Duration = Duration::from_secs(1);

pub const COUNTED: &[&str] = &[
    "/v1/products/facets",
    "/v1/products/facets?category=home",
    "/v1/products/facets?in_stock=true",
    "/v1/products/facets?min_price=20000",
    "/v1/products/facets?brand=brand-1",
    "/v1/categories",
];

async fn responses(shop: &TestShop) -> Vec<Value> {
    let mut all = Vec::new();
    for path in COUNTED {
        all.push(shop.get(path).await.ok().json());
    }
    all
}

/// The expected counts: those of a newly started process.
async fn expected(shop: &TestShop) -> Vec<Value> {
    let fresh = TestShop::on(shop.database.clone(), Changes::default()).await;
    responses(&fresh).await
}

/// Waits until the shop's counts equal those of a newly started process.
async fn assert_catches_up(shop: &TestShop, what: &str) {
    let expected = expected(shop).await;
    until(&format!("{what} is visible"), async || {
        (responses(shop).await == expected).then_some(())
    })
    .await;
}

/// Each change, with its description.
const CHANGES: &[(&str, &str)] = &[
    (
        "a sold-out product",
        "update variants set stock_quantity = 0 where product_id = (select id from products where slug = 'product-1')",
    ),
    (
        "a price",
        "update variants set price_cents = 77777 where product_id = (select id from products where slug = 'product-2')",
    ),
    ("a deactivated product", "update products set active = false where slug = 'product-3'"),
    ("a reactivated product", "update products set active = true where slug = 'product-11'"),
    (
        "a product in another category and brand",
        "update products set category_id = (select id from categories where slug = 'clearance'),
                             brand_id = (select id from brands where slug = 'brand-8') where slug = 'product-4'",
    ),
    ("a deleted product", "delete from products where slug = 'product-5'"),
    ("a brand with another name", "update brands set name = 'Another name' where slug = 'brand-1'"),
    (
        "a new category, and a product in it",
        "with category as (
             insert into categories (id, slug, name) values (gen_random_uuid(), 'new', 'New') returning id
         )
         update products set category_id = category.id from category where products.slug = 'product-6'",
    ),
];

/// Without a cache, because cached counts are updated later; `cache.rs` tests that.
async fn uncached() -> TestShop {
    TestShop::start_with(Changes::default().without_cache()).await
}

#[tokio::test]
async fn every_change_is_counted() {
    each_arm("facets", async || {
        let shop = uncached().await;
        let mut before = responses(&shop).await;
        for (what, sql) in CHANGES {
            shop.database.execute(sql).await;
            assert_catches_up(&shop, what).await;
            let after = responses(&shop).await;
            assert_ne!(before, after, "{what} changes no count");
            before = after;
        }
        add_product(&shop.database, "new-one", 1).await;
        assert_catches_up(&shop, "a new product").await;
    })
    .await;
}

/// The limit is a second. The median of five changes tolerates one on a busy machine.
#[tokio::test]
async fn a_price_is_counted_within_a_second() {
    let shop = uncached().await;
    let expensive = async || {
        let facets = shop
            .get("/v1/products/facets?min_price=1000000")
            .await
            .ok()
            .json();
        facets["total"].as_i64().unwrap()
    };
    assert_eq!(expensive().await, 0);
    let mut durations = Vec::new();
    for (number, slug) in (1..).zip(["product-1", "product-2", "product-3", "product-4", "product-5"]) {
        change_price(&shop.database, slug, 2_000_000).await;
        let changed_at = Instant::now();
        until("the price is counted", async || {
            (expensive().await == number).then_some(())
        })
        .await;
        durations.push(changed_at.elapsed());
    }
    durations.sort();
    assert!(durations[2] < MAX_DELAY, "{durations:?}");
}

#[tokio::test]
async fn a_new_title_is_suggested_and_the_old_one_is_not() {
    let shop = uncached().await;
    let suggested = async |text: &str| {
        let response = shop.get(&format!("/v1/search/suggestions?q={text}")).await.ok();
        response.items().len()
    };
    assert_eq!(
        (suggested("blouse%201").await > 0, suggested("quokka").await),
        (true, 0)
    );
    shop.database
        .execute("update products set title = 'A quokka' where title like '%blouse%'")
        .await;
    until("the new title is suggested, and the old one isn't", async || {
        (suggested("quokka").await == 8 && suggested("blouse%201").await == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn columns_are_counted_without_a_statement() {
    let mut shop = uncached().await;
    responses(&shop).await;
    shop.stop_following_changes().await;
    for path in COUNTED {
        assert_eq!(shop.get(path).await.ok().statements(), 0, "{path}");
    }
}

#[tokio::test]
async fn a_process_that_fell_behind_reloads_and_serves_meanwhile() {
    let shop = uncached().await;
    responses(&shop).await;
    // Bypasses the triggers and then increments the epoch, as a restore does.
    shop.database
        .execute(
            "begin;
             set local session_replication_role = replica;
             update products set active = false where slug like 'product-2%';
             update catalog_epoch set epoch = epoch + 1;
             commit",
        )
        .await;
    assert_catches_up(&shop, "a write that bypassed the triggers").await;
}

#[tokio::test]
async fn facets_are_unavailable_while_columns_cannot_be_loaded() {
    let database = Arc::new(Database::new(Content::Catalogue).await);
    let proxy = PostgresProxy::start(&database);
    let changes = Changes::default()
        .set("--database-url", proxy.url())
        .set("--replica-wait-ms", 100)
        .without_cache();
    proxy.cut();
    let shop = TestShop::on(database, changes).await;
    let response = shop.get("/v1/products/facets").await;
    response.problem(503, "unavailable");
    assert!(response.header("retry-after").is_some());
    proxy.restore();
    until("facets are available again", async || {
        (shop.get("/v1/products/facets").await.status == 200).then_some(())
    })
    .await;
}
