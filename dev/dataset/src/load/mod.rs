//! Streams a generated shop into the database: rows and search documents in one transaction, then statistics.
//!
//! The transaction first drops the tables' constraints and indexes, disables their triggers (`definitions.rs`) and
//! truncates the tables; at its end it restores all definitions. That is fast, because no index is maintained row by
//! row, no trigger fires, and with `wal_level = minimal` Postgres writes the new files without logging them. An
//! interrupted load is rolled back and leaves the database unchanged.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use futures_util::{StreamExt, TryStreamExt, stream};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

mod definitions;
mod search_documents;
mod words;

use super::copy_format::{HEADER, Rows, TRAILER};
use super::progress::Stage;
use super::tables::catalogue::Catalogue;
use super::tables::{Table, TableDigest};
use definitions::{Definitions, Part};

/// Chunks that are generated ahead of the one that is being sent. Enough to keep a second core busy, and few enough to
/// use only about ten megabytes.
const CHUNKS_AHEAD: usize = 4;

/// Tables that a running shop fills. They are truncated too, because their rows refer to the replaced ones.
const RUNTIME_TABLES: [&str; 10] = [
    "catalog_changes",
    "sessions",
    "refresh_tokens",
    "sign_in_failures",
    "audit_log",
    "carts",
    "cart_items",
    "idempotency_keys",
    "outbox",
    "inbox",
];

/// What to do with a shop that the database already contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Stop with an error.
    Refuse,
    /// Replace it with the generated one.
    Replace,
}

/// Connects to a database.
pub async fn connect(database_url: &str) -> Result<PgConnection> {
    PgConnection::connect(database_url)
        .await
        .context("cannot reach the database; check --database-url or BACKSTOCK_DATABASE_URL")
}

/// Checks that the database is migrated, and that its shop is empty or may be replaced.
pub async fn check(connection: &mut PgConnection, existing: Existing) -> Result<()> {
    let migrated: bool = sqlx::query_scalar("select to_regclass('outbox') is not null")
        .fetch_one(&mut *connection)
        .await?;
    if !migrated {
        bail!("the database lacks tables: run `backstock-api migrate` on it first");
    }
    if existing == Existing::Replace {
        return Ok(());
    }
    let occupied: bool = sqlx::query_scalar(
        "select exists (select from products) or exists (select from categories) or exists (select from customers)",
    )
    .fetch_one(connection)
    .await?;
    if occupied {
        bail!("the shop is not empty: pass --replace to delete its products, customers and orders");
    }
    Ok(())
}

/// Replaces the shop in the database with a generated one, and returns the digest of each table.
pub async fn load(
    database_url: &str,
    connection: &mut PgConnection,
    catalogue: &Arc<Catalogue>,
) -> Result<Vec<(Table, String)>> {
    let digests = replace_shop(database_url, connection, catalogue)
        .await
        .map_err(explain_full_disk)?;
    let stage = Stage::start("analyze", 0);
    let names = Table::ALL.map(Table::name).join(", ");
    let vacuum = format!("vacuum (analyze) {names}, product_search, search_rows, search_words");
    sqlx::raw_sql(AssertSqlSafe(vacuum)).execute(connection).await?;
    stage.finish();
    Ok(digests)
}

