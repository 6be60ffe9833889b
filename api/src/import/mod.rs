//! `backstock-api import FILE.csv`: imports a Shopify product export into the catalogue, atomically.
//!
//! The pipeline: `rows` reads the file and groups its rows by handle, `product` parses products and reports problems
//! by line, `taxonomy` finds their brands and categories, `write` writes them. Everything is validated before
//! anything is written, and written in one transaction: an import that fails half-way, by an error, a killed process
//! or a lost connection, leaves nothing behind.
//!
//! A product is identified by its handle, a variant by its SKU. Importing a file again is idempotent: it updates a
//! product to what the file says (texts, prices, stock, images) and deletes variants that the file lacks. Products
//! that aren't in the file are untouched. Read next: `rows`.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use shop::money::Currency;
use sqlx::{Connection, PgConnection};

pub use self::error::ImportError;
pub use self::report::{ImportReport, RowRemark};

mod rows;

mod lines;

mod columns;

mod product;

mod description;
pub(crate) use self::description::clean as clean_description;

mod variant;

mod prices;

mod image;

mod skus;

mod taxonomy;

mod slugs;

mod write;

mod report;

mod error;

/// What the file doesn't say about itself, and how to treat its invalid rows.
#[derive(Debug, Clone, Copy)]
pub struct ImportOptions {
    /// The currency of all prices; the file doesn't name it.
    pub currency: Currency,
    /// Import nothing if any row is invalid. Otherwise invalid rows are skipped.
    pub strict: bool,
}

/// Imports the file at `path`. It is read on the calling thread, as befits a command.
///
/// # Errors
/// When the file doesn't exist or isn't a product export, or the database fails; nothing is imported then. Invalid
/// rows are not an error: the report lists them, and says whether anything was imported.
pub async fn import_file(
    connection: &mut PgConnection,
    path: &Path,
    options: &ImportOptions,
) -> Result<ImportReport, ImportError> {
    import_reader(connection, open(path)?, options).await
}

/// Imports a product export from a reader.
///
/// # Errors
/// As [`import_file`].
pub async fn import_reader(
    connection: &mut PgConnection,
    source: impl Read,
    options: &ImportOptions,
) -> Result<ImportReport, ImportError> {
    let mut report = ImportReport::default();
    let mut products = Vec::new();
    let mut skus = skus::Skus::default();
    for rows in rows::read_rows(source, &mut report)? {
        products.extend(product::parse_product(rows, options, &mut skus, &mut report));
    }

    let mut transaction = connection.begin().await?;
    wait_for_turn(&mut transaction).await?;
    skus::leave_out_foreign_skus(&mut transaction, &mut products, &mut report).await?;
    report.sort();
    let refused = options.strict && !report.rows_skipped.is_empty();
    if refused || products.is_empty() {
        transaction.rollback().await?;
        return Ok(report);
    }
    let taxonomy = taxonomy::Taxonomy::prepare(&mut transaction, &products).await?;
    for batch in products.chunks(write::PRODUCTS_AT_ONCE) {
        write::write_products(&mut transaction, batch, &taxonomy, options.currency, &mut report).await?;
    }
    transaction.commit().await.map_err(commit_failed)?;
    report.imported = true;
    Ok(report)
}

/// Serializes imports, so that two don't create the same brand. Their statements may take longer than a request's.
async fn wait_for_turn(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!("set local statement_timeout = '10min'")
        .execute(&mut *connection)
        .await?;
    sqlx::query!("select pg_advisory_xact_lock(hashtext('catalogue import'))")
        .execute(connection)
        .await?;
    Ok(())
}

/// A commit that the server rejected was rolled back; if its response was lost, the outcome is unknown.
fn commit_failed(error: sqlx::Error) -> ImportError {
    match error {
        sqlx::Error::Database(_) => ImportError::Database(error),
        _ => ImportError::CommitUnknown(error),
    }
}

fn open(path: &Path) -> Result<File, ImportError> {
    let unreadable = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => ImportError::FileNotFound(path.to_owned()),
        _ => ImportError::Unreadable {
            path: path.to_owned(),
            source,
        },
    };
    let file = File::open(path).map_err(unreadable)?;
    if file.metadata().map_err(unreadable)?.is_dir() {
        return Err(unreadable(io::ErrorKind::IsADirectory.into()));
    }
    Ok(file)
}
