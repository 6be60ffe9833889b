//! The shop of before, upgraded while it sells: nobody waits for long, and nothing is lost.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod town_support;

use loadtests::database::{Server, drop_database};
use loadtests::frozen;
use loadtests::generate::Scale;
use loadtests::limits::{UpgradePlan, upgrade_under_traffic};
use loadtests::load::{Request, fetch};
use loadtests::shop::{Shop, ShopSettings};
use sqlx::{Connection, PgConnection};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn migrations_and_indexes_are_applied_under_traffic() {
    let services = town_support::services().await;
    let api_binary = town_support::api_binary();
    let server_url = services.database_url("postgres");
    let name = format!("upgrade_{}", std::process::id());
    let mut server = Server::connect(&server_url).await.unwrap();
    server.create(&name).await.unwrap();
    let database_url = server.url_of(&name);
    let mut connection = PgConnection::connect(&database_url).await.unwrap();
    frozen::fill(&mut connection, Scale::Xs).await.unwrap();

    let upgraded = upgrade_under_traffic(&UpgradePlan {
        api_binary: &api_binary,
        database_url: &database_url,
        pgbench: &services.postgres_bin().join("pgbench"),
    })
    .await
    .unwrap();
    assert_eq!(upgraded.failures, Vec::<String>::new());
    assert_eq!(upgraded.lost, Vec::<String>::new());
    assert!(upgraded.orders > 0 && upgraded.statements > 0, "{upgraded:?}");
    assert!(upgraded.longest_ms() <= 1_000.0, "{upgraded:?}");
    let invalid: i64 = sqlx::query_scalar("select count(*) from pg_index where not indisvalid")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(invalid, 0);
    connection.close().await.unwrap();

    // The new build takes it for its own.
    let shop = Shop::start(ShopSettings {
        api_binary,
        variants: "optimized".to_owned(),
        database_url,
        redis_url: services.redis_url(252),
        amqp_url: None,
        log_path: std::env::temp_dir().join(format!("backstock-upgrade-{}.log", std::process::id())),
        extra_env: Vec::new(),
    })
    .await
    .unwrap();
    let answer = fetch(
        &shop.target(),
        &Request::get("/v1/products?sort=best_selling").unwrap(),
    )
    .await
    .unwrap();
    assert_eq!(answer.status, 200);
    shop.stop().await.unwrap();
    drop_database(&server_url, &name).await.unwrap();
}
