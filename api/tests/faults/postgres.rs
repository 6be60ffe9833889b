//! Postgres is gone, or ends its connections: a clean 503, and no need for anyone to restart the shop.

use std::time::{Duration, Instant};

use crate::support::catalogue::change_price;
use crate::support::database::execute;
use crate::support::shop::{Changes, TestShop};
use crate::support::until;
use crate::support::wire::Wire;

async fn shop_on_a_wire(variants: &str) -> (TestShop, Wire) {
    let own = TestShop::start(variants).await;
    let wire = Wire::to(&own.database).await;
    let changes = Changes::default()
        .set("--database-url", wire.url())
        // A shop waits so long for a Postgres that refuses connections.
        .set("--database-acquire-timeout-ms", 200);
    let shop = TestShop::on(own.database.clone(), own.variants, changes).await;
    (shop, wire)
}

async fn assert_gone_and_back(variants: &str) {
    let (shop, mut wire) = shop_on_a_wire(variants).await;
    let before = shop.get("/v1/products?limit=5").await.ok().json();
    wire.cut().await;
    for limit in 6..12 {
        let answer = shop.get(&format!("/v1/products?limit={limit}")).await;
        assert_eq!(answer.status, 503, "{}", answer.text());
        let code = answer.json()["code"].as_str().unwrap().to_owned();
        assert!(code == "unavailable" || code == "overloaded", "{code}");
        let problem = answer.problem(503, &code);
        assert_eq!(answer.header("retry-after"), Some("1"));
        // Nothing of the cause is told.
        assert!(
            !problem.to_string().contains("127.0.0.1") && !problem.to_string().contains("connection re"),
            "{problem}"
        );
    }
    // What needs no database works.
    shop.get("/").await.ok();
    shop.get("/v1/products?limit=0")
        .await
        .problem(400, "invalid_parameter");
    wire.mend().await;
    until("the shop serves again", async || {
        (shop.get("/v1/products?limit=7").await.status == 200).then_some(())
    })
    .await;
    assert_eq!(shop.get("/v1/products?limit=5").await.ok().json(), before);
}

#[tokio::test]
async fn gone_a_request_is_answered_503_and_back_it_is_served() {
    assert_gone_and_back("optimized").await;
}

#[tokio::test]
#[cfg(feature = "baselines")]
async fn gone_and_back_with_the_baselines() {
    assert_gone_and_back("baseline").await;
}

#[tokio::test]
async fn what_is_cached_is_served_while_postgres_is_gone() {
    const LAG: Duration = Duration::from_secs(2);
    let own = TestShop::start("optimized").await;
    let mut wire = Wire::to(&own.database).await;
    let changes = Changes::default()
        .set("--database-url", wire.url())
        .set("--cache-max-feed-lag-ms", LAG.as_millis());
    let shop = TestShop::on(own.database.clone(), own.variants, changes).await;
    let before = shop.get("/v1/products?limit=5").await.ok();
    wire.cut().await;
    let cut_at = Instant::now();
    while cut_at.elapsed() < LAG * 3 / 2 {
        let after = shop.get("/v1/products?limit=5").await.ok();
        assert_eq!((after.cache().as_str(), &after.body), ("hit", &before.body));
        // It must hold all the time: the loop looks again and again, and fails at the first other answer.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Postgres serves others, who change a price; only this process' read of the changes is held up.
#[tokio::test]
async fn a_price_is_right_also_while_the_changes_cannot_be_read() {
    const PATH: &str = "/v1/products/product-1";
    let changes = Changes::default().set("--cache-max-feed-lag-ms", 1_000);
    let shop = TestShop::start_with("optimized", changes).await;
    until("it is kept", async || {
        (shop.get(PATH).await.ok().cache() == "hit").then_some(())
    })
    .await;
    let mut blocker = shop.database.connect().await;
    execute(
        &mut blocker,
        "begin; lock table catalog_epoch in access exclusive mode",
    )
    .await;
    change_price(&shop.database, "product-1", 77).await;
    until("the price is right", async || {
        (shop.get(PATH).await.ok().json()["price"]["amount"] == 77).then_some(())
    })
    .await;
    assert_eq!(shop.get(PATH).await.ok().cache(), "unavailable");
    execute(&mut blocker, "commit").await;
    until("it is kept again", async || {
        (shop.get(PATH).await.ok().cache() == "hit").then_some(())
    })
    .await;
}

#[tokio::test]
async fn when_it_ends_its_connections_a_few_requests_fail_cleanly_and_the_next_are_served() {
    let own = TestShop::start("optimized").await;
    let mut shop = TestShop::on(own.database.clone(), own.variants, Changes::default()).await;
    shop.stop_following_the_epoch().await;
    shop.get("/v1/products").await.ok();
    drop(own);
    shop.database
        .execute(
            "select pg_terminate_backend(pid) from pg_stat_activity
             where datname = current_database() and application_name = 'backstock-api'",
        )
        .await;
    let mut failed = 0;
    for limit in 1..20 {
        let answer = shop.get(&format!("/v1/products?limit={limit}")).await;
        if answer.status != 200 {
            answer.problem(503, "unavailable");
            failed += 1;
        }
    }
    assert!(
        failed <= 2,
        "one for each connection of the pool at most, not {failed}"
    );
    shop.get("/v1/products?limit=30").await.ok();
}
