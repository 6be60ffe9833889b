//! Redis is killed, stalled or full, or contains invalid values: responses stay correct, and no request fails.

use ::redis::AsyncCommands;
use serde_json::Value;

use crate::support::catalogue::change_price;
use crate::support::private_redis::PrivateRedis;
use crate::support::shop::{Changes, TestShop};
use crate::support::until;

const PATHS: &[&str] = &[
    "/v1/products?limit=3&include=variants",
    "/v1/products?q=lantern&limit=2",
    "/v1/products/facets",
    "/v1/products/product-1?include=reviews",
    "/v1/products/product-1/reviews",
    "/v1/categories",
    "/v1/search/suggestions?q=na",
];

fn changes(redis: &PrivateRedis) -> Changes {
    // A short timeout, because the tests wait for it. After each failure, the circuit breaker stays open for half a
    // second.
    Changes::default()
        .set("--redis-url", redis.url())
        .set("--redis-timeout-ms", 100)
}

async fn shop_with(redis: &PrivateRedis) -> TestShop {
    TestShop::start_with(changes(redis)).await
}

async fn bodies(shop: &TestShop) -> Vec<Value> {
    let mut bodies = Vec::new();
    for path in PATHS {
        bodies.push(shop.get(path).await.ok().json());
    }
    bodies
}

async fn until_cache_is_used(shop: &TestShop) {
    until("the cache is used again", async || {
        (shop.get("/v1/categories").await.ok().cache() == "hit").then_some(())
    })
    .await;
}

#[tokio::test]
async fn after_a_kill_responses_are_unchanged_and_the_cache_recovers() {
    let mut redis = PrivateRedis::start().await;
    let shop = shop_with(&redis).await;
    let before = bodies(&shop).await;
    until_cache_is_used(&shop).await;
    redis.kill();
    for _ in 0..3 {
        assert_eq!(bodies(&shop).await, before);
        assert_eq!(shop.get("/v1/categories").await.ok().cache(), "unavailable");
    }
    redis.restart().await;
    until_cache_is_used(&shop).await;
    assert_eq!(bodies(&shop).await, before);
}

#[tokio::test]
async fn during_a_stall_responses_are_unchanged_and_few_requests_wait() {
    let redis = PrivateRedis::start().await;
    let shop = shop_with(&redis).await;
    let before = bodies(&shop).await;
    until_cache_is_used(&shop).await;
    redis.pause();
    assert_eq!(bodies(&shop).await, before);
    // The circuit breaker is open, so these requests don't wait for the timeout.
    let mut unavailable = 0;
    for _ in 0..100 {
        unavailable += u32::from(shop.get("/v1/categories").await.ok().cache() == "unavailable");
    }
    assert_eq!(unavailable, 100);
    redis.resume();
    until_cache_is_used(&shop).await;
    assert_eq!(bodies(&shop).await, before);
}

#[tokio::test]
async fn the_shop_starts_and_serves_without_redis() {
    let mut redis = PrivateRedis::start().await;
    redis.kill();
    let shop = TestShop::start_with(changes(&redis).without_cache()).await;
    let uncached = bodies(&shop).await;
    redis.restart().await;
    until_cache_is_used(&shop).await;
    assert_eq!(bodies(&shop).await, uncached);
}

#[tokio::test]
async fn a_change_during_a_stall_is_visible_and_stays_visible() {
    let redis = PrivateRedis::start().await;
    let shop = shop_with(&redis).await;
    let price = async || {
        let response = shop.get("/v1/products/product-1").await.ok();
        (
            response.cache(),
            response.json()["price"]["amount"].as_i64().unwrap(),
        )
    };
    let (_, old) = price().await;
    assert_eq!(price().await, ("hit".to_owned(), old));
    // Redis has the old response, and can't be invalidated.
    redis.pause();
    until("the shop detects the outage", async || {
        (price().await.0 == "unavailable").then_some(())
    })
    .await;
    change_price(&shop.database, "product-1", 77).await;
    assert_eq!(
        price().await,
        ("unavailable".to_owned(), 77),
        "Postgres has the new price"
    );
    redis.resume();
    until("the new price is cached", async || {
        (price().await == ("hit".to_owned(), 77)).then_some(())
    })
    .await;
    for _ in 0..20 {
        assert_eq!(price().await.1, 77);
    }
}

#[tokio::test]
async fn invalid_cache_entries_are_never_served() {
    let redis = PrivateRedis::start().await;
    let shop = shop_with(&redis).await;
    let before = bodies(&shop).await;
    let mut connection = redis.connect().await;
    let keys: Vec<String> = connection.keys(format!("{}*", shop.redis_prefix)).await.unwrap();
    assert_eq!(keys.len(), PATHS.len());
    let invalid_values: [&[u8]; 7] = [
        b"",
        b"invalid",
        b"\n{}",
        b"answer 1\n",
        b"answer 2\n\n{}",
        b"/v1/products\n{\"items\":[],\"next\":null}",
        &[0xff, b'\n', 0xfe],
    ];
    for value in invalid_values {
        for key in &keys {
            let _: () = connection.set(key, value).await.unwrap();
        }
        assert_eq!(bodies(&shop).await, before, "{value:?}");
        // The entry was replaced.
        assert_eq!(shop.get("/v1/categories").await.ok().cache(), "hit");
    }
    // A Redis type that the shop never writes.
    for key in &keys {
        let _: () = connection.del(key).await.unwrap();
        let _: () = connection.rpush(key, "invalid").await.unwrap();
    }
    assert_eq!(bodies(&shop).await, before);
}

#[tokio::test]
async fn responses_are_unchanged_when_redis_is_full() {
    let redis = PrivateRedis::start().await;
    let shop = shop_with(&redis).await;
    let before = bodies(&shop).await;
    let mut connection = redis.connect().await;
    let _: () = ::redis::cmd("FLUSHALL")
        .query_async(&mut connection)
        .await
        .unwrap();
    let _: () = ::redis::cmd("CONFIG")
        .arg(&["SET", "maxmemory", "1"])
        .query_async(&mut connection)
        .await
        .unwrap();
    for _ in 0..2 {
        assert_eq!(bodies(&shop).await, before);
    }
}
