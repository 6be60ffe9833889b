//! The schema that this build was made for, held against the one that a database has. A process starts on its own schema
//! alone: an older one lacks what its statements name, and of a newer one it can't know what they would break.
//!
//! Of the shop's SQL this crate knows nothing but the migrations, which `backstock-api migrate` applies.

use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions};

use crate::postgres;

/// All migrations that this build knows.
pub static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");

/// Where sqlx notes what was applied.
const TABLE: &str = "_sqlx_migrations";

/// How long connecting and checking may take together, at the start of a process.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a schema can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// There is none yet.
    #[error("the database has no schema; run `backstock-api migrate` first")]
    Missing,
    /// It lacks migrations that this build knows.
    #[error(
        "the database's schema is older than this build ({missing} missing); run `backstock-api migrate`"
    )]
    Older {
        /// How many migrations.
        missing: usize,
    },
    /// It has migrations that this build doesn't know.
    #[error(
        "the database's schema is newer than this build: it has migration {version}, the last one known here is {known}; \
         start a build that knows it, this one could break what it doesn't know"
    )]
    Newer {
        /// The last that was applied.
        version: i64,
        /// The last of this build.
        known: i64,
    },
    /// It can't be asked.
    #[error("can't use the Postgres at BACKSTOCK_DATABASE_URL: {0}")]
    Database(#[from] sqlx::Error),
}

impl SchemaError {
    /// Whether waiting may help: Postgres isn't there yet. A schema changes by somebody's doing.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Database(error) if postgres::may_pass(error))
    }
}

/// Connects to a database that has this build's schema.
///
/// # Errors
/// When it has not, or doesn't answer in time; each message says what to do.
pub async fn connect(options: &PgConnectOptions) -> Result<PgConnection, SchemaError> {
    let connecting = async {
        let mut connection = options.connect().await?;
        check(&mut connection).await?;
        Ok(connection)
    };
    let connected = tokio::time::timeout(ANSWER_TIMEOUT, connecting).await;
    connected.unwrap_or_else(|_| Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()).into()))
}

async fn check(connection: &mut PgConnection) -> Result<(), SchemaError> {
    let applied = applied(connection).await?.ok_or(SchemaError::Missing)?;
    refuse_newer(&applied)?;
    let is_missing = |version: &i64| !applied.contains(version);
    match known().filter(is_missing).count() {
        0 => Ok(()),
        missing => Err(SchemaError::Older { missing }),
    }
}

/// Checks that a database has no migration that this build doesn't know. It may lack some, or have no schema at all.
///
/// # Errors
/// When it has one, or can't be asked.
pub async fn check_not_newer(connection: &mut PgConnection) -> Result<(), SchemaError> {
    refuse_newer(&applied(connection).await?.unwrap_or_default())
}

fn refuse_newer(applied: &[i64]) -> Result<(), SchemaError> {
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

/// The migrations that the database has; `None` where none was ever applied.
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
