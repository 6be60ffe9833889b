//! `backstock-api migrate`: brings the schema up to date, and the index set, while the shop may be open.
//!
//! A migration waits for its locks for a moment only, because every statement that comes later queues behind a strong lock
//! that is waited for. Then it is rolled back and retried. Index sets are no migrations: they are the lesson `indexes`, and can be changed back
//! and forth. Read next: `index_set.rs`.

mod index_changes;
mod index_set;

use std::time::Duration;

use sqlx::PgConnection;
use sqlx::migrate::MigrateError;
use sqlx::postgres::PgConnectOptions;
use storefront::schema::{self, SchemaError};
use storefront::settings::parse_millis;
use storefront::variants::Indexes;

use self::index_changes::IndexSet;

/// How a migration treats those who use the database meanwhile.
#[derive(Debug, Clone, clap::Args)]
pub struct MigrationSettings {
    /// How long a migration may wait for a lock before it is rolled back and retried, in milliseconds. Statements that need
    /// the same table queue behind it for as long
    #[arg(long = "lock-timeout-ms", env = "BACKSTOCK_MIGRATION_LOCK_TIMEOUT_MS", default_value = "500",
          value_parser = parse_millis)]
    pub lock_timeout: Duration,

    /// How often a migration that can't get its locks is attempted, with growing pauses of up to five seconds
    #[arg(long, env = "BACKSTOCK_MIGRATION_LOCK_ATTEMPTS", default_value_t = 30,
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub lock_attempts: u32,

    /// No process uses the database: swap the index set in one transaction, which is faster and locks the tables
    #[arg(long)]
    pub offline: bool,
}

impl Default for MigrationSettings {
    fn default() -> Self {
        Self {
            lock_timeout: Duration::from_millis(500),
            lock_attempts: 30,
            offline: false,
        }
    }
}

impl MigrationSettings {
    /// Before the next attempt. It grows, so that a long transaction is outlived without many tries.
    fn pause_after(&self, attempt: u32) -> Duration {
        const STEP: Duration = Duration::from_millis(250);
        const LONGEST: Duration = Duration::from_secs(5);
        LONGEST.min(STEP * attempt)
    }
}

/// Why a database can't be served.
#[derive(Debug, thiserror::Error)]
pub enum UnusableDatabase {
    /// It has another schema, or can't be asked.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// Another index set is applied than the variants say.
    #[error(
        "the database has the index set `{applied}`, the variants say `indexes={wanted}`; \
         run `backstock-api migrate --indexes {wanted}`, or start with BACKSTOCK_VARIANTS=…,indexes={applied}"
    )]
    Indexes {
        /// What the database has.
        applied: String,
        /// What the variants say.
        wanted: &'static str,
    },
    /// The index set is that of another build, or was applied in part.
    #[error(
        "the database's index set `{arm}` lacks {}; run `backstock-api migrate --indexes {arm}`",
        .missing.join(", ")
    )]
    IncompleteIndexes {
        /// The set.
        arm: &'static str,
        /// Its indexes that the database hasn't, or whose building was interrupted.
        missing: Vec<String>,
    },
}

impl UnusableDatabase {
    /// Whether waiting may help. An index set changes only by a command.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Schema(error) if error.may_pass())
    }
}

/// What ends a migration.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// There is nothing to do for this build.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// A migration can't be applied.
    #[error(transparent)]
    Failed(#[from] MigrateError),
    /// A lock was held by others all the time.
    #[error(
        "{what} didn't get its locks in {attempts} attempts, because other transactions hold them: end those that are open \
         for long (`select pid, xact_start, query from pg_stat_activity order by xact_start`), or raise \
         BACKSTOCK_MIGRATION_LOCK_TIMEOUT_MS or BACKSTOCK_MIGRATION_LOCK_ATTEMPTS, and run `backstock-api migrate` again; \
         what was applied before stays"
    )]
    Locked {
        /// Which migration or index.
        what: String,
        /// How often it was tried.
        attempts: u32,
    },
    /// The index set can't.
    #[error("the index set can't be applied: {0}")]
    Indexes(#[from] sqlx::Error),
}

/// The SQL of an index set.
fn index_set_sql(arm: Indexes) -> &'static str {
    match arm {
        #[cfg(feature = "baselines")]
        Indexes::None => include_str!("../../../migrations/indexes/none.sql"),
        #[cfg(feature = "baselines")]
        Indexes::ForeignKeys => include_str!("../../../migrations/indexes/foreign_keys.sql"),
        Indexes::Chosen => include_str!("../../../migrations/indexes/chosen.sql"),
    }
}

/// Applies all migrations that are missing, then what the database lacks of the index set, and drops what it has of others.
///
/// # Errors
/// When the schema is newer than this build, a migration or a statement fails, or others hold the locks all the time. What
/// was applied before it stays, each migration whole; another run goes on from there.
pub async fn migrate(
    connection: &mut PgConnection,
    indexes: Indexes,
    settings: &MigrationSettings,
) -> Result<(), MigrationError> {
    schema::check_not_newer(connection).await?;
    // An index over a large table takes longer than any request may, and a session that waits for its turn is idle.
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

/// Waits before the next attempt, unless this was the last.
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

/// A lock timeout, or a deadlock that this side lost.
fn is_about_locks(error: &sqlx::Error) -> bool {
    const LOCK_NOT_AVAILABLE: &str = "55P03";
    const DEADLOCK_DETECTED: &str = "40P01";
    let code = error.as_database_error().and_then(|refusal| refusal.code());
    code.is_some_and(|code| code == LOCK_NOT_AVAILABLE || code == DEADLOCK_DETECTED)
}

/// For the rest of the connection's life.
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

/// Connects to a database that has this build's schema and the variants' index set.
///
/// # Errors
/// When it has not, or doesn't answer; each message says what to do.
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
