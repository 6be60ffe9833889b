//! The lesson `connections`: how many backends each arm opens, and what happens when more come than there are.

use axum::http::StatusCode;

use crate::support::arms::{arm, lesson};
use crate::support::database::{Database, execute};
use crate::support::shop::{Changes, TestShop};
use crate::support::until;
use crate::support::wire::Wire;

const PATH: &str = "/v1/products?limit=5&include=variants";

async fn shop_on_a_wire(connections: &str) -> (TestShop, Wire) {
    let variants = arm(lesson("connections"), connections);
    let own = TestShop::start(&variants.to_string()).await;
    let wire = Wire::to(&own.database).await;
    let changes = Changes::default().set("--database-url", wire.url());
    let mut shop = TestShop::on(own.database.clone(), variants, changes).await;
    shop.stop_following_the_epoch().await;
    (shop, wire)
}

#[tokio::test]
#[cfg(feature = "baselines")]
async fn per_request_connects_for_each_request_and_leaves_nothing() {
    let (shop, wire) = shop_on_a_wire("per_request").await;
    wire.take_counted();
    for _ in 0..5 {
        shop.get(PATH).await.ok();
    }
    let counted = wire.take_counted();
    assert_eq!((counted.connections, counted.statements), (5, 10));
    // What is refused needs no database.
    shop.get("/v1/products?limit=0")
        .await
        .problem(400, "invalid_parameter");
    assert_eq!(wire.take_counted().connections, 0);
    until("all backends have ended", async || {
        (backends(&shop.database).await == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn pooled_keeps_its_connections() {
    let (shop, wire) = shop_on_a_wire("pooled").await;
    let at_once =
        (1..20).map(async |limit| shop.get(&format!("/v1/products?limit={limit}&sort=rating")).await);
    futures_util::future::join_all(at_once).await;
    // Two are the pool's; the one beside it had followed the catalogue's changes.
    assert!(wire.take_counted().connections <= 3);
    for limit in 1..20 {
        shop.get(&format!("/v1/products?limit={limit}")).await.ok();
    }
    let counted = wire.take_counted();
    assert_eq!(counted.connections, 0);
    assert!(counted.statements >= 19);
    assert!((1..=2).contains(&backends(&shop.database).await));
}

/// Backends of services, without those of the test.
async fn backends(database: &Database) -> i64 {
    database
        .number(
            "select count(*) from pg_stat_activity
             where datname = current_database() and application_name = 'backstock-api'",
        )
        .await
}

/// Backends that wait for a lock.
async fn waiting_for_a_lock(database: &Database) -> i64 {
    database
        .number(
            "select count(*) from pg_stat_activity
             where datname = current_database() and wait_event_type = 'Lock'",
        )
        .await
}

#[tokio::test]
async fn when_all_connections_are_in_use_the_next_request_waits_so_long_and_is_sent_away() {
    let changes = Changes::default()
        .set("--database-connections", 1)
        .set("--database-acquire-timeout-ms", 200);
    let own = TestShop::start("optimized").await;
    let mut shop = TestShop::on(own.database.clone(), own.variants, changes).await;
    shop.stop_following_the_epoch().await;
    let mut blocker = shop.database.connect().await;
    execute(&mut blocker, "begin; lock table reviews in access exclusive mode").await;

    let served = async {
        until("the only connection is in use", async || {
            (waiting_for_a_lock(&shop.database).await == 1).then_some(())
        })
        .await;
        // Others do not wait for ever.
        for _ in 0..3 {
            let refused = shop.get(PATH).await;
            let problem = refused.problem(503, "overloaded");
            assert_eq!(refused.header("retry-after"), Some("1"));
            assert!(
                problem["detail"].as_str().unwrap().contains("retry-after"),
                "{problem}"
            );
        }
        execute(&mut blocker, "commit").await;
    };
    let (first, ()) = tokio::join!(shop.get("/v1/products/product-1/reviews"), served);
    assert_eq!(first.status, StatusCode::OK, "who came first is served");
    shop.get(PATH).await.ok();
}

#[tokio::test]
async fn when_a_statement_takes_too_long_its_request_is_given_up_and_the_connection_is_good() {
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
async fn when_a_request_takes_too_long_it_is_given_up() {
    let own = TestShop::start("optimized").await;
    let changes = Changes::default().set("--request-timeout-ms", 100);
    let shop = TestShop::on(own.database.clone(), own.variants, changes).await;
    let mut blocker = shop.database.connect().await;
    execute(
        &mut blocker,
        "begin; lock table products in access exclusive mode",
    )
    .await;
    let given_up = shop.get(PATH).await;
    given_up.problem(503, "timeout");
    assert!(given_up.header("x-request-id").is_some() && given_up.header("server-timing").is_some());
    execute(&mut blocker, "commit").await;
    until("a connection is free again", async || {
        (shop.get(PATH).await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
#[cfg(feature = "baselines")]
async fn when_postgres_has_no_connection_left_the_request_is_sent_away() {
    let (shop, _wire) = shop_on_a_wire("per_request").await;
    // A role of its own, since a superuser is never refused.
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
    shop.stop_following_the_epoch().await;
    let options = shop.database.options.clone().username(&role).password("secret");
    // What followed the changes may have had it for a moment.
    let only: sqlx::PgConnection = until("the only connection is free", async || {
        sqlx::ConnectOptions::connect(&options).await.ok()
    })
    .await;
    let refused = shop.get(PATH).await;
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
    refused.problem(503, "overloaded");
}
