//! The cache: its entries and their lifetime, and the visibility of changes. `faults/redis.rs` tests outages.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use redis::AsyncCommands;

use crate::support::catalogue::change_price;
use crate::support::servers::servers;
use crate::support::shop::{Changes, TestShop};
use crate::support::until;

pub const PATHS: &[&str] = &[
    "/v1/products?limit=2",
    "/v1/products?limit=2&include=variants,images",
    "/v1/products?q=lantern",
    "/v1/products/facets?category=home",
    "/v1/products/product-1?include=reviews",
    "/v1/products/product-1/reviews?limit=2",
    "/v1/categories",
    "/v1/search/suggestions?q=na",
];

/// Whether a cache miss queries Postgres. Facets and categories don't, because they are counted from columns in
/// the process.
pub fn queries_postgres(path: &str) -> bool {
    !path.starts_with("/v1/products/facets") && path != "/v1/categories"
}

/// The cache entries of the shop with their remaining lifetime in milliseconds.
pub async fn cached(shop: &TestShop) -> Vec<(String, i64)> {
    let client = redis::Client::open(servers().redis_url.as_str()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let keys: Vec<String> = connection.keys(format!("{}*", shop.redis_prefix)).await.unwrap();
    let mut cached = Vec::new();
    for key in keys {
        let left_ms = connection.pttl(&key).await.unwrap();
        cached.push((key[shop.redis_prefix.len()..].to_owned(), left_ms));
    }
    cached
}

#[tokio::test]
async fn a_second_request_takes_no_statement_and_gets_the_same_response() {
    let shop = TestShop::start().await;
    for path in PATHS {
        let first = shop.get(path).await.ok();
        assert_eq!(
            (first.cache().as_str(), first.statements() > 0),
            ("miss", queries_postgres(path)),
            "{path}"
        );
        let second = shop.get(path).await.ok();
        assert_eq!(
            (second.cache().as_str(), second.statements()),
            ("hit", 0),
            "{path}"
        );
        assert_eq!(second.body, first.body, "{path}");
        for header in ["content-type", "link"] {
            assert_eq!(second.header(header), first.header(header), "{path}");
        }
    }
}

#[tokio::test]
async fn equivalent_requests_share_a_cache_entry() {
    let shop = TestShop::start().await;
    for (one, other) in [
        (
            "/v1/products?limit=5&sort=newest",
            "/v1/products?sort=newest&limit=5",
        ),
        ("/v1/products", "/v1/products?sort=newest&limit=20"),
        (
            "/v1/products?include=images,variants",
            "/v1/products?include=variants,images",
        ),
        ("/v1/products?q=red%20coat", "/v1/products?q=red+coat"),
        (
            "/v1/products/product-1?include=reviews,images",
            "/v1/products/product-1?include=images,reviews",
        ),
    ] {
        shop.get(one).await.ok();
        assert_eq!(shop.get(other).await.ok().cache(), "hit", "{other}");
    }
}

#[tokio::test]
async fn different_requests_share_no_cache_entry() {
    let shop = TestShop::start().await;
    let mut paths: Vec<String> = PATHS.iter().map(|path| (*path).to_owned()).collect();
    for more in [
        "/v1/products?limit=3",
        "/v1/products?limit=2&include=variants",
        "/v1/products?limit=2&fields=slug",
        "/v1/products?limit=2&sort=rating",
        "/v1/products?limit=2&in_stock=true",
        "/v1/products?limit=2&q=true",
        "/v1/products?limit=2&brand=true",
        "/v1/products?limit=2&category=a%26brand%3Db",
        "/v1/products?limit=2&category=a&brand=b",
        "/v1/products/product-1",
        "/v1/products/product-1?include=variants",
        "/v1/products/product-1/reviews?limit=3",
    ] {
        paths.push(more.to_owned());
    }
    let next = shop.get("/v1/products?limit=2").await.next().unwrap();
    paths.push(next);
    for path in &paths {
        let response = shop.get(path).await.ok();
        // The first path is cached already, by the request for `next`.
        assert!(
            response.cache() == "miss" || path == "/v1/products?limit=2",
            "{path}"
        );
    }
    let keys: BTreeSet<String> = cached(&shop).await.into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys.len(), paths.len(), "{keys:#?}");
}

