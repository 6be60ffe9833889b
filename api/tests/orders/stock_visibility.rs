//! Selling out and restocking invalidate cached responses in every process; other sales don't.

use serde_json::Value;

use super::cancellation::cancel;
use super::shop::{Buyer, Shop, expect};
use crate::support::process::{self, Process};
use crate::support::shop::Changes;
use crate::support::until;

const LIST: &str = "/v1/products?brand=brand-2&sort=price_asc&limit=100&include=variants";
const SOLD_OUT_ONLY: &str = "/v1/products?in_stock=false&limit=100&include=variants";
const PRODUCT: &str = "/v1/products/product-1?include=variants";

/// Whether `product-1` and its first variant are in stock.
fn availability(product: &Value) -> (bool, bool) {
    (
        product["in_stock"].as_bool().unwrap(),
        product["variants"][0]["available"].as_bool().unwrap(),
    )
}

/// `product-1` has three units of its first variant and no others. Lists show its stock within a second.
async fn shop() -> Shop {
    let changes = Changes::default().set("--cache-list-staleness-ms", 1_000);
    let shop = Shop::with(changes).await;
    shop.database
        .execute("update variants set stock_quantity = 0 where sku = 'SKU-1-1'")
        .await;
    shop.set_stock("SKU-1-0", 3).await;
    shop
}

/// The number of stock changes in the change feed.
async fn stock_changes(shop: &Shop) -> i64 {
    shop.database
        .number("select count(*) from catalog_changes where kind = 'stock'")
        .await
}

#[tokio::test]
async fn a_sell_out_and_its_cancellation_are_visible_in_every_process_that_shares_the_cache() {
    let this_process = shop().await;
    let mut settings = process::settings(&this_process.database);
    settings.push(("BACKSTOCK_CACHE_LIST_STALENESS_MS", "1000".to_owned()));
    for (name, value) in &mut settings {
        if *name == "BACKSTOCK_REDIS_PREFIX" {
            value.clone_from(&this_process.redis_prefix);
        }
    }
    let other_process = Process::serve(&settings).await;
    let until_visible = async |expected: bool| {
        until("lists and product page show the stock", async || {
            for path in [LIST, SOLD_OUT_ONLY] {
                for response in [this_process.get(path).await, other_process.get(path).await] {
                    let listed = response.ok().items();
                    let listed = listed.iter().find(|product| product["slug"] == "product-1");
                    match listed {
                        Some(product) if availability(product) != (expected, expected) => return None,
                        None if path == LIST || !expected => return None,
                        _ => {}
                    }
                }
            }
            for response in [this_process.get(PRODUCT).await, other_process.get(PRODUCT).await] {
                if availability(&response.ok().json()) != (expected, expected) {
                    return None;
                }
            }
            Some(())
        })
        .await;
    };
    let buyer = this_process.customer().await;
    until_visible(true).await;
    for path in [LIST, SOLD_OUT_ONLY, PRODUCT] {
        until("the response is cached", async || {
            (other_process.get(path).await.ok().cache() == "hit").then_some(())
        })
        .await;
    }
    let cart = this_process.cart(&buyer, &[("SKU-1-0", 3)]).await;
    let placed = expect(this_process.buy(&buyer, cart).await, 201).json();
    until_visible(false).await;
    cancel(&this_process, &buyer, &placed).await.ok();
    until_visible(true).await;
}

#[tokio::test]
async fn only_the_last_unit_is_published() {
    let [first, second, last] = statements_until_sold_out().await;
    // An order in one statement can't wait for the product's row, which the last unit's trigger locks.
    assert_eq!((second, last), (first, 7));
}

/// The statements of orders of one unit. Only that of the last unit is published.
pub async fn statements_until_sold_out() -> [u64; 3] {
    let shop = shop().await;
    let before = stock_changes(&shop).await;
    let mut statements = [0; 3];
    for statements in &mut statements {
        let cart = shop.cart(&Buyer::Guest, &[("SKU-1-0", 1)]).await;
        *statements = expect(shop.buy(&Buyer::Guest, cart).await, 201).statements();
        let is_last = shop.stock("SKU-1-0").await == 0;
        let published = stock_changes(&shop).await - before;
        assert_eq!(published, i64::from(is_last));
    }
    statements
}
