//! What sells out or comes back changes cached answers, in every process, and yet doesn't empty the caches all the time.

use serde_json::Value;
use storefront::variants::Variants;

use super::cancelling::cancel;
use super::shopping::{Buyer, Shop, expect};
use crate::support::arms::arms_of;
use crate::support::process::{self, Process};
use crate::support::shop::Changes;
use crate::support::until;

const LIST: &str = "/v1/products?brand=brand-2&sort=price_asc&limit=100&include=variants";
const SOLD_OUT_ONLY: &str = "/v1/products?in_stock=false&limit=100&include=variants";
const PRODUCT: &str = "/v1/products/product-1?include=variants";

/// What is said of `product-1`: whether it is in stock, and its first variant.
fn said(product: &Value) -> (bool, bool) {
    (
        product["in_stock"].as_bool().unwrap(),
        product["variants"][0]["available"].as_bool().unwrap(),
    )
}

/// `product-1` has three units of its first variant, and no other. Lists follow its stock within a second.
async fn shop(variants: Variants) -> Shop {
    let changes = Changes::default().set("--cache-list-staleness-ms", 1_000);
    let shop = Shop::with(variants, changes).await;
    shop.database
        .execute("update variants set stock_quantity = 0 where sku = 'SKU-1-1'")
        .await;
    shop.set_stock("SKU-1-0", 3).await;
    shop
}

/// Changes of stock that the feed tells of.
async fn stock_changes(shop: &Shop) -> i64 {
    shop.database
        .number("select count(*) from catalog_changes where kind = 'stock'")
        .await
}

#[tokio::test]
async fn a_sale_of_the_last_unit_and_its_return_are_seen_in_every_process_that_shares_the_cache() {
    let here = shop("optimized".parse().unwrap()).await;
    let mut settings = process::settings(&here.database);
    settings.push(("BACKSTOCK_CACHE_LIST_STALENESS_MS", "1000".to_owned()));
    for (name, value) in &mut settings {
        if *name == "BACKSTOCK_REDIS_PREFIX" {
            value.clone_from(&here.redis_prefix);
        }
    }
    let elsewhere = Process::serve(&settings).await;
    let seen_by_all = async |expected: bool| {
        until("lists and page say what is there", async || {
            for path in [LIST, SOLD_OUT_ONLY] {
                for answer in [here.get(path).await, elsewhere.get(path).await] {
                    let listed = answer.ok().items();
                    let listed = listed.iter().find(|product| product["slug"] == "product-1");
                    match listed {
                        Some(product) if said(product) != (expected, expected) => return None,
                        None if path == LIST || !expected => return None,
                        _ => {}
                    }
                }
            }
            for answer in [here.get(PRODUCT).await, elsewhere.get(PRODUCT).await] {
                if said(&answer.ok().json()) != (expected, expected) {
                    return None;
                }
            }
            Some(())
        })
        .await;
    };
    let buyer = here.customer().await;
    seen_by_all(true).await;
    for path in [LIST, SOLD_OUT_ONLY, PRODUCT] {
        until("it is kept", async || {
            (elsewhere.get(path).await.ok().cache() == "hit").then_some(())
        })
        .await;
    }
    let cart = here.cart(&buyer, &[("SKU-1-0", 3)]).await;
    let placed = expect(here.buy(&buyer, cart).await, 201).json();
    seen_by_all(false).await;
    cancel(&here, &buyer, &placed).await.ok();
    seen_by_all(true).await;
}

#[tokio::test]
async fn a_sale_that_leaves_stock_behind_tells_of_nothing_and_the_last_costs_no_statement_more() {
    for variants in arms_of("stock") {
        let shop = shop(variants).await;
        let before = stock_changes(&shop).await;
        let mut statements = Vec::new();
        for units in [1, 1, 1] {
            let cart = shop.cart(&Buyer::Guest, &[("SKU-1-0", units)]).await;
            let answer = expect(shop.buy(&Buyer::Guest, cart).await, 201);
            statements.push(answer.statements());
            let is_last = shop.stock("SKU-1-0").await == 0;
            let told = stock_changes(&shop).await - before;
            assert_eq!(told, i64::from(is_last), "{variants}");
        }
        assert_eq!(statements, [statements[0]; 3], "{variants}");
    }
}
