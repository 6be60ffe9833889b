//! The precision of invalidation: a change invalidates the responses that show it, and no others. `cache.rs`
//! and `admin/visibility.rs` test that every process sees a change.

use redis::AsyncCommands;
use serde_json::Value;

use crate::support::catalogue::change_price;
use crate::support::private_redis::PrivateRedis;
use crate::support::servers::servers;
use crate::support::shop::{Changes, TestShop};
use crate::support::until;

/// Responses that show only `product-1`.
const PRODUCT_PATHS: [&str; 2] = [
    "/v1/products/product-1?include=variants,reviews",
    "/v1/products/product-1/reviews?limit=2",
];

/// A list that shows `product-1`.
const LIST_PATH: &str = "/v1/products?brand=brand-2&limit=100&include=variants";

/// Responses that don't show `product-1`.
const OTHER_PATHS: [&str; 7] = [
    "/v1/products?limit=2&brand=brand-3",
    "/v1/products?limit=2&brand=brand-3&sort=rating",
    "/v1/products/facets?category=home",
    "/v1/products/product-2?include=reviews",
    "/v1/products/product-2/reviews?limit=2",
    "/v1/categories",
    "/v1/search/suggestions?q=na",
];

fn review(slug: &str) -> String {
    format!(
        "insert into reviews (id, product_id, rating, author_name, body)
         select gen_random_uuid(), id, 5, 'A', 'B' from products where slug = '{slug}'"
    )
}

async fn caches(shop: &TestShop, paths: &[&str]) -> Vec<String> {
    let mut caches = Vec::new();
    for path in paths {
        caches.push(shop.get(path).await.ok().cache());
    }
    caches
}

async fn fill(shop: &TestShop, paths: &[&str]) {
    caches(shop, paths).await;
    assert_eq!(caches(shop, paths).await, vec!["hit"; paths.len()]);
}

