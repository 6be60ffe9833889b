//! `backstock-api import FILE.csv`: a Shopify product export into the catalogue, whole or not at all.
//!
//! The way of a file: `rows` reads it and collects rows by handle, `product` makes products of them and reports
//! what is wrong with which line, `taxonomy` finds their brands and categories, `write` writes them. Everything
//! is judged before anything is written, and written in one transaction: an import that breaks half-way, by an
//! error, a killed process or a lost connection, leaves nothing.
//!
//! A product is known by its handle, a variant by its SKU. Importing a file again makes the shop's product what the
//! file says: texts, prices, stock, images, and no variant that the file doesn't have. Products that the file
//! doesn't name stay as they are. Read next: `rows`.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sqlx::{Connection, PgConnection};
use storefront::money::Currency;

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

/// How a file is imported.
#[derive(Debug, Clone, Copy)]
pub struct ImportOptions {
    /// The currency of all prices in the file, which doesn't say it.
    pub currency: Currency,
    /// Import nothing when any row is bad. Otherwise bad rows are left out.
    pub strict: bool,
}

/// Imports the file at `path`. Reads it on the calling thread, like a command.
///
/// # Errors
/// When the file isn't there or isn't a product export, or the database fails. Nothing is imported then. Bad rows
/// are no error: the report names them, and says whether anything was imported.
pub async fn import_file(
    connection: &mut PgConnection,
    path: &Path,
    options: &ImportOptions,
) -> Result<ImportReport, ImportError> {
    import_reader(connection, open(path)?, options).await
}

/// Imports what `source` has, read once and to its end.
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

/// Imports take turns, so that two don't make the same brand. Their statements may take longer than a request's.
async fn wait_for_turn(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!("set local statement_timeout = '10min'")
        .execute(&mut *connection)
        .await?;
    sqlx::query!("select pg_advisory_xact_lock(hashtext('backstock import'))")
        .execute(connection)
        .await?;
    Ok(())
}

/// A commit that the server refused is undone; one whose answer was lost may be done.
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
