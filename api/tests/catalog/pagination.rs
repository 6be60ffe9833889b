//! Keyset pagination: the cost of a page at depth, and its stability while products are added and deleted.

use std::collections::HashSet;

use serde_json::Value;

use crate::support::catalogue::add_product;
use crate::support::postgres_proxy::{PostgresProxy, log_plans};
use crate::support::shop::{Changes, TestShop};

async fn uncached() -> TestShop {
    TestShop::start_with(Changes::default().without_cache()).await
}

/// The ids of a traversal of the newest products, with a product added after each of the first three pages.
pub async fn traverse_while_products_are_added(shop: &TestShop) -> Vec<Value> {
    let mut page = shop.get("/v1/products?limit=50").await.ok();
    let mut visited = page.each("id");
    let mut number = 0;
    while let Some(next) = page.next() {
        if number < 3 {
            number += 1;
            add_product(&shop.database, &format!("new-{number}"), number).await;
        }
        page = shop.get(&next).await.ok();
        visited.extend(page.each("id"));
    }
    visited
}

#[tokio::test]
async fn each_product_appears_once_while_others_are_added() {
    let shop = uncached().await;
    let before = shop
        .database
        .number("select count(*) from products where active")
        .await;
    let visited = traverse_while_products_are_added(&shop).await;
    let distinct: HashSet<String> = visited.iter().map(Value::to_string).collect();
    assert_eq!(visited.len(), distinct.len());
    assert_eq!(
        i64::try_from(visited.len()).unwrap(),
        before,
        "the initial products, and no others"
    );
    assert_eq!(
        shop.database
            .number("select count(*) from products where active")
            .await,
        before + 3
    );
}

#[tokio::test]
async fn deleted_products_hide_no_others() {
    let shop = uncached().await;
    let expected: Vec<Value> = shop
        .follow("/v1/products?limit=20")
        .await
        .iter()
        .flat_map(|page| page.each("id"))
        .collect();
    let first = shop.get("/v1/products?limit=10").await.ok();
    // The product that the cursor points to, and the one before it.
    for id in &first.each("id")[8..] {
        let id = id.as_str().unwrap();
        shop.database
            .execute(&format!("delete from products where id = '{id}'"))
            .await;
    }
    let second = shop.get(&first.next().unwrap()).await.ok();
    assert_eq!(second.each("id"), expected[10..20]);
}

/// The shared buffers that each page of the list reads.
pub async fn buffers_by_page() -> Vec<f64> {
    let own = TestShop::start().await;
    log_plans(&own.database).await;
    let proxy = PostgresProxy::start(&own.database);
    let changes = Changes::default()
        .set("--database-url", proxy.url())
        .set("--database-connections", 1)
        .without_cache();
    let mut shop = TestShop::on(own.database.clone(), changes).await;
    shop.stop_following_changes().await;
    // The first statements of a connection also read system tables, and are planned again five times.
    for _ in 0..8 {
        shop.follow("/v1/products?limit=13&sort=rating").await;
    }
    proxy.take_plans();
    let pages = shop.follow("/v1/products?limit=10&sort=rating").await;
    let plans = proxy.take_plans();
    assert_eq!(plans.len(), pages.len(), "one statement per page");
    let count = |plan: &Value, what: &str| plan["Plan"][what].as_f64().unwrap();
    plans
        .iter()
        .map(|plan| count(plan, "Shared Hit Blocks") + count(plan, "Shared Read Blocks"))
        .collect()
}

pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[tokio::test]
async fn the_cost_of_a_page_does_not_depend_on_its_depth() {
    let buffers = buffers_by_page().await;
    // The first page has no key to seek, and the last isn't full.
    let pages = &buffers[1..buffers.len() - 1];
    let (first, last) = (mean(&pages[..10]), mean(&pages[pages.len() - 10..]));
    assert!(
        (first - last).abs() <= 2.0,
        "first pages: {first}, last pages: {last}: {buffers:?}"
    );
}
