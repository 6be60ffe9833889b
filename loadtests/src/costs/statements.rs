//! Exact costs of statements, as deltas of `pg_stat_statements`.

use std::collections::HashMap;

use anyhow::{Result, bail};
use sqlx::PgConnection;

/// Statements of the lab itself carry this comment, and are left out of every cost.
pub const LAB_MARK: &str = "/* backstock-lab */";

/// The counters of all statements of one database at one moment.
#[derive(Debug, Clone)]
pub struct Statements {
    by_key: HashMap<(i64, i64, bool), StatementCost>,
}

/// What one statement, or a sum of them, has cost.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StatementCost {
    /// The statement with its constants replaced by parameters.
    pub query: String,
    /// Executions.
    pub calls: i64,
    /// Rows that came back or were changed.
    pub rows: i64,
    /// Pages read, from the buffer pool or from below it.
    pub buffers: i64,
    /// Of these, pages that were not in the buffer pool.
    pub buffers_read: i64,
    /// Bytes of write-ahead log.
    pub wal_bytes: i64,
    /// Time spent executing, in milliseconds.
    pub execution_ms: f64,
}

/// What statements have cost between two snapshots.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StatementCosts {
    /// Each statement that ran, the most often called first.
    pub statements: Vec<StatementCost>,
    /// Their sum; its `query` is empty.
    pub total: StatementCost,
}

impl Statements {
    /// Makes sure that the server counts statements and that this database can read the counts.
    pub async fn enable(_connection: &mut PgConnection) -> Result<()> {
        bail!("not built yet")
    }

    /// Reads the counters of the connection's database.
    pub async fn snapshot(_connection: &mut PgConnection) -> Result<Statements> {
        bail!("not built yet")
    }

    /// What ran between two snapshots, without the product's upkeep (the poll of the catalogue's epoch) and without
    /// the lab's own statements.
    pub fn delta(_before: &Statements, _after: &Statements) -> Result<StatementCosts> {
        bail!("not built yet")
    }
}
