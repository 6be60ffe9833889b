//! Why an import failed as a whole. Problems of single rows are in the report.

use std::io;
use std::path::PathBuf;

/// Why nothing was imported.
///
/// Each message is one line that says what to do; the cause, if any, is its `source`.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("there is no file {}; give the path of a Shopify product export (CSV)", .0.display())]
    FileNotFound(PathBuf),
    /// The file can't be opened or read.
    #[error("{} can't be read", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    /// Reading failed half-way.
    #[error("reading failed half-way; nothing was imported")]
    Reading(#[source] io::Error),
    /// The file is larger than the import keeps in memory.
    #[error("the file is larger than {mebibytes} MiB; split it, keeping the rows of one product together")]
    TooLarge { mebibytes: u64 },
    /// Empty, binary, or not comma-separated.
    #[error("this is not the CSV file of a Shopify product export: {0}")]
    NotCsv(&'static str),
    /// A required column is missing.
    #[error(
        "the header has no column `{0}`; the file must be Shopify's product export \
         (Shopify admin, Products, Export, \"CSV for Excel, Numbers, or other spreadsheet programs\")"
    )]
    MissingColumn(&'static str),
    /// The transaction was rolled back.
    #[error("the database failed; nothing was imported")]
    Database(#[from] sqlx::Error),
    /// A concurrent writer took one of the file's SKUs.
    #[error(
        "another process changed the catalogue during the import; nothing was imported; run the import again"
    )]
    ChangedMeanwhile,
    /// The connection was lost during the commit: either everything was imported or nothing.
    #[error(
        "the connection was lost during the commit: either the whole file was imported, or nothing; \
         run the import again, which is safe in both cases"
    )]
    CommitUnknown(#[source] sqlx::Error),
}