async fn until_invalidated(shop: &TestShop, path: &str) {
    until("the response is invalidated", async || {
        (shop.get(path).await.ok().cache() == "miss").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_review_invalidates_only_the_responses_of_its_product() {
    let shop = TestShop::start().await;
    let paths = [&PRODUCT_PATHS[..], &OTHER_PATHS, &[LIST_PATH]].concat();
    fill(&shop, &paths).await;
    shop.database.execute(&review("product-1")).await;
    until_invalidated(&shop, PRODUCT_PATHS[0]).await;
    assert_eq!(shop.get(PRODUCT_PATHS[1]).await.ok().cache(), "miss");
    assert_eq!(caches(&shop, &OTHER_PATHS).await, vec!["hit"; OTHER_PATHS.len()]);
    // The list may be stale for a moment, so its old rating is allowed.
    assert_eq!(shop.get(LIST_PATH).await.ok().cache(), "hit");
}

#[tokio::test]
async fn a_hundred_reviews_and_sell_outs_invalidate_no_other_responses() {
    let shop = TestShop::start().await;
    fill(&shop, &OTHER_PATHS).await;
    fill(&shop, &PRODUCT_PATHS).await;
    for number in 101..201 {
        let slug = format!("product-{number}");
        let sell_out = format!(
            "update variants set stock_quantity = case stock_quantity when 0 then 1 else 0 end
             where product_id = (select id from products where slug = '{slug}')"
        );
        shop.database
            .execute(&format!("{}; {sell_out}", review(&slug)))
            .await;
    }
    // This is the last change. Once it is visible, the others are too.
    shop.database.execute(&review("product-1")).await;
    until_invalidated(&shop, PRODUCT_PATHS[0]).await;
    assert_eq!(caches(&shop, &OTHER_PATHS).await, vec!["hit"; OTHER_PATHS.len()]);
}

#[tokio::test]
async fn lists_show_stock_and_ratings_within_the_configured_staleness() {
    let changes = Changes::default().set("--cache-list-staleness-ms", 600);
    let shop = TestShop::start_with(changes).await;
    let sold_out_list = "/v1/products?in_stock=false&limit=100&brand=brand-2";
    let listed = async |path: &str| {
        let items = shop.get(path).await.ok().items();
        items.into_iter().find(|product| product["slug"] == "product-1")
    };
    let availability =
        async || shop.get("/v1/products/facets?brand=brand-2").await.ok().json()["availability"].clone();
    let before = availability().await;
    assert_eq!(listed(LIST_PATH).await.unwrap()["in_stock"], true);
    assert!(listed(sold_out_list).await.is_none());
    shop.database
        .execute(&format!(
            "{}; update variants set stock_quantity = 0
             where product_id = (select id from products where slug = 'product-1')",
            review("product-1")
        ))
        .await;
    until("the list shows both", async || {
        let product = listed(LIST_PATH).await.unwrap();
        (product["in_stock"] == false && product["rating"]["count"] == 46).then_some(())
    })
    .await;
    until("the list of sold-out products shows it", async || {
        listed(sold_out_list).await.map(drop)
    })
    .await;
    until("the facets count it", async || {
        (availability().await != before).then_some(())
    })
    .await;
}

/// Only admins change prices. If a script does so continuously, lists are recomputed at a bounded rate, and
/// every price is still correct.
#[tokio::test]
async fn prices_are_correct_while_they_change_continuously() {
    let changes = Changes::default().set("--cache-list-refresh-ms", 600_000);
    let shop = TestShop::start_with(changes).await;
    let price = async |path: &str| {
        let response = shop.get(path).await.ok().json();
        let product = match response["items"].as_array() {
            Some(items) => items
                .iter()
                .find(|item| item["slug"] == "product-1")
                .unwrap()
                .clone(),
            None => response,
        };
        product["price"]["amount"].as_i64().unwrap()
    };
    let other = OTHER_PATHS[0];
    for new in 101..=116 {
        for path in [PRODUCT_PATHS[0], LIST_PATH, other] {
            shop.get(path).await.ok();
        }
        change_price(&shop.database, "product-1", new).await;
        for path in [PRODUCT_PATHS[0], LIST_PATH] {
            until("the price is correct", async || {
                (price(path).await == new).then_some(())
            })
            .await;
        }
    }
    // Unrelated lists were recomputed ten times as well; from then on, the rate limit holds them back.
    assert_eq!(shop.get(other).await.ok().cache(), "hit");
}

#[tokio::test]
async fn a_renamed_brand_is_renamed_in_all_responses() {
    let shop = TestShop::start().await;
    let paths = [PRODUCT_PATHS[0], LIST_PATH];
    fill(&shop, &paths).await;
    shop.database
        .execute("update brands set name = 'Renamed' where slug = 'brand-2'")
        .await;
    for path in paths {
        until("the new name is visible", async || {
            shop.get(path).await.ok().text().contains("Renamed").then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn cached_links_with_a_replaced_signing_key_are_not_served() {
    let before = TestShop::start().await;
    let list = "/v1/products?limit=2";
    fill(&before, &[list]).await;
    let changes = Changes::default()
        .set("--redis-prefix", &before.redis_prefix)
        .set("--jwt-secrets", "test:fedcba9876543210fedcba9876543210");
    let after = TestShop::on(before.database.clone(), changes).await;
    let old = before.get(list).await.next().unwrap();
    after.get(&old).await.problem(400, "invalid_parameter");
    let new = after.get(list).await.ok().next().unwrap();
    after.get(&new).await.ok();
}

/// The keys in Redis and the sizes of their values in bytes.
async fn cached(shop: &TestShop) -> Vec<(String, usize)> {
    let client = redis::Client::open(servers().redis_url.as_str()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let keys: Vec<String> = connection.keys(format!("{}*", shop.redis_prefix)).await.unwrap();
    let mut cached = Vec::new();
    for key in keys {
        let bytes = connection.strlen(&key).await.unwrap();
        cached.push((key, bytes));
    }
    cached
}

#[tokio::test]
async fn unrepeated_requests_fill_the_cache_only_up_to_the_configured_rate() {
    const BYTES: usize = 20_000;
    let changes = Changes::default().set("--cache-first-answers-bytes-per-minute", BYTES);
    let shop = TestShop::start_with(changes).await;
    for min_price in 1..=100 {
        shop.get(&format!("/v1/products?limit=10&min_price={min_price}"))
            .await
            .ok();
    }
    let stored = cached(&shop).await;
    let bytes: usize = stored.iter().map(|(_, bytes)| bytes).sum();
    // The allowance grows while the test runs.
    assert!(
        !stored.is_empty() && bytes < 2 * BYTES,
        "{bytes} in {}",
        stored.len()
    );
    // A second request makes a response worth caching.
    let hot = "/v1/products?limit=10&min_price=100";
    shop.get(hot).await.ok();
    assert_eq!(shop.get(hot).await.ok().cache(), "hit");
}

#[tokio::test]
async fn a_response_above_the_configured_size_is_not_cached() {
    let changes = Changes::default().set("--cache-max-answer-bytes", 2_000);
    let shop = TestShop::start_with(changes).await;
    for _ in 0..3 {
        assert_eq!(shop.get("/v1/products?limit=100").await.ok().cache(), "miss");
    }
    fill(&shop, &["/v1/products?limit=1"]).await;
}

#[tokio::test]
async fn a_full_redis_still_serves_its_entries() {
    let redis = PrivateRedis::start().await;
    let changes = Changes::default().set("--redis-url", redis.url());
    let shop = TestShop::start_with(changes).await;
    fill(&shop, &OTHER_PATHS).await;
    let mut connection = redis.connect().await;
    for (name, value) in [("maxmemory-policy", "noeviction"), ("maxmemory", "1")] {
        redis::cmd("CONFIG")
            .arg(&["SET", name, value])
            .query_async::<()>(&mut connection)
            .await
            .unwrap();
    }
    for limit in 1..=5 {
        let uncached = shop.get(&format!("/v1/products?limit={limit}")).await.ok();
        assert_eq!(uncached.cache(), "miss");
        assert_eq!(caches(&shop, &OTHER_PATHS).await, vec!["hit"; OTHER_PATHS.len()]);
    }
    let _: Value = shop.get("/v1/products?limit=1").await.ok().json();
}
