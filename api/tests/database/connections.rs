//! The lesson `connections`: the number of backends that each arm opens, and load shedding when no connection
//! is available.

use axum::http::StatusCode;

use crate::support::arms::{arm, lesson};
use crate::support::database::{Database, execute};
use crate::support::postgres_proxy::PostgresProxy;
use crate::support::shop::{Changes, TestShop};
use crate::support::until;

const PATH: &str = "/v1/products?limit=5&include=variants";

async fn shop_behind_a_proxy(connections: &str) -> (TestShop, PostgresProxy) {
    let variants = arm(lesson("connections"), connections);
    let own = TestShop::start(&variants.to_string()).await;
    let proxy = PostgresProxy::start(&own.database);
    let changes = Changes::default().set("--database-url", proxy.url());
    let mut shop = TestShop::on(own.database.clone(), variants, changes).await;
    shop.stop_following_changes().await;
    (shop, proxy)
}

#[tokio::test]
#[cfg(feature = "baselines")]
async fn per_request_opens_and_closes_a_connection_per_request() {
    let (shop, proxy) = shop_behind_a_proxy("per_request").await;
    proxy.take_traffic();
    for _ in 0..5 {
        shop.get(PATH).await.ok();
    }
    let traffic = proxy.take_traffic();
    assert_eq!((traffic.connections, traffic.statements), (5, 10));
    // A rejected request needs no connection.
    shop.get("/v1/products?limit=0")
        .await
        .problem(400, "invalid_parameter");
    assert_eq!(proxy.take_traffic().connections, 0);
    until("all backends have ended", async || {
        (backends(&shop.database).await == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn pooled_keeps_its_connections() {
    let (shop, proxy) = shop_behind_a_proxy("pooled").await;
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
async fn backends(database: &Database) -> i64 {
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
    let own = TestShop::start("optimized").await;
    let mut shop = TestShop::on(own.database.clone(), own.variants, changes).await;
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
    let own = TestShop::start("optimized").await;
    let shop = TestShop::on(own.database.clone(), own.variants, changes).await;
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
    let own = TestShop::start("optimized").await;
    let changes = Changes::default().set("--request-timeout-ms", 100);
    let shop = TestShop::on(own.database.clone(), own.variants, changes).await;
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

#[tokio::test]
#[cfg(feature = "baselines")]
async fn a_request_is_shed_when_postgres_has_no_connection_left() {
    let (shop, _wire) = shop_behind_a_proxy("per_request").await;
    // A separate role, because the connection limit doesn't apply to superusers.
    let role = shop.database.name().replace("test_", "role_");
    shop.database
        .execute(&format!(
            "create role {role} login password 'secret' connection limit 1;
             grant select on all tables in schema public to {role}"
        ))
        .await;
    let url =
        sqlx::ConnectOptions::to_url_lossy(&shop.database.options.clone().username(&role).password("secret"));
    let changes = Changes::default().set("--database-url", url);
    let mut shop = TestShop::on(shop.database.clone(), shop.variants, changes).await;
    shop.stop_following_changes().await;
    let options = shop.database.options.clone().username(&role).password("secret");
    // The reader of the change feed may have used the connection for a moment.
    let only: sqlx::PgConnection = until("the only connection is free", async || {
        sqlx::ConnectOptions::connect(&options).await.ok()
    })
    .await;
    let response = shop.get(PATH).await;
    sqlx::Connection::close(only).await.unwrap();
    until("the request is served", async || {
        (shop.get(PATH).await.status == 200).then_some(())
    })
    .await;
    until("its backends have ended", async || {
        let count = "select count(*) from pg_stat_activity
                     where usename like 'role_%' and datname = current_database() and application_name = 'backstock-api'";
        (shop.database.number(count).await == 0).then_some(())
    })
    .await;
    shop.database
        .execute(&format!("drop owned by {role}; drop role {role}"))
        .await;
    response.problem(503, "overloaded");
}
