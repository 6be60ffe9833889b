//! A database per test: cloned from a template, and dropped with the test.
//!
//! A template is built once per content and index set, and stays on the server for the next run. Its name is
//! a fingerprint of everything that it was built from.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak, mpsc};
use std::time::Duration;

use serde_json::Value;
use shop::schema::MIGRATIONS;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::process;
use super::servers::servers;
use super::until;

const CATALOGUE: &str = include_str!("catalogue.sql");
const MANY_PRODUCTS: &str = include_str!("many_products.sql");

/// The initial content of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Content {
    /// Only the schema.
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

/// Counts the database's backends that wait for a lock. A test may append conditions.
pub const WAITING_FOR_LOCK: &str = "select count(*) from pg_stat_activity
     where datname = current_database() and wait_event_type = 'Lock'";

/// As [`WAITING_FOR_LOCK`], only for requests. The shop's background loads have another application name.
pub const REQUESTS_WAITING_FOR_LOCK: &str = "select count(*) from pg_stat_activity
     where datname = current_database() and wait_event_type = 'Lock' and application_name = 'backstock-api'";

pub struct Database {
    pub options: PgConnectOptions,
    name: String,
}

impl Database {
    /// A new database with this content.
    pub async fn new(content: Content) -> Self {
        Self::clone_of(&template(content).await).await
    }

    /// A database with this content that tests share, so it is read-only.
    pub async fn shared(content: Content) -> Arc<Self> {
        static SHARED: Mutex<BTreeMap<String, Weak<Database>>> = Mutex::const_new(BTreeMap::new());
        let template = template(content).await;
        let mut shared = SHARED.lock().await;
        let database = match shared.get(&template).and_then(Weak::upgrade) {
            Some(database) => database,
            None => Arc::new(Self::clone_of(&template).await),
        };
        shared.insert(template, Arc::downgrade(&database));
        #[cfg(feature = "baselines")]
        super::arms::keep(&database);
        database
    }

    /// A new database without a schema.
    pub async fn empty() -> Self {
        Self::clone_of("template1").await
    }

    async fn clone_of(template: &str) -> Self {
        let name = format!("test_{}", Uuid::now_v7().simple());
        let sql = format!("create database {name} template {template}");
        execute(&mut server().await, &sql).await;
        Self::named(name)
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

    /// The single value that a query returns, as JSON.
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

    /// The single integer that a query returns.
    pub async fn number(&self, sql: &str) -> i64 {
        self.json(sql).await.as_i64().unwrap()
    }

    /// The number of backends that wait for a lock.
    pub async fn waiting_for_lock(&self) -> i64 {
        self.number(WAITING_FOR_LOCK).await
    }

    /// The number of requests that wait for a lock.
    pub async fn requests_waiting_for_lock(&self) -> i64 {
        self.number(REQUESTS_WAITING_FOR_LOCK).await
    }

    /// Waits until exactly this number of backends wait for a lock.
    pub async fn until_waiting_for_lock(&self, count: i64) {
        until("the expected number of backends wait for a lock", async || {
            (self.waiting_for_lock().await == count).then_some(())
        })
        .await;
    }
}

/// How long a test waits until its database is dropped.
const DROP_TIMEOUT: Duration = Duration::from_secs(1);

impl Drop for Database {
    fn drop(&mut self) {
        let sql = format!("drop database {} with (force)", self.name);
        let (done, dropped) = mpsc::channel();
        // It needs its own runtime, because it also runs while a failed test unwinds.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async { execute(&mut server().await, &sql).await });
            let _ = done.send(());
        });
        // With a timeout, to avoid a deadlock: Postgres may wait for a connection that this test is opening,
        // and its runtime is blocked here.
        let _ = dropped.recv_timeout(DROP_TIMEOUT);
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

/// Returns the name of the template, and builds it if it is missing.
async fn template(content: Content) -> String {
    let name = format!("template_{:016x}", fingerprint(content));
    let mut server = server().await;
    // Concurrent test processes build it one at a time.
    execute(&mut server, "select pg_advisory_lock(7236410)").await;
    static CLEANED_UP: AtomicBool = AtomicBool::new(false);
    if !CLEANED_UP.swap(true, Ordering::Relaxed) {
        drop_leftover_databases(&mut server).await;
    }
    let exists: bool = sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
        .bind(&name)
        .fetch_one(&mut server)
        .await
        .unwrap();
    if !exists {
        // Renamed once it is complete, so that an aborted run leaves no incomplete template.
        let unfinished = format!("{name}_unfinished");
        execute(
            &mut server,
            &format!("drop database if exists {unfinished} with (force)"),
        )
        .await;
        execute(&mut server, &format!("create database {unfinished}")).await;
        fill(&unfinished, content).await;
        execute(
            &mut server,
            &format!("alter database {unfinished} rename to {name}"),
        )
        .await;
    }
    server.close().await.unwrap();
    name
}

/// Drops the databases of killed runs. The name contains a UUIDv7, which starts with its timestamp: after an
/// hour, the test is over.
async fn drop_leftover_databases(server: &mut PgConnection) {
    let leftover: Vec<String> = sqlx::query_scalar(
        "select datname from pg_database
         where datname ~ '^test_[0-9a-f]{32}$'
           and ('x' || substr(datname, 6, 12))::bit(48)::bigint < extract(epoch from now() - interval '1 hour') * 1000",
    )
    .fetch_all(&mut *server)
    .await
    .unwrap();
    for name in leftover {
        execute(server, &format!("drop database if exists {name} with (force)")).await;
    }
}

async fn fill(name: &str, content: Content) {
    let options = servers().postgres.clone().database(name);
    let settings = [
        ("BACKSTOCK_DATABASE_URL", options.to_url_lossy().to_string()),
        #[cfg(feature = "baselines")]
        ("BACKSTOCK_VARIANTS", super::arms::selection().to_string()),
    ];
    let migrated = process::run(&["migrate", "--offline"], &settings).await;
    assert_eq!(migrated.code, Some(0), "{}", migrated.stderr);
    let mut connection = options.connect().await.unwrap();
    execute(&mut connection, content.sql()).await;
    // The triggers leave dead rows. Without them, the same request always reads the same pages.
    execute(&mut connection, "vacuum (full)").await;
    execute(&mut connection, "vacuum (analyze)").await;
    connection.close().await.unwrap();
}

fn fingerprint(content: Content) -> u64 {
    let mut hasher = DefaultHasher::new();
    (content, content.sql()).hash(&mut hasher);
    #[cfg(feature = "baselines")]
    super::arms::selection().indexes.hash(&mut hasher);
    // The compiled migrations, not the files: a build that was running while a file was added lacks it.
    for migration in MIGRATIONS.iter() {
        (migration.version, &*migration.checksum).hash(&mut hasher);
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations/indexes");
    let mut files: Vec<_> = folder
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    for file in files {
        std::fs::read(file).unwrap().hash(&mut hasher);
    }
    hasher.finish()
}
