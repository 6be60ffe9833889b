//! Compares the database's schema with this build's. A process starts only on its own schema: an older one
//! lacks what its statements use, and writes to a newer one could violate rules that it doesn't know.
//!
//! The migrations themselves are applied by `backstock-api migrate`.

use std::time::Duration;

use platform::postgres;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions};

pub static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");

/// The table in which sqlx records applied migrations.
const TABLE: &str = "_sqlx_migrations";

/// The time limit of connecting and checking at startup.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a schema can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    #[error("the database has no schema; run `backstock-api migrate` first")]
    Missing,
    /// It lacks migrations of this build.
    #[error(
        "the database's schema is older than this build ({missing} missing); run `backstock-api migrate`"
    )]
    Older { missing: usize },
    /// It has migrations that this build doesn't know.
    #[error(
        "the database's schema is newer than this build: it has migration {version}, the last one known here is {known}; \
         start a build that knows it, because this one could violate its rules"
    )]
    Newer {
        /// The last applied migration.
        version: i64,
        /// The last migration of this build.
        known: i64,
    },
    #[error("can't use the Postgres at BACKSTOCK_DATABASE_URL: {0}")]
    Database(#[from] sqlx::Error),
}

impl SchemaError {
    /// Whether a retry can help: Postgres isn't reachable yet. A schema changes only by a command.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Database(error) if postgres::is_transient(error))
    }
}

/// Connects to a database with this build's schema.
///
/// # Errors
/// When it differs, or Postgres doesn't respond in time; each message says what to do.
pub async fn connect(options: &PgConnectOptions) -> Result<PgConnection, SchemaError> {
    let connecting = async {
        let mut connection = options.connect().await?;
        check(&mut connection).await?;
        Ok(connection)
    };
    let connected = tokio::time::timeout(CHECK_TIMEOUT, connecting).await;
    connected.unwrap_or_else(|_| Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()).into()))
}

async fn check(connection: &mut PgConnection) -> Result<(), SchemaError> {
    let applied = applied(connection).await?.ok_or(SchemaError::Missing)?;
    reject_newer(&applied)?;
    let is_missing = |version: &i64| !applied.contains(version);
    match known().filter(is_missing).count() {
        0 => Ok(()),
        missing => Err(SchemaError::Older { missing }),
    }
}

/// Checks that a database has no migration that this build doesn't know. It may lack some, or have no schema
/// at all.
///
/// # Errors
/// When it has one, or Postgres can't be queried.
pub async fn check_not_newer(connection: &mut PgConnection) -> Result<(), SchemaError> {
    reject_newer(&applied(connection).await?.unwrap_or_default())
}

fn reject_newer(applied: &[i64]) -> Result<(), SchemaError> {
    let unknown = applied
        .iter()
        .filter(|version| known().all(|known| known != **version));
    match unknown.max() {
        None => Ok(()),
        Some(version) => Err(SchemaError::Newer {
            version: *version,
            known: known().max().unwrap_or_default(),
        }),
    }
}

fn known() -> impl Iterator<Item = i64> {
    MIGRATIONS.iter().map(|migration| migration.version)
}

/// The applied migrations; `None` if there is no schema.
async fn applied(connection: &mut PgConnection) -> Result<Option<Vec<i64>>, sqlx::Error> {
    let table: Option<String> =
        sqlx::query_scalar(AssertSqlSafe(format!("select to_regclass('{TABLE}')::text")))
            .fetch_one(&mut *connection)
            .await?;
    if table.is_none() {
        return Ok(None);
    }
    let applied = format!("select version from {TABLE} where success");
    let applied = sqlx::query_scalar(AssertSqlSafe(applied))
        .fetch_all(connection)
        .await?;
    Ok(Some(applied))
}
