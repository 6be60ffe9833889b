//! A change is seen by every reader within a second, in every process, also when Redis was away while it was made.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{Office, eur};
use crate::support::private_redis::PrivateRedis;
use crate::support::process::{self, Process};
use crate::support::shop::{Changes, TestShop};
use crate::support::until;

const PRODUCT: &str = "/v1/products/product-3";

/// The promise is a second. One change may meet a busy machine, so the median of five counts.
#[tokio::test]
async fn a_change_is_seen_within_a_second_in_every_process_that_shares_the_cache() {
    let here = TestShop::start("optimized").await;
    let mut settings = process::settings(&here.database);
    for (name, value) in &mut settings {
        if *name == "BACKSTOCK_REDIS_PREFIX" {
            value.clone_from(&here.redis_prefix);
        }
    }
    let elsewhere = Process::serve(&settings).await;
    let office = Office::of(&here).await;
    let list = "/v1/products?sort=price_asc&limit=1";
    let mut took = Vec::new();
    for price in (1..=5).rev() {
        // Both keep it.
        for path in [PRODUCT, list] {
            here.get(path).await.ok();
            elsewhere.get(path).await.ok();
        }
        office
            .change("product-3", &json!({ "price": eur(price) }))
            .await
            .ok();
        let changed = Instant::now();
        until("the price is seen here and elsewhere", async || {
            let seen = [
                here.get(PRODUCT).await.ok().json(),
                elsewhere.get(PRODUCT).await.ok().json(),
                here.get(list).await.ok().items().remove(0),
                elsewhere.get(list).await.ok().items().remove(0),
            ];
            seen.iter()
                .all(|product| product["price"] == eur(price))
                .then_some(())
        })
        .await;
        took.push(changed.elapsed());
    }
    took.sort();
    assert!(took[2] < Duration::from_secs(1), "{took:?}");
}

async fn shop_with(redis: &PrivateRedis) -> TestShop {
    // Short, since the tests wait for it.
    let changes = Changes::default()
        .set("--redis-url", redis.url())
        .set("--redis-timeout-ms", 100);
    TestShop::start_with("optimized", changes).await
}

#[tokio::test]
async fn a_change_that_is_made_while_redis_does_not_answer_is_seen_and_stays_seen() {
    let redis = PrivateRedis::start().await;
    let shop = shop_with(&redis).await;
    let office = Office::of(&shop).await;
    let seen = async || {
        let answer = shop.get(PRODUCT).await.ok();
        (answer.cache(), answer.json()["price"]["amount"].as_i64().unwrap())
    };
    let (_, old) = seen().await;
    assert_eq!(seen().await, ("hit".to_owned(), old));
    // It keeps the old answer, and can't be told.
    redis.pause();
    until("the shop notices", async || {
        (seen().await.0 == "unavailable").then_some(())
    })
    .await;
    office
        .change("product-3", &json!({ "price": eur(77) }))
        .await
        .ok();
    assert_eq!(
        seen().await,
        ("unavailable".to_owned(), 77),
        "Postgres has it at once"
    );
    redis.resume();
    until("the new price is kept", async || {
        (seen().await == ("hit".to_owned(), 77)).then_some(())
    })
    .await;
    for _ in 0..20 {
        assert_eq!(seen().await.1, 77);
    }
}

#[tokio::test]
async fn a_change_that_is_made_while_redis_is_dead_is_made() {
    let mut redis = PrivateRedis::start().await;
    let shop = shop_with(&redis).await;
    let office = Office::of(&shop).await;
    shop.get(PRODUCT).await.ok();
    redis.kill();
    office
        .change("product-3", &json!({ "price": eur(78) }))
        .await
        .ok();
    office.set_stock("SKU-3-0", 0).await.ok();
    let seen = async || shop.get("/v1/products/product-3?include=variants").await.ok();
    let product = seen().await.json();
    assert_eq!(
        (&product["price"], &product["in_stock"]),
        (&eur(78), &json!(false))
    );
    redis.start_again().await;
    until("Redis is used again", async || {
        (seen().await.cache() == "hit").then_some(())
    })
    .await;
    assert_eq!(seen().await.json(), product);
}
