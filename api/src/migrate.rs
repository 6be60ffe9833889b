//! `backstock-api migrate`: brings the schema up to date, and applies an index set.
//!
//! Index sets are no migrations: they are the lesson `indexes`, and can be changed back and forth.

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use storefront::variants::Indexes;

static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");

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
    #[error("the database's schema is newer than this build; start a newer build")]
    Newer,
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
    /// A statement failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// The SQL of an index set.
fn index_set(arm: Indexes) -> &'static str {
    match arm {
        #[cfg(feature = "baselines")]
        Indexes::None => include_str!("../../migrations/indexes/none.sql"),
        #[cfg(feature = "baselines")]
        Indexes::ForeignKeys => include_str!("../../migrations/indexes/foreign_keys.sql"),
        Indexes::Chosen => include_str!("../../migrations/indexes/chosen.sql"),
    }
}

/// Applies all migrations that are missing, then the index set, unless it is applied already.
///
/// # Errors
/// When a migration or a statement fails; what was applied before it stays, whole.
pub async fn migrate(connection: &mut PgConnection, indexes: Indexes) -> Result<(), MigrateError> {
    // An index over a large table takes longer than any request may.
    sqlx::query("set statement_timeout = 0")
        .execute(&mut *connection)
        .await?;
    MIGRATIONS.run(&mut *connection).await?;
    if applied_indexes(connection).await? != indexes.as_str() {
        apply_indexes(connection, indexes).await?;
    }
    Ok(())
}

/// Swaps the index sets in one transaction, so that a database never has half of one. Indexes that no set made stay.
async fn apply_indexes(connection: &mut PgConnection, indexes: Indexes) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    // One at a time: another `migrate` waits here.
    sqlx::query("lock table index_set in exclusive mode")
        .execute(&mut *transaction)
        .await?;
    sqlx::raw_sql(
        "do $$
         declare
             name text;
         begin
             foreach name in array (select indexes from index_set) loop
                 execute format('drop index if exists %I', name);
             end loop;
         end $$",
    )
    .execute(&mut *transaction)
    .await?;
    let before = index_names(&mut transaction).await?;
    sqlx::raw_sql(index_set(indexes))
        .execute(&mut *transaction)
        .await?;
    let mut made = index_names(&mut transaction).await?;
    made.retain(|name| !before.contains(name));
    sqlx::query!(
        "update index_set set arm = $1, indexes = $2",
        indexes.as_str(),
        &made
    )
    .execute(&mut *transaction)
    .await?;
    // An index over an expression has statistics of its own.
    sqlx::query("analyze").execute(&mut *transaction).await?;
    transaction.commit().await
}

async fn index_names(connection: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select indexname::text as "name!" from pg_indexes where schemaname = current_schema()"#
    )
    .fetch_all(connection)
    .await
}

async fn applied_indexes(connection: &mut PgConnection) -> Result<String, sqlx::Error> {
    sqlx::query_scalar!("select arm from index_set")
        .fetch_one(connection)
        .await
}

/// Checks that the database has this build's schema and the variants' index set.
///
/// # Errors
/// When it has not; each message says what to do.
pub async fn check(connection: &mut PgConnection, indexes: Indexes) -> Result<(), SchemaError> {
    const TABLE: &str = "_sqlx_migrations";
    let table: Option<String> =
        sqlx::query_scalar(AssertSqlSafe(format!("select to_regclass('{TABLE}')::text")))
            .fetch_one(&mut *connection)
            .await?;
    if table.is_none() {
        return Err(SchemaError::Missing);
    }
    let applied: Vec<i64> = sqlx::query_scalar(AssertSqlSafe(format!(
        "select version from {TABLE} where success"
    )))
    .fetch_all(&mut *connection)
    .await?;
    let known: Vec<i64> = MIGRATIONS.iter().map(|migration| migration.version).collect();
    if applied.iter().any(|version| !known.contains(version)) {
        return Err(SchemaError::Newer);
    }
    let missing = known.iter().filter(|version| !applied.contains(version)).count();
    if missing > 0 {
        return Err(SchemaError::Older { missing });
    }
    let applied = applied_indexes(connection).await?;
    if applied != indexes.as_str() {
        return Err(SchemaError::Indexes {
            applied,
            wanted: indexes.as_str(),
        });
    }
    Ok(())
}