async fn replace_shop(
    database_url: &str,
    connection: &mut PgConnection,
    catalogue: &Arc<Catalogue>,
) -> Result<Vec<(Table, String)>> {
    let mut transaction = connection.begin().await?;
    // Memory for sorts and joins over whole tables, for this transaction only.
    let settings =
        "set local maintenance_work_mem = '256MB'; set local work_mem = '128MB'; set local jit = off";
    sqlx::raw_sql(settings).execute(&mut *transaction).await?;
    let document_definitions = Definitions::set_aside(
        &mut transaction,
        &["product_search", "search_rows", "search_words"],
    )
    .await?;
    let row_definitions = Definitions::set_aside(&mut transaction, &Table::ALL.map(Table::name)).await?;
    let truncate = format!("truncate {}", RUNTIME_TABLES.join(", "));
    sqlx::raw_sql(AssertSqlSafe(truncate))
        .execute(&mut *transaction)
        .await?;

    let stage = Stage::start(
        "rows",
        Table::ALL.iter().map(|table| table.chunks(catalogue)).sum(),
    );
    let mut digests = Vec::new();
    for table in Table::ALL {
        let digest = copy_table(&mut transaction, catalogue, table, &stage).await;
        digests.push((
            table,
            digest.with_context(|| format!("while loading {}", table.name()))?,
        ));
    }
    stage.finish();

    let stage = Stage::start("keys", 0);
    row_definitions
        .put_back(&mut transaction, Part::Constraint)
        .await?;
    continue_order_numbers(&mut transaction, catalogue).await?;
    stage.finish();

    let stage = Stage::start("search documents", catalogue.scale.products());
    search_documents::fill(database_url, &mut transaction, catalogue, &stage).await?;
    search_documents::fill_rows(&mut transaction).await?;
    document_definitions
        .put_back(&mut transaction, Part::Constraint)
        .await?;
    stage.finish();

    let stage = Stage::start("indexes", 0);
    for definitions in [row_definitions, document_definitions] {
        definitions.put_back(&mut transaction, Part::Index).await?;
        definitions.put_back(&mut transaction, Part::Trigger).await?;
    }
    stage.finish();

    let stage = Stage::start("commit", 0);
    sqlx::query("update catalog_epoch set epoch = epoch + 1")
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    stage.finish();
    Ok(digests)
}

/// Continues the numbers of orders after the last generated one. Unlike `setval`, this is rolled back with the
/// transaction.
async fn continue_order_numbers(connection: &mut PgConnection, catalogue: &Catalogue) -> Result<()> {
    let next = catalogue.scale.orders() + 1;
    let statement = format!("alter table orders alter column number restart with {next}");
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(connection)
        .await?;
    Ok(())
}

async fn copy_table(
    connection: &mut PgConnection,
    catalogue: &Arc<Catalogue>,
    table: Table,
    stage: &Stage,
) -> Result<String> {
    // With `freeze`, rows are stored as visible to all transactions, so no later vacuum rewrites them.
    let statement = format!(
        "copy {} ({}) from stdin with (format binary, freeze true)",
        table.name(),
        table.columns()
    );
    let mut copy = connection.copy_in_raw(&statement).await?;
    copy.send(HEADER).await?;
    let mut digest = TableDigest::default();
    let mut chunks = stream::iter(0..table.chunks(catalogue))
        .map(|chunk| {
            let catalogue = Arc::clone(catalogue);
            tokio::task::spawn_blocking(move || table.chunk(&catalogue, chunk))
        })
        .buffered(CHUNKS_AHEAD);
    let mut sent = 0;
    while let Some(rows) = chunks.try_next().await? {
        send_rows(&mut copy, &rows, &mut digest).await?;
        sent += rows.count();
        stage.advance(1);
    }
    copy.send(TRAILER).await?;
    let stored = copy.finish().await?;
    anyhow::ensure!(stored == sent, "the database stored {stored} of {sent} rows");
    Ok(digest.finish())
}

async fn send_rows(
    copy: &mut sqlx::postgres::PgCopyIn<&mut PgConnection>,
    rows: &Rows,
    digest: &mut TableDigest,
) -> Result<()> {
    digest.add(rows);
    copy.send(rows.bytes()).await?;
    Ok(())
}

/// Adds a line on what to do in front of the chain of causes when the server's disk is full.
pub fn explain_full_disk(error: anyhow::Error) -> anyhow::Error {
    let full = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<sqlx::Error>())
        .filter_map(|cause| cause.as_database_error())
        .any(|cause| cause.code().as_deref() == Some("53100"));
    if full {
        error.context("the disk of the Postgres server is full: free some space, or use a smaller --scale")
    } else {
        error
    }
}
