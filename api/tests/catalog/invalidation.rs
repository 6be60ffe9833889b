//! What a change costs the cache: the answers that show what changed, and no others. That a change is seen at all, in every
//! process, is told in `cache.rs` and `admin/seen_everywhere.rs`.

use redis::AsyncCommands;
use serde_json::Value;

use crate::support::catalogue::change_price;
use crate::support::private_redis::PrivateRedis;
use crate::support::servers::servers;
use crate::support::shop::{Changes, TestShop};
use crate::support::until;

/// Answers that show `product-1` only.
const ITS_OWN: [&str; 2] = [
    "/v1/products/product-1?include=variants,reviews",
    "/v1/products/product-1/reviews?limit=2",
];

/// A list that shows it.
const ITS_LIST: &str = "/v1/products?brand=brand-2&limit=100&include=variants";

/// Answers of the rest of the shop.
const OTHERS: [&str; 7] = [
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

async fn until_made_again(shop: &TestShop, path: &str) {
    until("it is made again", async || {
        (shop.get(path).await.ok().cache() == "miss").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_review_has_its_products_answers_made_again_and_no_others() {
    let shop = TestShop::start("optimized").await;
    let paths = [&ITS_OWN[..], &OTHERS, &[ITS_LIST]].concat();
    fill(&shop, &paths).await;
    shop.database.execute(&review("product-1")).await;
    until_made_again(&shop, ITS_OWN[0]).await;
    assert_eq!(shop.get(ITS_OWN[1]).await.ok().cache(), "miss");
    assert_eq!(caches(&shop, &OTHERS).await, vec!["hit"; OTHERS.len()]);
    // The list is new enough to show the rating of a moment ago.
    assert_eq!(shop.get(ITS_LIST).await.ok().cache(), "hit");
}

#[tokio::test]
async fn a_hundred_reviews_and_sell_outs_leave_the_rest_of_the_shop_alone() {
    let shop = TestShop::start("optimized").await;
    fill(&shop, &OTHERS).await;
    fill(&shop, &ITS_OWN).await;
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
    // Seen by now: it is the last change.
    shop.database.execute(&review("product-1")).await;
    until_made_again(&shop, ITS_OWN[0]).await;
    assert_eq!(caches(&shop, &OTHERS).await, vec!["hit"; OTHERS.len()]);
}

#[tokio::test]
async fn lists_follow_stock_and_ratings_in_the_time_that_is_set() {
    let changes = Changes::default().set("--cache-list-staleness-ms", 600);
    let shop = TestShop::start_with("optimized", changes).await;
    let shifting = "/v1/products?in_stock=false&limit=100&brand=brand-2";
    let listed = async |path: &str| {
        let items = shop.get(path).await.ok().items();
        items.into_iter().find(|product| product["slug"] == "product-1")
    };
    let availability =
        async || shop.get("/v1/products/facets?brand=brand-2").await.ok().json()["availability"].clone();
    let before = availability().await;
    assert_eq!(listed(ITS_LIST).await.unwrap()["in_stock"], true);
    assert!(listed(shifting).await.is_none());
    shop.database
        .execute(&format!(
            "{}; update variants set stock_quantity = 0
             where product_id = (select id from products where slug = 'product-1')",
            review("product-1")
        ))
        .await;
    until("the list shows both", async || {
        let product = listed(ITS_LIST).await.unwrap();
        (product["in_stock"] == false && product["rating"]["count"] == 46).then_some(())
    })
    .await;
    until("it is among those that are sold out", async || {
        listed(shifting).await.map(drop)
    })
    .await;
    until("it is counted", async || {
        (availability().await != before).then_some(())
    })
    .await;
}

/// Only admins make such changes; a script that makes them all the time makes lists again in a bounded rate, and still
/// every price is right.
#[tokio::test]
async fn prices_are_right_while_they_change_all_the_time() {
    let changes = Changes::default().set("--cache-list-refresh-ms", 600_000);
    let shop = TestShop::start_with("optimized", changes).await;
    let price = async |path: &str| {
        let answer = shop.get(path).await.ok().json();
        let product = match answer["items"].as_array() {
            Some(items) => items
                .iter()
                .find(|item| item["slug"] == "product-1")
                .unwrap()
                .clone(),
            None => answer,
        };
        product["price"]["amount"].as_i64().unwrap()
    };
    let other = OTHERS[0];
    for new in 101..=116 {
        for path in [ITS_OWN[0], ITS_LIST, other] {
            shop.get(path).await.ok();
        }
        change_price(&shop.database, "product-1", new).await;
        for path in [ITS_OWN[0], ITS_LIST] {
            until("the price is right", async || {
                (price(path).await == new).then_some(())
            })
            .await;
        }
    }
    // Ten times, lists of others were made again as well; now they wait.
    assert_eq!(shop.get(other).await.ok().cache(), "hit");
}

#[tokio::test]
async fn a_brand_that_is_renamed_is_renamed_everywhere() {
    let shop = TestShop::start("optimized").await;
    let paths = [ITS_OWN[0], ITS_LIST];
    fill(&shop, &paths).await;
    shop.database
        .execute("update brands set name = 'Renamed' where slug = 'brand-2'")
        .await;
    for path in paths {
        until("it is renamed", async || {
            shop.get(path).await.ok().text().contains("Renamed").then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn no_link_is_served_that_is_refused_after_the_signing_key_was_replaced() {
    let before = TestShop::start("optimized").await;
    let list = "/v1/products?limit=2";
    fill(&before, &[list]).await;
    let changes = Changes::default()
        .set("--redis-prefix", &before.redis_prefix)
        .set("--jwt-secrets", "test:fedcba9876543210fedcba9876543210");
    let after = TestShop::on(before.database.clone(), before.variants, changes).await;
    let old = before.get(list).await.next().unwrap();
    after.get(&old).await.problem(400, "invalid_parameter");
    let new = after.get(list).await.ok().next().unwrap();
    after.get(&new).await.ok();
}

/// The keys in Redis and their bytes.
async fn kept(shop: &TestShop) -> Vec<(String, usize)> {
    let client = redis::Client::open(servers().redis_url.as_str()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let keys: Vec<String> = connection.keys(format!("{}*", shop.redis_prefix)).await.unwrap();
    let mut kept = Vec::new();
    for key in keys {
        let bytes = connection.strlen(&key).await.unwrap();
        kept.push((key, bytes));
    }
    kept
}

#[tokio::test]
async fn requests_that_never_repeat_fill_no_more_than_is_set() {
    const BYTES: usize = 20_000;
    let changes = Changes::default().set("--cache-first-answers-bytes-per-minute", BYTES);
    let shop = TestShop::start_with("optimized", changes).await;
    for min_price in 1..=100 {
        shop.get(&format!("/v1/products?limit=10&min_price={min_price}"))
            .await
            .ok();
    }
    let stored = kept(&shop).await;
    let bytes: usize = stored.iter().map(|(_, bytes)| bytes).sum();
    // A few more come in while the test runs.
    assert!(
        !stored.is_empty() && bytes < 2 * BYTES,
        "{bytes} in {}",
        stored.len()
    );
    // What is asked for twice is worth it.
    let hot = "/v1/products?limit=10&min_price=100";
    shop.get(hot).await.ok();
    assert_eq!(shop.get(hot).await.ok().cache(), "hit");
}

#[tokio::test]
async fn an_answer_above_the_size_that_is_set_is_not_stored() {
    let changes = Changes::default().set("--cache-max-answer-bytes", 2_000);
    let shop = TestShop::start_with("optimized", changes).await;
    for _ in 0..3 {
        assert_eq!(shop.get("/v1/products?limit=100").await.ok().cache(), "miss");
    }
    fill(&shop, &["/v1/products?limit=1"]).await;
}

#[tokio::test]
async fn a_redis_that_is_full_still_serves_what_it_has() {
    let redis = PrivateRedis::start().await;
    let changes = Changes::default().set("--redis-url", redis.url());
    let shop = TestShop::start_with("optimized", changes).await;
    fill(&shop, &OTHERS).await;
    let mut connection = redis.connect().await;
    for (name, value) in [("maxmemory-policy", "noeviction"), ("maxmemory", "1")] {
        redis::cmd("CONFIG")
            .arg(&["SET", name, value])
            .query_async::<()>(&mut connection)
            .await
            .unwrap();
    }
    for limit in 1..=5 {
        let refused = shop.get(&format!("/v1/products?limit={limit}")).await.ok();
        assert_eq!(refused.cache(), "miss");
        assert_eq!(caches(&shop, &OTHERS).await, vec!["hit"; OTHERS.len()]);
    }
    let _: Value = shop.get("/v1/products?limit=1").await.ok().json();
}
