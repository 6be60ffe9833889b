//! Single flight: concurrent equal requests that miss the cache compute the response once.

use std::sync::Arc;

use futures_util::future::join_all;
use sqlx::PgConnection;

use crate::support::database::execute;
use crate::support::response::TestResponse;
use crate::support::shop::{Changes, TestShop};
use crate::support::until;

const PATH: &str = "/v1/products?limit=3&include=variants";

/// Blocks every statement that reads products.
async fn block(shop: &TestShop) -> PgConnection {
    let mut blocker = shop.database.connect().await;
    execute(
        &mut blocker,
        "begin; lock table products in access exclusive mode",
    )
    .await;
    blocker
}

fn statements(responses: &[TestResponse]) -> u64 {
    responses.iter().map(TestResponse::statements).sum()
}

async fn requests(shop: &TestShop, path: &str, count: usize) -> Vec<TestResponse> {
    join_all((0..count).map(async |_| shop.get(path).await.ok())).await
}

/// Caches the response, then makes it stale by a change that all shops have seen. Returns the number of
/// statements of a miss.
async fn cache_and_invalidate(shops: &[&TestShop]) -> u64 {
    // Each shop probes with its own path, because a recomputed response would be a hit for the others.
    let probe = |limit: usize| format!("/v1/products?limit={}", 10 + limit);
    for (number, shop) in shops.iter().enumerate() {
        shop.get(&probe(number)).await.ok();
        assert_eq!(shop.get(&probe(number)).await.ok().cache(), "hit");
    }
    let statements = shops[0].get(PATH).await.ok().statements();
    assert_eq!(shops[0].get(PATH).await.ok().cache(), "hit");
    shops[0]
        .database
        .execute("update variants set price_cents = price_cents + 1")
        .await;
    for (number, shop) in shops.iter().enumerate() {
        until("the change is visible", async || {
            (shop.get(&probe(number)).await.ok().cache() == "miss").then_some(())
        })
        .await;
    }
    statements
}

#[tokio::test]
async fn forty_equal_requests_after_a_change_compute_once() {
    let shop = TestShop::start().await;
    let once = cache_and_invalidate(&[&shop]).await;
    let mut blocker = block(&shop).await;
    let release = async {
        shop.database.until_waiting_for_lock(1).await;
        // There are two connections. Without single flight, a second statement would be blocked by now.
        for _ in 0..5 {
            assert_eq!(shop.database.waiting_for_lock().await, 1);
        }
        execute(&mut blocker, "commit").await;
    };
    let (responses, ()) = tokio::join!(requests(&shop, PATH, 40), release);
    assert_eq!(statements(&responses), once);
    let body = &responses[0].body;
    assert!(responses.iter().all(|response| response.body == *body));
    let shared = responses.iter().filter(|response| response.cache() == "shared");
    assert!(
        shared.count() >= 38,
        "one computes it, and the last may hit the cache"
    );
}

#[tokio::test]
async fn two_processes_compute_at_most_once_each() {
    let one = TestShop::start().await;
    let shared = Changes::default().set("--redis-prefix", &one.redis_prefix);
    let other = TestShop::on(one.database.clone(), shared).await;
    let once = cache_and_invalidate(&[&one, &other]).await;
    let (responses, others) = tokio::join!(requests(&one, PATH, 20), requests(&other, PATH, 20));
    let statements = statements(&responses) + statements(&others);
    assert!(
        statements >= once && statements <= 2 * once,
        "{statements} of {once}"
    );
    assert_eq!(responses[0].body, others[0].body);
}

#[tokio::test]
async fn when_the_leader_is_aborted_a_follower_takes_over() {
    let shop = Arc::new(TestShop::start().await);
    let mut blocker = block(&shop).await;
    let leader = tokio::spawn({
        let shop = shop.clone();
        async move { shop.get(PATH).await }
    });
    shop.database.until_waiting_for_lock(1).await;
    let followers = async {
        let responses = requests(&shop, PATH, 10).await;
        assert!(responses.iter().all(|response| !response.items().is_empty()));
    };
    let release = async {
        leader.abort();
        assert!(leader.await.is_err());
        execute(&mut blocker, "commit").await;
    };
    tokio::join!(followers, release);
}

#[tokio::test]
async fn single_flight_works_without_redis() {
    let changes = Changes::default().set("--redis-timeout-ms", 100).without_cache();
    let shop = TestShop::start_with(changes).await;
    until("the shop has read the change feed", async || {
        shop.get("/v1/products/no-such-product").await;
        shop.state.catalog.cache.knows_changes().then_some(())
    })
    .await;
    let once = shop.get(PATH).await.ok().statements();
    let mut blocker = block(&shop).await;
    let release = async {
        shop.database.until_waiting_for_lock(1).await;
        execute(&mut blocker, "commit").await;
    };
    let (responses, ()) = tokio::join!(requests(&shop, PATH, 40), release);
    assert_eq!(statements(&responses), once);
}

#[tokio::test]
async fn an_error_is_shared_as_well() {
    let shop = TestShop::start().await;
    let path = "/v1/products/no-such-product";
    let once = shop.get(path).await.statements();
    let mut blocker = block(&shop).await;
    let release = async {
        shop.database.until_waiting_for_lock(1).await;
        execute(&mut blocker, "commit").await;
    };
    let requests_for_unknown = join_all((0..40).map(async |_| shop.get(path).await));
    let (responses, ()) = tokio::join!(requests_for_unknown, release);
    assert_eq!(statements(&responses), once);
    for response in responses {
        response.problem(404, "not_found");
    }
}
