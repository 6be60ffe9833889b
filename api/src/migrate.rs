//! `backstock-api migrate`: brings the schema up to date, and applies an index set.
//!
//! Index sets are no migrations: they are the lesson `indexes`, and can be changed back and forth.

use sqlx::migrate::MigrateError;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use storefront::schema::{self, SchemaError};
use storefront::variants::Indexes;

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
}

impl UnusableDatabase {
    /// Whether waiting may help. An index set changes by somebody's doing.
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
    /// The index set can't.
    #[error(transparent)]
    Indexes(#[from] sqlx::Error),
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
/// When the schema is newer than this build, or a migration or a statement fails; what was applied before it stays, whole.
pub async fn migrate(connection: &mut PgConnection, indexes: Indexes) -> Result<(), MigrationError> {
    schema::check_not_newer(connection).await?;
    // An index over a large table takes longer than any request may.
    sqlx::query("set statement_timeout = 0")
        .execute(&mut *connection)
        .await?;
    schema::MIGRATIONS.run(&mut *connection).await?;
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
    Ok(connection)
}
