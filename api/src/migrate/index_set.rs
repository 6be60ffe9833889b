//! Applies an index set: compares it with the database's indexes, builds what is missing, drops what is obsolete.
//!
//! Indexes are compared by definition, in Postgres' own canonical form: the set is applied to empty temporary tables,
//! and `pg_get_indexdef` is compared with that of the real ones. So a set that another build applied, or that was
//! interrupted, is completed without rebuilding what is correct.
//!
//! In an open shop, indexes are built and dropped `concurrently`, new ones first: reads and writes continue, and no
//! query lacks its index meanwhile. Read next: `index_changes.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::index_changes::{Changes, Existing, Index, IndexSet, replaced_name};
use super::{MigrationError, MigrationSettings, is_about_locks, pause_or_give_up, set_timeout};

/// `create index concurrently` waits for older transactions. No reads or writes queue behind it, so it may wait long,
/// but not forever: ending a forgotten transaction is up to an operator.
const CONCURRENT_LOCK_TIMEOUT: Duration = Duration::from_secs(120);

/// The advisory lock that serializes `migrate`.
const LOCK: i64 = 0x696e_6465_785f_7365;

/// The polling interval. The lock is polled because a statement that waits for it in Postgres has a snapshot, whose
/// end the other `migrate` would wait for while it builds.
const LOCK_POLL: Duration = Duration::from_millis(250);

/// The set's indexes that the database lacks, or whose build was interrupted.
pub(super) async fn missing(
    connection: &mut PgConnection,
    set: &IndexSet,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(
        "select name from unnest($1::text[]) as name
         where not exists (
             select from pg_class c join pg_index i on i.indexrelid = c.oid
             where c.relname = name and c.relnamespace = current_schema()::regnamespace and i.indisvalid)
         order by name",
    )
    .bind(set.names())
    .fetch_all(connection)
    .await
}

/// Brings an unused database to this set, in one transaction.
pub(super) async fn swap(connection: &mut PgConnection, set: &IndexSet) -> Result<(), sqlx::Error> {
    let wanted = wanted_definitions(connection, set).await?;
    let mut transaction = connection.begin().await?;
    sqlx::query("lock table index_set in exclusive mode")
        .execute(&mut *transaction)
        .await?;
    let changes = changes(&mut transaction, &wanted).await?;
    for name in changes
        .drop
        .iter()
        .chain(&changes.broken)
        .chain(&changes.replaced)
    {
        execute(&mut transaction, format!("drop index {}", quoted(name))).await?;
    }
    for index in set
        .indexes
        .iter()
        .filter(|index| changes.create.contains(&index.name))
    {
        let unique = if index.is_unique { "unique " } else { "" };
        execute(&mut transaction, format!("create {unique}index {}", index.rest)).await?;
    }
    record(&mut transaction, set.arm, &set.names()).await?;
    transaction.commit().await
}

/// Brings a database to this set while others read and write.
pub(super) async fn change_concurrently(
    connection: &mut PgConnection,
    set: &IndexSet,
    settings: &MigrationSettings,
) -> Result<(), MigrationError> {
    while !sqlx::query_scalar::<_, bool>("select pg_try_advisory_lock($1)")
        .bind(LOCK)
        .fetch_one(&mut *connection)
        .await?
    {
        tokio::time::sleep(LOCK_POLL).await;
    }
    set_timeout(connection, "lock_timeout", CONCURRENT_LOCK_TIMEOUT).await?;
    let wanted = wanted_definitions(connection, set).await?;
    let changes = changes(connection, &wanted).await?;
    let applied = super::applied_indexes(connection).await?;

    // Recorded before the changes, so that the next run knows everything that an interrupted one leaves.
    record(connection, &applied, &changes.names_during_change(&set.names())).await?;
    for name in &changes.broken {
        drop_index(connection, name, settings).await?;
    }
    for name in &changes.replaced {
        drop_index(connection, &replaced_name(name), settings).await?;
        let (name, aside) = (quoted(name), quoted(&replaced_name(name)));
        execute(connection, format!("alter index {name} rename to {aside}")).await?;
    }
    for index in set
        .indexes
        .iter()
        .filter(|index| changes.create.contains(&index.name))
    {
        tracing::info!(index = index.name, table = index.table, "building an index");
        create_index(connection, index, settings).await?;
    }
    record(connection, set.arm, &changes.names_during_change(&set.names())).await?;
    let replaced = changes.replaced.iter().map(|name| replaced_name(name));
    for name in changes.drop.iter().cloned().chain(replaced) {
        drop_index(connection, &name, settings).await?;
    }
    record(connection, set.arm, &set.names()).await?;
    sqlx::query("select pg_advisory_unlock($1)")
        .bind(LOCK)
        .execute(connection)
        .await?;
    Ok(())
}

