//! The number of backends that requests use, and load shedding when no connection is available.

use axum::http::StatusCode;

use crate::support::database::{Database, execute};
use crate::support::postgres_proxy::PostgresProxy;
use crate::support::shop::{Changes, TestShop};
use crate::support::until;

pub const PATH: &str = "/v1/products?limit=5&include=variants";

pub async fn shop_behind_a_proxy() -> (TestShop, PostgresProxy) {
    let own = TestShop::start().await;
    let proxy = PostgresProxy::start(&own.database);
    let changes = Changes::default()
        .set("--database-url", proxy.url())
        .without_cache();
    let mut shop = TestShop::on(own.database.clone(), changes).await;
    shop.stop_following_changes().await;
    (shop, proxy)
}

#[tokio::test]
async fn the_pool_keeps_its_connections() {
    let (shop, proxy) = shop_behind_a_proxy().await;
    let concurrent =
        (1..20).map(async |limit| shop.get(&format!("/v1/products?limit={limit}&sort=rating")).await);
    futures_util::future::join_all(concurrent).await;
    // The pool has two; the control connection has read the change feed.
    assert!(proxy.take_traffic().connections <= 3);
    for limit in 1..20 {
        shop.get(&format!("/v1/products?limit={limit}")).await.ok();
    }
    let traffic = proxy.take_traffic();
    assert_eq!(traffic.connections, 0);
    assert!(traffic.statements >= 19);
    assert!((1..=2).contains(&backends(&shop.database).await));
}

/// The number of the services' backends, without the test's own.
pub async fn backends(database: &Database) -> i64 {
    database
        .number(
            "select count(*) from pg_stat_activity
             where datname = current_database() and application_name = 'backstock-api'",
        )
        .await
}

#[tokio::test]
async fn a_request_without_a_connection_is_shed_after_the_acquire_timeout() {
    let changes = Changes::default()
        .set("--database-connections", 1)
        .set("--database-acquire-timeout-ms", 200);
    let own = TestShop::start().await;
    let mut shop = TestShop::on(own.database.clone(), changes).await;
    shop.stop_following_changes().await;
    let mut blocker = shop.database.connect().await;
    execute(&mut blocker, "begin; lock table reviews in access exclusive mode").await;

    let served = async {
        until("the only connection is in use", async || {
            (shop.database.waiting_for_lock().await == 1).then_some(())
        })
        .await;
        // Other requests time out.
        for _ in 0..3 {
            let response = shop.get(PATH).await;
            let problem = response.problem(503, "overloaded");
            assert_eq!(response.header("retry-after"), Some("1"));
            assert!(
                problem["detail"].as_str().unwrap().contains("retry-after"),
                "{problem}"
            );
        }
        execute(&mut blocker, "commit").await;
    };
    let (first, ()) = tokio::join!(shop.get("/v1/products/product-1/reviews"), served);
    assert_eq!(first.status, StatusCode::OK, "the first request is served");
    shop.get(PATH).await.ok();
}

#[tokio::test]
async fn a_statement_timeout_ends_the_request_and_keeps_the_connection_usable() {
    let changes = Changes::default()
        .set("--database-connections", 1)
        .set("--database-statement-timeout-ms", 100);
    let own = TestShop::start().await;
    let shop = TestShop::on(own.database.clone(), changes).await;
    let mut blocker = shop.database.connect().await;
    execute(
        &mut blocker,
        "begin; lock table products in access exclusive mode",
    )
    .await;
    shop.get(PATH).await.problem(503, "timeout");
    execute(&mut blocker, "commit").await;
    shop.get(PATH).await.ok();
}

#[tokio::test]
async fn a_request_timeout_ends_the_request() {
    let own = TestShop::start().await;
    let changes = Changes::default().set("--request-timeout-ms", 100);
    let shop = TestShop::on(own.database.clone(), changes).await;
    let mut blocker = shop.database.connect().await;
    execute(
        &mut blocker,
        "begin; lock table products in access exclusive mode",
    )
    .await;
    let response = shop.get(PATH).await;
    response.problem(503, "timeout");
    assert!(response.header("x-request-id").is_some() && response.header("server-timing").is_some());
    execute(&mut blocker, "commit").await;
    until("a connection is free again", async || {
        (shop.get(PATH).await.status == 200).then_some(())
    })
    .await;
}
