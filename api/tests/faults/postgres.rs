//! Postgres is down, or closes its connections: requests get a 503, and the shop recovers without a restart.

use std::time::{Duration, Instant};

use crate::support::catalogue::change_price;
use crate::support::database::execute;
use crate::support::postgres_proxy::PostgresProxy;
use crate::support::shop::{Changes, TestShop};
use crate::support::until;

async fn shop_behind_a_proxy() -> (TestShop, PostgresProxy) {
    let own = TestShop::start().await;
    let proxy = PostgresProxy::start(&own.database);
    let changes = Changes::default()
        .set("--database-url", proxy.url())
        // The time for which a request waits for a Postgres that refuses connections.
        .set("--database-acquire-timeout-ms", 200);
    let shop = TestShop::on(own.database.clone(), changes).await;
    (shop, proxy)
}

#[tokio::test]
async fn requests_get_a_503_during_an_outage_and_are_served_afterwards() {
    assert_outage_and_recovery().await;
}

pub async fn assert_outage_and_recovery() {
    let (shop, proxy) = shop_behind_a_proxy().await;
    let before = shop.get("/v1/products?limit=5").await.ok().json();
    proxy.cut();
    for limit in 6..12 {
        let response = shop.get(&format!("/v1/products?limit={limit}")).await;
        assert_eq!(response.status, 503, "{}", response.text());
        let code = response.json()["code"].as_str().unwrap().to_owned();
        assert!(code == "unavailable" || code == "overloaded", "{code}");
        let problem = response.problem(503, &code);
        assert_eq!(response.header("retry-after"), Some("1"));
        // The problem doesn't reveal the cause.
        assert!(
            !problem.to_string().contains("127.0.0.1") && !problem.to_string().contains("connection re"),
            "{problem}"
        );
    }
    // Routes without database access still work.
    shop.get("/").await.ok();
    shop.get("/v1/products?limit=0")
        .await
        .problem(400, "invalid_parameter");
    proxy.restore();
    until("the shop serves again", async || {
        (shop.get("/v1/products?limit=7").await.status == 200).then_some(())
    })
    .await;
    assert_eq!(shop.get("/v1/products?limit=5").await.ok().json(), before);
}

#[tokio::test]
async fn cached_responses_are_served_during_an_outage() {
    const LAG: Duration = Duration::from_secs(2);
    let own = TestShop::start().await;
    let proxy = PostgresProxy::start(&own.database);
    let changes = Changes::default()
        .set("--database-url", proxy.url())
        .set("--cache-max-feed-lag-ms", LAG.as_millis());
    let shop = TestShop::on(own.database.clone(), changes).await;
    let before = shop.get("/v1/products?limit=5").await.ok();
    proxy.cut();
    let cut_at = Instant::now();
    while cut_at.elapsed() < LAG * 3 / 2 {
        let after = shop.get("/v1/products?limit=5").await.ok();
        assert_eq!((after.cache().as_str(), &after.body), ("hit", &before.body));
        // This must hold continuously: the loop fails at the first different response.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Postgres works, and another process changes a price. Only this process can't read the change feed.
#[tokio::test]
async fn a_price_is_correct_while_the_change_feed_cannot_be_read() {
    const PATH: &str = "/v1/products/product-1";
    let changes = Changes::default().set("--cache-max-feed-lag-ms", 1_000);
    let shop = TestShop::start_with(changes).await;
    until("the response is cached", async || {
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
    until("the price is correct", async || {
        (shop.get(PATH).await.ok().json()["price"]["amount"] == 77).then_some(())
    })
    .await;
    assert_eq!(shop.get(PATH).await.ok().cache(), "unavailable");
    execute(&mut blocker, "commit").await;
    until("the response is cached again", async || {
        (shop.get(PATH).await.ok().cache() == "hit").then_some(())
    })
    .await;
}

#[tokio::test]
async fn after_postgres_closes_its_connections_at_most_one_request_per_connection_fails() {
    let own = TestShop::start().await;
    let mut shop = TestShop::on(own.database.clone(), Changes::default()).await;
    shop.stop_following_changes().await;
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
        let response = shop.get(&format!("/v1/products?limit={limit}")).await;
        if response.status != 200 {
            response.problem(503, "unavailable");
            failed += 1;
        }
    }
    assert!(failed <= 2, "at most one per pooled connection, not {failed}");
    shop.get("/v1/products?limit=30").await.ok();
}