async fn create_index(
    connection: &mut PgConnection,
    index: &Index,
    settings: &MigrationSettings,
) -> Result<(), MigrationError> {
    let mut attempt = 1;
    while let Err(error) = execute(connection, index.create_concurrently()).await {
        if !is_about_locks(&error) {
            return Err(error.into());
        }
        // The failed build left an invalid index under the name that the next attempt needs.
        drop_index(connection, &index.name, settings).await?;
        pause_or_give_up(&format!("the index {}", index.name), &mut attempt, settings).await?;
    }
    Ok(())
}

async fn drop_index(
    connection: &mut PgConnection,
    name: &str,
    settings: &MigrationSettings,
) -> Result<(), MigrationError> {
    let mut attempt = 1;
    let statement = format!("drop index concurrently if exists {}", quoted(name));
    while let Err(error) = execute(connection, statement.clone()).await {
        if !is_about_locks(&error) {
            return Err(error.into());
        }
        pause_or_give_up(&format!("dropping the index {name}"), &mut attempt, settings).await?;
    }
    Ok(())
}

async fn changes(
    connection: &mut PgConnection,
    wanted: &BTreeMap<String, String>,
) -> Result<Changes, sqlx::Error> {
    let existing = existing(connection).await?;
    let recorded: Vec<String> = sqlx::query_scalar("select indexes from index_set")
        .fetch_one(connection)
        .await?;
    Ok(Changes::between(wanted, &existing, &recorded))
}

/// Without the schema, which differs for temporary tables.
const DEFINITION: &str = r"regexp_replace(pg_get_indexdef(i.indexrelid), ' ON (ONLY )?(\S+\.)?', ' ON ')";

/// The set's definitions by index name, in Postgres' canonical form.
async fn wanted_definitions(
    connection: &mut PgConnection,
    set: &IndexSet,
) -> Result<BTreeMap<String, String>, sqlx::Error> {
    let tables: BTreeSet<&String> = set.indexes.iter().map(|index| &index.table).collect();
    let mut transaction = connection.begin().await?;
    for table in tables {
        let table = quoted(table);
        execute(
            &mut transaction,
            format!("create temporary table {table} (like {table})"),
        )
        .await?;
    }
    execute(&mut transaction, set.sql.to_owned()).await?;
    let read = format!(
        "select c.relname::text, {DEFINITION} from pg_index i join pg_class c on c.oid = i.indexrelid
         where c.relnamespace = pg_my_temp_schema()"
    );
    let found: Vec<(String, String)> = sqlx::query_as(AssertSqlSafe(read))
        .fetch_all(&mut *transaction)
        .await?;
    transaction.rollback().await?;
    Ok(found.into_iter().collect())
}

/// The schema's indexes that don't belong to a constraint.
async fn existing(connection: &mut PgConnection) -> Result<BTreeMap<String, Existing>, sqlx::Error> {
    let read = format!(
        "select c.relname::text, {DEFINITION}, i.indisvalid from pg_index i join pg_class c on c.oid = i.indexrelid
         where c.relnamespace = current_schema()::regnamespace
           and not exists (select from pg_constraint where conindid = c.oid and contype in ('p', 'u', 'x'))"
    );
    let found: Vec<(String, String, bool)> =
        sqlx::query_as(AssertSqlSafe(read)).fetch_all(connection).await?;
    let all = found.into_iter().map(|(name, definition, is_valid)| {
        let index = Existing { definition, is_valid };
        (name, index)
    });
    Ok(all.collect())
}

async fn record(connection: &mut PgConnection, arm: &str, names: &[String]) -> Result<(), sqlx::Error> {
    sqlx::query!("update index_set set arm = $1, indexes = $2", arm, names)
        .execute(connection)
        .await?;
    Ok(())
}

async fn execute(connection: &mut PgConnection, sql: String) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await?;
    Ok(())
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
