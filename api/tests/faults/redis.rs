//! Redis is killed, paused, or holds nonsense: answers stay right, and no request fails.

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
    // Short, since the tests wait for it; the shop leaves Redis alone for half a second after each failure.
    Changes::default()
        .set("--redis-url", redis.url())
        .set("--redis-timeout-ms", 100)
}

async fn shop_with(redis: &PrivateRedis) -> TestShop {
    TestShop::start_with("optimized", changes(redis)).await
}

async fn bodies(shop: &TestShop) -> Vec<Value> {
    let mut bodies = Vec::new();
    for path in PATHS {
        bodies.push(shop.get(path).await.ok().json());
    }
    bodies
}

async fn until_the_cache_is_used(shop: &TestShop) {
    until("the cache is used again", async || {
        (shop.get("/v1/categories").await.ok().cache() == "hit").then_some(())
    })
    .await;
}

#[tokio::test]
async fn killed_every_answer_is_the_same_and_back_it_is_used_again() {
    let mut redis = PrivateRedis::start().await;
    let shop = shop_with(&redis).await;
    let before = bodies(&shop).await;
    until_the_cache_is_used(&shop).await;
    redis.kill();
    for _ in 0..3 {
        assert_eq!(bodies(&shop).await, before);
        assert_eq!(shop.get("/v1/categories").await.ok().cache(), "unavailable");
    }
    redis.start_again().await;
    until_the_cache_is_used(&shop).await;
    assert_eq!(bodies(&shop).await, before);
}

#[tokio::test]
async fn paused_every_answer_is_the_same_and_only_some_wait_for_it() {
    let redis = PrivateRedis::start().await;
    let shop = shop_with(&redis).await;
    let before = bodies(&shop).await;
    until_the_cache_is_used(&shop).await;
    redis.pause();
    assert_eq!(bodies(&shop).await, before);
    // After one that waited in vain, the next ones don't wait: 100 of them would take ten seconds.
    let mut unavailable = 0;
    for _ in 0..100 {
        unavailable += u32::from(shop.get("/v1/categories").await.ok().cache() == "unavailable");
    }
    assert_eq!(unavailable, 100);
    redis.resume();
    until_the_cache_is_used(&shop).await;
    assert_eq!(bodies(&shop).await, before);
}

#[tokio::test]
async fn away_from_the_start_the_shop_starts_and_serves() {
    let mut redis = PrivateRedis::start().await;
    redis.kill();
    let shop = TestShop::start_with("optimized", changes(&redis).without_a_cache()).await;
    let without = bodies(&shop).await;
    redis.start_again().await;
    until_the_cache_is_used(&shop).await;
    assert_eq!(bodies(&shop).await, without);
}

#[tokio::test]
async fn a_change_that_is_made_while_it_is_away_is_seen_and_stays_seen() {
    let redis = PrivateRedis::start().await;
    let shop = shop_with(&redis).await;
    let price = async || {
        let answer = shop.get("/v1/products/product-1").await.ok();
        (answer.cache(), answer.json()["price"]["amount"].as_i64().unwrap())
    };
    let (_, old) = price().await;
    assert_eq!(price().await, ("hit".to_owned(), old));
    // It keeps the old answer, and can't be told.
    redis.pause();
    until("the shop notices", async || {
        (price().await.0 == "unavailable").then_some(())
    })
    .await;
    change_price(&shop.database, "product-1", 77).await;
    assert_eq!(
        price().await,
        ("unavailable".to_owned(), 77),
        "Postgres has it at once"
    );
    redis.resume();
    until("the new price is kept", async || {
        (price().await == ("hit".to_owned(), 77)).then_some(())
    })
    .await;
    for _ in 0..20 {
        assert_eq!(price().await.1, 77);
    }
}

#[tokio::test]
async fn nonsense_in_the_cache_is_never_an_answer() {
    let redis = PrivateRedis::start().await;
    let shop = shop_with(&redis).await;
    let before = bodies(&shop).await;
    let mut connection = redis.connect().await;
    let keys: Vec<String> = connection.keys(format!("{}*", shop.redis_prefix)).await.unwrap();
    assert_eq!(keys.len(), PATHS.len());
    let nonsense: [&[u8]; 7] = [
        b"",
        b"nonsense",
        b"\n{}",
        b"answer 1\n",
        b"answer 2\n\n{}",
        b"/v1/products\n{\"items\":[],\"next\":null}",
        &[0xff, b'\n', 0xfe],
    ];
    for value in nonsense {
        for key in &keys {
            let _: () = connection.set(key, value).await.unwrap();
        }
        assert_eq!(bodies(&shop).await, before, "{value:?}");
        // It was replaced.
        assert_eq!(shop.get("/v1/categories").await.ok().cache(), "hit");
    }
    // Another type than the shop ever writes.
    for key in &keys {
        let _: () = connection.del(key).await.unwrap();
        let _: () = connection.rpush(key, "nonsense").await.unwrap();
    }
    assert_eq!(bodies(&shop).await, before);
}

#[tokio::test]
async fn full_it_keeps_nothing_and_nobody_notices() {
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