#[tokio::test]
async fn each_class_has_its_own_ttl_and_problems_are_not_cached() {
    let changes = Changes::default()
        .set("--cache-ttl-listings-s", 1_000)
        .set("--cache-ttl-products-s", 2_000)
        .set("--cache-ttl-categories-s", 3_000);
    let shop = TestShop::start_with(changes).await;
    shop.get("/v1/products/no-such-product")
        .await
        .problem(404, "not_found");
    shop.get("/v1/products?limit=0")
        .await
        .problem(400, "invalid_parameter");
    assert!(cached(&shop).await.is_empty());
    for path in PATHS {
        shop.get(path).await.ok();
    }
    let cached = cached(&shop).await;
    assert_eq!(cached.len(), PATHS.len());
    for (key, left_ms) in cached {
        let seconds = match key {
            _ if key.ends_with("/v1/categories") => 3_000,
            _ if key.contains("/v1/products/product-1?") => 2_000,
            _ => 1_000,
        };
        // The TTL is jittered by ±10 %; a minute is for the test itself.
        let allowed = seconds * 900 - 60_000..=seconds * 1_100;
        assert!(allowed.contains(&left_ms), "{key} expires in {left_ms} ms");
    }
}

#[tokio::test]
async fn a_change_is_visible_in_every_process_that_shares_the_cache() {
    let one = TestShop::start().await;
    let shared = Changes::default().set("--redis-prefix", &one.redis_prefix);
    let other = TestShop::on(one.database.clone(), shared).await;
    // Responses are stale for a process if they were made before its first read of the change feed.
    until("a response is cached", async || {
        let response = one.get("/v1/products/product-2").await.ok();
        (response.cache() == "hit").then_some(())
    })
    .await;
    change_price(&one.database, "product-2", 66).await;
    until(
        "the first process has read the changes since the other started",
        async || {
            let product = one.get("/v1/products/product-2").await.ok().json();
            (product["price"]["amount"] == 66).then_some(())
        },
    )
    .await;
    let paths = [
        "/v1/products/product-1",
        "/v1/products?limit=100&brand=brand-2",
        "/v1/products/facets?max_price=100",
    ];
    let mut before = Vec::new();
    for path in paths {
        before.push(one.get(path).await.ok().json());
        assert_eq!(other.get(path).await.ok().cache(), "hit", "{path}");
    }
    change_price(&one.database, "product-1", 77).await;
    for (path, before) in paths.into_iter().zip(before) {
        for shop in [&one, &other] {
            until("the change is visible", async || {
                (shop.get(path).await.ok().json() != before).then_some(())
            })
            .await;
        }
        assert_eq!(one.get(path).await.ok().json(), other.get(path).await.ok().json());
    }
    assert_eq!(other.get(paths[0]).await.ok().json()["price"]["amount"], 77);
}

/// The limit is a second. The median of five changes tolerates one on a busy machine.
#[tokio::test]
async fn a_change_is_visible_within_a_second() {
    const PATH: &str = "/v1/products/product-1";
    let shop = TestShop::start().await;
    let mut durations = Vec::new();
    for price in 101..=105 {
        shop.get(PATH).await.ok();
        change_price(&shop.database, "product-1", price).await;
        let changed_at = Instant::now();
        until("the change is visible", async || {
            (shop.get(PATH).await.ok().json()["price"]["amount"] == price).then_some(())
        })
        .await;
        durations.push(changed_at.elapsed());
    }
    durations.sort();
    assert!(durations[2] < Duration::from_secs(1), "{durations:?}");
}
