//! How `cursor` differs from `offset`: what it costs at depth, and what happens when products come meanwhile.

use std::collections::HashSet;

use serde_json::Value;

use crate::support::arms::{arm, lesson};
use crate::support::catalogue::add_product;
use crate::support::shop::{Changes, TestShop};
use crate::support::wire::{Wire, tell_plans};

fn under(name: &str) -> String {
    arm(lesson("pagination"), name).to_string()
}

/// The ids of a walk over the newest products, one of which is added after each of the first pages.
async fn walk_while_products_are_added(shop: &TestShop) -> Vec<Value> {
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
#[cfg(feature = "baselines")]
async fn with_offset_a_product_that_is_added_makes_another_appear_twice() {
    let shop = TestShop::start(&under("offset")).await;
    let visited = walk_while_products_are_added(&shop).await;
    let distinct: HashSet<String> = visited.iter().map(Value::to_string).collect();
    assert_eq!(visited.len() - distinct.len(), 3, "one for each that was added");
}

#[tokio::test]
async fn with_a_cursor_each_product_appears_once_whatever_is_added() {
    let shop = TestShop::start(&under("cursor")).await;
    let before = shop
        .database
        .number("select count(*) from products where active")
        .await;
    let visited = walk_while_products_are_added(&shop).await;
    let distinct: HashSet<String> = visited.iter().map(Value::to_string).collect();
    assert_eq!(visited.len(), distinct.len());
    assert_eq!(
        i64::try_from(visited.len()).unwrap(),
        before,
        "all that were there, and no other"
    );
    assert_eq!(
        shop.database
            .number("select count(*) from products where active")
            .await,
        before + 3
    );
}

#[tokio::test]
async fn with_a_cursor_what_is_removed_hides_no_other() {
    let shop = TestShop::start(&under("cursor")).await;
    let expected: Vec<Value> = shop
        .follow("/v1/products?limit=20")
        .await
        .iter()
        .flat_map(|page| page.each("id"))
        .collect();
    let first = shop.get("/v1/products?limit=10").await.ok();
    // The very product that the cursor points at, and the one before it.
    for id in &first.each("id")[8..] {
        let id = id.as_str().unwrap();
        shop.database
            .execute(&format!("delete from products where id = '{id}'"))
            .await;
    }
    let second = shop.get(&first.next().unwrap()).await.ok();
    assert_eq!(second.each("id"), expected[10..20]);
}

/// The shared buffers that each page of the list touched.
async fn buffers_by_page(variants: &str) -> Vec<f64> {
    let database_of = TestShop::start(variants).await;
    tell_plans(&database_of.database).await;
    let wire = Wire::to(&database_of.database).await;
    let changes = Changes::default()
        .set("--database-url", wire.url())
        .set("--database-connections", 1);
    let mut shop = TestShop::on(database_of.database.clone(), database_of.variants, changes).await;
    shop.stop_following_the_epoch().await;
    // The first statements of a connection also read the system's tables, and are planned anew five times.
    for _ in 0..8 {
        shop.follow("/v1/products?limit=13&sort=rating").await;
    }
    // Not answered from the cache, in the build that has no other.
    wire.take_plans();
    let pages = shop.follow("/v1/products?limit=10&sort=rating").await;
    let plans = wire.take_plans();
    assert_eq!(plans.len(), pages.len(), "one statement a page");
    let count = |plan: &Value, what: &str| plan["Plan"][what].as_f64().unwrap();
    plans
        .iter()
        .map(|plan| count(plan, "Shared Hit Blocks") + count(plan, "Shared Read Blocks"))
        .collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[tokio::test]
async fn with_a_cursor_a_page_costs_the_same_at_any_depth() {
    let buffers = buffers_by_page(&under("cursor")).await;
    // The first page has no key to seek, the last is not full.
    let pages = &buffers[1..buffers.len() - 1];
    let (first, last) = (mean(&pages[..10]), mean(&pages[pages.len() - 10..]));
    assert!(
        (first - last).abs() <= 2.0,
        "{first} at first, {last} at last: {buffers:?}"
    );
}

#[tokio::test]
#[cfg(feature = "baselines")]
async fn with_offset_a_page_costs_more_the_deeper_it_is() {
    let buffers = buffers_by_page(&under("offset")).await;
    let (first, last) = (mean(&buffers[..5]), mean(&buffers[buffers.len() - 5..]));
    assert!(
        last > 3.0 * first,
        "{first} at first, {last} at last: {buffers:?}"
    );
}
