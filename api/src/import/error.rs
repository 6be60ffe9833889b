//! Why an import as a whole could not be done. What is wrong with single rows is in the report, not here.

use std::io;
use std::path::PathBuf;

/// Why nothing was imported.
///
/// Each message is one line that says what to do; the cause, where there is one, is its `source`.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// No such file.
    #[error("there is no file {}; give the path of a Shopify product export (CSV)", .0.display())]
    FileNotFound(PathBuf),
    /// The file is there but can't be opened or read.
    #[error("{} can't be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Reading failed half-way.
    #[error("reading stopped half-way, nothing was imported")]
    Reading(#[source] io::Error),
    /// The file is beyond the bound up to which it is kept in memory.
    #[error("the file is larger than {mebibytes} MiB; split it, keeping the rows of one product together")]
    TooLarge {
        /// The bound.
        mebibytes: u64,
    },
    /// Empty, binary, or not separated by commas.
    #[error("this is not the CSV file of a Shopify product export: {0}")]
    NotCsv(&'static str),
    /// A column without which there is no product.
    #[error(
        "the header has no column `{0}`; the file must be Shopify's product export \
         (Shopify admin, Products, Export, \"CSV for Excel, Numbers, or other spreadsheet programs\")"
    )]
    MissingColumn(&'static str),
    /// The database refused or went away. The transaction is rolled back.
    #[error("the database failed, nothing was imported")]
    Database(#[from] sqlx::Error),
    /// Someone else took one of the file's SKUs while the import ran.
    #[error(
        "the catalogue was changed by someone else meanwhile, nothing was imported; run the import again"
    )]
    ChangedMeanwhile,
    /// The connection broke while the finished import was committed: it is there whole or not at all.
    #[error(
        "the connection broke at the very end: all of the file was imported, or nothing; \
         run the import again, which is safe in both cases"
    )]
    CommitUnknown(#[source] sqlx::Error),
}
