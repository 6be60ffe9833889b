//! A change becomes visible within a second in every process, even if Redis was down when it was made.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{AdminClient, eur};
use crate::support::private_redis::PrivateRedis;
use crate::support::process::{self, Process};
use crate::support::shop::{Changes, TestShop};
use crate::support::until;

const PRODUCT: &str = "/v1/products/product-3";

/// The limit is a second. The median of five changes tolerates one on a busy machine.
#[tokio::test]
async fn a_change_is_visible_within_a_second_in_every_process_that_shares_the_cache() {
    let this_process = TestShop::start().await;
    let mut settings = process::settings(&this_process.database);
    for (name, value) in &mut settings {
        if *name == "BACKSTOCK_REDIS_PREFIX" {
            value.clone_from(&this_process.redis_prefix);
        }
    }
    let other_process = Process::serve(&settings).await;
    let admin = AdminClient::new(&this_process).await;
    let list = "/v1/products?sort=price_asc&limit=1";
    let mut durations = Vec::new();
    for price in (1..=5).rev() {
        // Both processes cache it.
        for path in [PRODUCT, list] {
            this_process.get(path).await.ok();
            other_process.get(path).await.ok();
        }
        admin
            .change("product-3", &json!({ "price": eur(price) }))
            .await
            .ok();
        let changed_at = Instant::now();
        until("both processes return the new price", async || {
            let seen = [
                this_process.get(PRODUCT).await.ok().json(),
                other_process.get(PRODUCT).await.ok().json(),
                this_process.get(list).await.ok().items().remove(0),
                other_process.get(list).await.ok().items().remove(0),
            ];
            seen.iter()
                .all(|product| product["price"] == eur(price))
                .then_some(())
        })
        .await;
        durations.push(changed_at.elapsed());
    }
    durations.sort();
    assert!(durations[2] < Duration::from_secs(1), "{durations:?}");
}

async fn shop_with(redis: &PrivateRedis) -> TestShop {
    // Short, because the tests wait for it.
    let changes = Changes::default()
        .set("--redis-url", redis.url())
        .set("--redis-timeout-ms", 100);
    TestShop::start_with(changes).await
}

#[tokio::test]
async fn a_change_while_redis_is_stalled_is_visible_and_stays_visible() {
    let redis = PrivateRedis::start().await;
    let shop = shop_with(&redis).await;
    let admin = AdminClient::new(&shop).await;
    let seen = async || {
        let response = shop.get(PRODUCT).await.ok();
        (
            response.cache(),
            response.json()["price"]["amount"].as_i64().unwrap(),
        )
    };
    let (_, old) = seen().await;
    assert_eq!(seen().await, ("hit".to_owned(), old));
    // Redis has the old response, and can't be invalidated.
    redis.pause();
    until("the shop detects the outage", async || {
        (seen().await.0 == "unavailable").then_some(())
    })
    .await;
    admin.change("product-3", &json!({ "price": eur(77) })).await.ok();
    assert_eq!(
        seen().await,
        ("unavailable".to_owned(), 77),
        "Postgres has the new price"
    );
    redis.resume();
    until("the new price is cached", async || {
        (seen().await == ("hit".to_owned(), 77)).then_some(())
    })
    .await;
    for _ in 0..20 {
        assert_eq!(seen().await.1, 77);
    }
}

#[tokio::test]
async fn a_change_succeeds_while_redis_is_down() {
    let mut redis = PrivateRedis::start().await;
    let shop = shop_with(&redis).await;
    let admin = AdminClient::new(&shop).await;
    shop.get(PRODUCT).await.ok();
    redis.kill();
    admin.change("product-3", &json!({ "price": eur(78) })).await.ok();
    admin.set_stock("SKU-3-0", 0).await.ok();
    let seen = async || shop.get("/v1/products/product-3?include=variants").await.ok();
    let product = seen().await.json();
    assert_eq!(
        (&product["price"], &product["in_stock"]),
        (&eur(78), &json!(false))
    );
    redis.restart().await;
    until("Redis is used again", async || {
        (seen().await.cache() == "hit").then_some(())
    })
    .await;
    assert_eq!(seen().await.json(), product);
}
