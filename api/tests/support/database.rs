//! A database a test: cloned from a template, dropped with the test.
//!
//! A template is made once for each index set and kept on the server under a name that says what it was made from, so
//! that the next run starts at once.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use api::migrate::{MigrationSettings, migrate};
use serde_json::Value;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use storefront::variants::Indexes;
use uuid::Uuid;

use super::servers::servers;

const CATALOGUE: &str = include_str!("catalogue.sql");
const MANY_PRODUCTS: &str = include_str!("many_products.sql");

/// What a database holds when a test gets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Content {
    /// The schema alone.
    Schema,
    /// The schema and the products of `catalogue.sql`.
    Catalogue,
    /// The schema and the 20,000 products of `many_products.sql`.
    ManyProducts,
}

impl Content {
    fn sql(self) -> &'static str {
        match self {
            Self::Schema => "",
            Self::Catalogue => CATALOGUE,
            Self::ManyProducts => MANY_PRODUCTS,
        }
    }
}

pub struct Database {
    pub options: PgConnectOptions,
    name: String,
}

impl Database {
    /// One of the test's own.
    pub async fn new(content: Content, indexes: Indexes) -> Self {
        let template = template(content, indexes).await;
        let database = Self::named(format!("test_{}", Uuid::now_v7().simple()));
        let sql = format!("create database {} template {template}", database.name);
        execute(&mut server().await, &sql).await;
        database
    }

    /// One of the test's own without anything in it.
    pub async fn empty() -> Self {
        let database = Self::named(format!("test_{}", Uuid::now_v7().simple()));
        execute(&mut server().await, &format!("create database {}", database.name)).await;
        database
    }

    fn named(name: String) -> Self {
        Self {
            options: servers().postgres.clone().database(&name),
            name,
        }
    }

    pub fn url(&self) -> String {
        self.options.to_url_lossy().to_string()
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub async fn connect(&self) -> PgConnection {
        self.options.connect().await.unwrap()
    }

    pub async fn execute(&self, sql: &str) {
        let mut connection = self.connect().await;
        execute(&mut connection, sql).await;
        connection.close().await.unwrap();
    }

    /// The one value that a query returns, as JSON.
    pub async fn json(&self, sql: &str) -> Value {
        let mut connection = self.connect().await;
        let sql = format!("select to_jsonb(({sql}))");
        let value = sqlx::query_scalar::<_, Option<Value>>(AssertSqlSafe(sql))
            .fetch_one(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
        value.unwrap_or(Value::Null)
    }

    /// The one whole number that a query returns.
    pub async fn number(&self, sql: &str) -> i64 {
        self.json(sql).await.as_i64().unwrap()
    }
}

/// How long a test waits for its database to be dropped.
const DROP_PATIENCE: Duration = Duration::from_secs(1);

impl Drop for Database {
    fn drop(&mut self) {
        let sql = format!("drop database {} with (force)", self.name);
        let (done, dropped) = mpsc::channel();
        // A runtime of its own: this also runs while a failed test unwinds.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async { execute(&mut server().await, &sql).await });
            let _ = done.send(());
        });
        // Not for ever: Postgres may be waiting for a connection that is being opened by this very test, whose
        // runtime stands still meanwhile.
        let _ = dropped.recv_timeout(DROP_PATIENCE);
    }
}

pub async fn execute(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await
        .unwrap();
}

async fn server() -> PgConnection {
    servers().postgres.connect().await.unwrap()
}

/// The name of the template, which exists when this returns.
async fn template(content: Content, indexes: Indexes) -> String {
    let name = format!("template_{:016x}", fingerprint(content, indexes));
    let mut server = server().await;
    // Test processes that start together take turns.
    execute(&mut server, "select pg_advisory_lock(7236410)").await;
    static SWEPT: AtomicBool = AtomicBool::new(false);
    if !SWEPT.swap(true, Ordering::Relaxed) {
        drop_what_killed_runs_left(&mut server).await;
    }
    let exists: bool = sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
        .bind(&name)
        .fetch_one(&mut server)
        .await
        .unwrap();
    if !exists {
        // Renamed when it is finished: a run that is cut off leaves no half of a template.
        let unfinished = format!("{name}_unfinished");
        execute(
            &mut server,
            &format!("drop database if exists {unfinished} with (force)"),
        )
        .await;
        execute(&mut server, &format!("create database {unfinished}")).await;
        fill(
            &servers().postgres.clone().database(&unfinished),
            content,
            indexes,
        )
        .await;
        execute(
            &mut server,
            &format!("alter database {unfinished} rename to {name}"),
        )
        .await;
    }
    server.close().await.unwrap();
    name
}

/// A test's database is named after a UUIDv7, which begins with its time: after an hour no test uses it.
async fn drop_what_killed_runs_left(server: &mut PgConnection) {
    let left: Vec<String> = sqlx::query_scalar(
        "select datname from pg_database
         where datname ~ '^test_[0-9a-f]{32}$'
           and ('x' || substr(datname, 6, 12))::bit(48)::bigint < extract(epoch from now() - interval '1 hour') * 1000",
    )
    .fetch_all(&mut *server)
    .await
    .unwrap();
    for name in left {
        execute(server, &format!("drop database if exists {name} with (force)")).await;
    }
}

async fn fill(options: &PgConnectOptions, content: Content, indexes: Indexes) {
    let mut connection = options.connect().await.unwrap();
    let settings = MigrationSettings {
        offline: true,
        ..MigrationSettings::default()
    };
    migrate(&mut connection, indexes, &settings).await.unwrap();
    if content != Content::Schema {
        execute(&mut connection, content.sql()).await;
    }
    // The triggers have left dead rows; without them, the same request always reads the same pages.
    execute(&mut connection, "vacuum (full)").await;
    execute(&mut connection, "vacuum (analyze)").await;
    connection.close().await.unwrap();
}

fn fingerprint(content: Content, indexes: Indexes) -> u64 {
    let mut hasher = DefaultHasher::new();
    (content, indexes, content.sql()).hash(&mut hasher);
    let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
    let mut files: Vec<_> = [migrations.join("indexes"), migrations]
        .iter()
        .flat_map(|folder| folder.read_dir().unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    for file in files {
        std::fs::read(file).unwrap().hash(&mut hasher);
    }
    hasher.finish()
}
