//! `backstock-api migrate`: applies migrations and an index set, also while the shop is open.
//!
//! A migration waits only briefly for its locks, because all later statements queue behind a waiting strong lock. On
//! a timeout it is rolled back and retried. Index sets aren't migrations: they are the lesson `indexes`, and can be
//! swapped back and forth. Read next: `index_set.rs`.

mod index_changes;
mod index_set;

use std::time::Duration;

use platform::postgres::is_deadlock;
use platform::settings::parse_millis;
use shop::schema::{self, SchemaError};
use sqlx::PgConnection;
use sqlx::migrate::MigrateError;
use sqlx::postgres::PgConnectOptions;
use techniques::Indexes;

use self::index_changes::IndexSet;

/// How a migration coexists with concurrent use of the database.
#[derive(Debug, Clone, clap::Args)]
pub struct MigrationSettings {
    /// How long a migration may wait for a lock before it is rolled back and retried, in milliseconds. Statements on
    /// the same table queue behind it meanwhile
    #[arg(long = "lock-timeout-ms", env = "BACKSTOCK_MIGRATION_LOCK_TIMEOUT_MS", default_value = "500",
          value_parser = parse_millis)]
    pub lock_timeout: Duration,

    /// How often a migration that doesn't get its locks is attempted, with growing pauses of up to five seconds
    #[arg(long, env = "BACKSTOCK_MIGRATION_LOCK_ATTEMPTS", default_value_t = 30,
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub lock_attempts: u32,

    /// No other process uses the database: swap the index set in one transaction, which is faster and locks the
    /// tables
    #[arg(long)]
    pub offline: bool,
}

impl MigrationSettings {
    /// The pause before the next attempt. It grows, to outlast a long transaction with few attempts.
    fn pause_after(&self, attempt: u32) -> Duration {
        const STEP: Duration = Duration::from_millis(250);
        const LONGEST: Duration = Duration::from_secs(5);
        LONGEST.min(STEP * attempt)
    }
}

/// Why a database can't be used.
#[derive(Debug, thiserror::Error)]
pub enum UnusableDatabase {
    /// Another schema version, or no connection.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The applied index set is not the selected one.
    #[error(
        "the database has the index set `{applied}`, `indexes={wanted}` is selected; \
         run `backstock-api migrate --indexes {wanted}`, or start with BACKSTOCK_VARIANTS=…,indexes={applied}"
    )]
    Indexes { applied: String, wanted: &'static str },
    /// The index set comes from another build, or was applied only in part.
    #[error(
        "the database's index set `{arm}` lacks {}; run `backstock-api migrate --indexes {arm}`",
        .missing.join(", ")
    )]
    IncompleteIndexes {
        arm: &'static str,
        /// Indexes that the database lacks, or whose build was interrupted.
        missing: Vec<String>,
    },
}

impl UnusableDatabase {
    /// Whether retrying can help. An index set changes only by a command.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Schema(error) if error.is_transient())
    }
}

/// Why a migration failed.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// This build can't migrate the schema.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    #[error(transparent)]
    Failed(#[from] MigrateError),
    /// The locks weren't free in any attempt.
    #[error(
        "{what} didn't get its locks in {attempts} attempts, because other transactions hold them: end the long-running ones \
         (`select pid, xact_start, query from pg_stat_activity order by xact_start`), or raise \
         BACKSTOCK_MIGRATION_LOCK_TIMEOUT_MS or BACKSTOCK_MIGRATION_LOCK_ATTEMPTS, and run `backstock-api migrate` again; \
         what was applied before stays"
    )]
    Locked { what: String, attempts: u32 },
    #[error("the index set can't be applied: {0}")]
    Indexes(#[from] sqlx::Error),
}

fn index_set_sql(arm: Indexes) -> &'static str {
    techniques::select_arm!(arm => Indexes {
        baseline None => include_str!("../../../migrations/indexes/none.sql"),
        baseline ForeignKeys => include_str!("../../../migrations/indexes/foreign_keys.sql"),
        optimized Chosen => include_str!("../../../migrations/indexes/chosen.sql"),
    })
}

