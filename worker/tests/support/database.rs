//! A database per test, with the shop's schema.

use std::path::Path;

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, PgPool};
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::servers;

/// The name of the template database, which is created once per run and cloned for each test.
static TEMPLATE: OnceCell<String> = OnceCell::const_new();

pub struct TestDatabase {
    pub pool: PgPool,
    pub url: String,
    name: String,
}

impl TestDatabase {
    pub async fn new() -> Self {
        let template = TEMPLATE.get_or_init(make_template).await;
        let name = format!("test_{}", Uuid::now_v7().simple());
        on_server(&format!("create database {name} template {template}")).await;
        let url = servers().database_url(&name);
        let pool = PgPoolOptions::new()
            .max_connections(4)
            .connect(&url)
            .await
            .unwrap();
        Self { pool, url, name }
    }

    pub async fn execute(&self, sql: &str) -> u64 {
        let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
            .execute(&self.pool)
            .await;
        done.unwrap().rows_affected()
    }

    /// The single integer that a query returns.
    pub async fn number(&self, sql: &str) -> i64 {
        let sql = format!("select ({sql})::bigint");
        sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    /// The single value that a query returns, as text. Empty for null.
    pub async fn text(&self, sql: &str) -> String {
        let sql = format!("select coalesce(({sql})::text, '')");
        sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    pub async fn drop(self) {
        self.pool.close().await;
        on_server(&format!("drop database {} with (force)", self.name)).await;
    }
}

async fn make_template() -> String {
    // Named like a test's database, so that `drop_leftover_databases` in the api's tests drops it later.
    let name = format!("test_{}", Uuid::now_v7().simple());
    on_server(&format!("create database {name}")).await;
    let options: PgConnectOptions = servers().database_url(&name).parse().unwrap();
    let mut connection = options.connect().await.unwrap();
    let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
    Migrator::new(migrations.as_path())
        .await
        .unwrap()
        .run(&mut connection)
        .await
        .unwrap();
    let indexes = std::fs::read_to_string(migrations.join("indexes/chosen.sql")).unwrap();
    sqlx::raw_sql(AssertSqlSafe(indexes))
        .execute(&mut connection)
        .await
        .unwrap();
    name
}

async fn on_server(sql: &str) {
    let options: PgConnectOptions = servers().database_url("postgres").parse().unwrap();
    let mut server = options.connect().await.unwrap();
    // Serialized, because the template can't be cloned concurrently.
    sqlx::query("select pg_advisory_lock(7236411)")
        .execute(&mut server)
        .await
        .unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(&mut server)
        .await
        .unwrap();
}
