//! The frozen shop, upgraded under traffic: lock waits are short, and nothing is lost.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod town_support;

use std::path::Path;

use dataset::Scale;
use loadtests::database::{Server, drop_database};
use loadtests::frozen;
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
        is_other_build: false,
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

/// `migrate` bounds how long a migration waits for a lock. A migration may lower the bound, and must not raise it: statements
/// queue behind each of its waits, one after the other.
#[test]
fn no_migration_waits_longer_for_a_lock_than_migrate_allows() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let version = name.split('_').next().unwrap().parse::<i64>();
        if !version.is_ok_and(|version| version > frozen::LAST_MIGRATION) {
            continue;
        }
        let sql = std::fs::read_to_string(&path).unwrap();
        let code: Vec<&str> = sql
            .lines()
            .filter(|line| !line.trim_start().starts_with("--"))
            .collect();
        let sql = code.join("\n");
        for (_, setting) in sql.match_indices("lock_timeout").map(|(at, _)| sql.split_at(at)) {
            let value: String = setting.split('\'').nth(1).unwrap_or_default().to_owned();
            // Of `set_config('lock_timeout', '500ms', true)` it is the next text.
            let value = if value.starts_with(',') {
                setting.split('\'').nth(2).unwrap().to_owned()
            } else {
                value
            };
            let milliseconds = value
                .strip_suffix("ms")
                .and_then(|number| number.trim().parse::<u64>().ok());
            assert!(
                milliseconds.is_some_and(|milliseconds| milliseconds <= 500),
                "{name} waits for {value}"
            );
        }
    }
}