/// Applies missing migrations, then what the database lacks of the index set, and drops indexes of other sets.
///
/// # Errors
/// When the schema is newer than this build, a statement fails, or locks aren't free in any attempt. Whatever was
/// applied before stays, each migration atomically; another run continues from there.
pub async fn migrate(
    connection: &mut PgConnection,
    indexes: Indexes,
    settings: &MigrationSettings,
) -> Result<(), MigrationError> {
    schema::check_not_newer(connection).await?;
    // Building an index may take longer than any request, and a session waiting for the lock is idle.
    set_timeout(connection, "statement_timeout", Duration::ZERO).await?;
    set_timeout(connection, "idle_in_transaction_session_timeout", Duration::ZERO).await?;
    set_timeout(connection, "lock_timeout", settings.lock_timeout).await?;
    apply_migrations(connection, settings).await?;
    let set = IndexSet::new(indexes.as_str(), index_set_sql(indexes));
    if settings.offline {
        index_set::swap(connection, &set).await?;
        return Ok(());
    }
    index_set::change_concurrently(connection, &set, settings).await
}

async fn apply_migrations(
    connection: &mut PgConnection,
    settings: &MigrationSettings,
) -> Result<(), MigrationError> {
    let mut attempt = 1;
    loop {
        let error = match schema::MIGRATIONS.run(&mut *connection).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let what = match &error {
            MigrateError::ExecuteMigration(error, version) if is_about_locks(error) => {
                format!("the migration {version}")
            }
            MigrateError::Execute(error) if is_about_locks(error) => "a migration".to_owned(),
            _ => return Err(error.into()),
        };
        pause_or_give_up(&what, &mut attempt, settings).await?;
    }
}

/// Pauses before the next attempt, or fails after the last one.
async fn pause_or_give_up(
    what: &str,
    attempt: &mut u32,
    settings: &MigrationSettings,
) -> Result<(), MigrationError> {
    if *attempt >= settings.lock_attempts {
        return Err(MigrationError::Locked {
            what: what.to_owned(),
            attempts: *attempt,
        });
    }
    let pause = settings.pause_after(*attempt);
    tracing::warn!(
        what,
        attempt,
        pause_ms = pause.as_millis() as u64,
        "lock timeout: rolled back, retrying after a pause"
    );
    tokio::time::sleep(pause).await;
    *attempt += 1;
    Ok(())
}

/// A lock timeout, or a deadlock in which this side was aborted.
fn is_about_locks(error: &sqlx::Error) -> bool {
    const LOCK_NOT_AVAILABLE: &str = "55P03";
    let code = error.as_database_error().and_then(|refusal| refusal.code());
    is_deadlock(error) || code.as_deref() == Some(LOCK_NOT_AVAILABLE)
}

/// Set for the whole session.
async fn set_timeout(
    connection: &mut PgConnection,
    name: &str,
    timeout: Duration,
) -> Result<(), sqlx::Error> {
    sqlx::query("select set_config($1, $2, false)")
        .bind(name)
        .bind(timeout.as_millis().to_string())
        .execute(connection)
        .await?;
    Ok(())
}

async fn applied_indexes(connection: &mut PgConnection) -> Result<String, sqlx::Error> {
    sqlx::query_scalar!("select arm from index_set")
        .fetch_one(connection)
        .await
}

/// Connects to a database with this build's schema and the selected index set.
///
/// # Errors
/// When they differ, or Postgres can't be reached; each message says what to do.
pub async fn connect(options: &PgConnectOptions, indexes: Indexes) -> Result<PgConnection, UnusableDatabase> {
    let mut connection = schema::connect(options).await?;
    let applied = applied_indexes(&mut connection)
        .await
        .map_err(SchemaError::from)?;
    if applied != indexes.as_str() {
        return Err(UnusableDatabase::Indexes {
            applied,
            wanted: indexes.as_str(),
        });
    }
    let set = IndexSet::new(indexes.as_str(), index_set_sql(indexes));
    let missing = index_set::missing(&mut connection, &set)
        .await
        .map_err(SchemaError::from)?;
    if !missing.is_empty() {
        return Err(UnusableDatabase::IncompleteIndexes {
            arm: indexes.as_str(),
            missing,
        });
    }
    Ok(connection)
}
