//! Exact costs of statements, as deltas of `pg_stat_statements`.

use std::collections::HashMap;

use anyhow::{Context, Result, bail, ensure};
use sqlx::{PgConnection, Row};

/// Statements of the lab itself carry this comment, and are left out of every cost.
pub const LAB_MARK: &str = "/* backstock-lab */";

/// The product's own upkeep: each process polls these tables, whether or not anybody asks for anything.
pub const UPKEEP: [&str; 2] = ["catalog_epoch", "catalog_changes"];

/// The counters of all statements of one database at one moment.
#[derive(Debug, Clone)]
pub struct Statements {
    by_key: HashMap<Key, StatementCost>,
    /// How often Postgres has thrown out the counters of rare statements to make room.
    evictions: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    statement: i64,
    role: i64,
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
    /// Pages of tables and indexes that were looked at, in the buffer pool or below it.
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
    /// Makes sure that the server counts statements and that this database can read the counts, and forgets the counts
    /// of databases that are gone.
    pub async fn enable(connection: &mut PgConnection) -> Result<()> {
        sqlx::query("create extension if not exists pg_stat_statements").execute(&mut *connection).await.context(
            "this Postgres cannot count statements: install its contrib modules, and connect as a role that may \
             create extensions",
        )?;
        let forget = "select /* backstock-lab */ pg_stat_statements_reset(0, gone.dbid, 0)
            from (select distinct dbid from pg_stat_statements) gone
            where not exists (select from pg_database where oid = gone.dbid)";
        sqlx::query(forget).execute(connection).await.context(
            "this Postgres does not count statements: add pg_stat_statements to shared_preload_libraries and restart it",
        )?;
        Ok(())
    }

    /// Reads the counters of the connection's database.
    pub async fn snapshot(connection: &mut PgConnection) -> Result<Statements> {
        // Statements inside functions are part of the one that called them.
        let read = "select /* backstock-lab */
                queryid, userid::int8 as role, query, calls, rows, shared_blks_hit + shared_blks_read as buffers,
                shared_blks_read, wal_bytes::int8 as wal_bytes, total_exec_time
            from pg_stat_statements
            where toplevel and queryid is not null
                and dbid = (select oid from pg_database where datname = current_database())";
        let rows = sqlx::query(read)
            .fetch_all(&mut *connection)
            .await
            .context("cannot read pg_stat_statements")?;
        let mut by_key = HashMap::with_capacity(rows.len());
        for row in rows {
            let key = Key {
                statement: row.try_get("queryid")?,
                role: row.try_get("role")?,
            };
            let cost = StatementCost {
                query: row.try_get::<Option<String>, _>("query")?.unwrap_or_default(),
                calls: row.try_get("calls")?,
                rows: row.try_get("rows")?,
                buffers: row.try_get("buffers")?,
                buffers_read: row.try_get("shared_blks_read")?,
                wal_bytes: row.try_get("wal_bytes")?,
                execution_ms: row.try_get("total_exec_time")?,
            };
            by_key.insert(key, cost);
        }
        let evictions = sqlx::query_scalar("select /* backstock-lab */ dealloc from pg_stat_statements_info")
            .fetch_one(connection)
            .await
            .context("cannot read pg_stat_statements_info: the lab needs Postgres 14 or newer")?;
        Ok(Statements { by_key, evictions })
    }

    /// What ran between two snapshots, without the product's upkeep (the polls of the catalogue's epoch and changes) and without
    /// the lab's own statements.
    pub fn delta(before: &Statements, after: &Statements) -> Result<StatementCosts> {
        ensure!(
            before.evictions == after.evictions,
            "Postgres forgot rare statements meanwhile, so its counts are not exact: raise pg_stat_statements.max"
        );
        let forgotten = before.by_key.keys().any(|key| !after.by_key.contains_key(key));
        let decreased = after
            .by_key
            .iter()
            .any(|(key, now)| before.by_key.get(key).is_some_and(|then| now.calls < then.calls));
        if forgotten || decreased {
            bail!("the statement counters were reset between two snapshots: let nobody else use this server");
        }
        let mut costs = StatementCosts::default();
        for (key, now) in &after.by_key {
            if now.query.contains(LAB_MARK) || UPKEEP.iter().any(|table| now.query.contains(table)) {
                continue;
            }
            let cost = match before.by_key.get(key) {
                Some(then) => now.since(then),
                None => now.clone(),
            };
            if cost.calls > 0 {
                costs.total.add(&cost);
                costs.statements.push(cost);
            }
        }
        costs
            .statements
            .sort_by(|left, right| (right.calls, &left.query).cmp(&(left.calls, &right.query)));
        Ok(costs)
    }
}

impl StatementCosts {
    /// The total for one of so many requests, as a report states it.
    pub fn per_request(&self, requests: u64) -> PerRequest {
        let each = |sum: i64| sum as f64 / requests as f64;
        PerRequest {
            queries: each(self.total.calls),
            rows: each(self.total.rows),
            buffers: each(self.total.buffers),
            wal_bytes: each(self.total.wal_bytes),
        }
    }
}

/// What one request costs the database, on average.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PerRequest {
    /// Statements.
    pub queries: f64,
    /// Rows.
    pub rows: f64,
    /// Pages looked at.
    pub buffers: f64,
    /// Bytes of write-ahead log.
    pub wal_bytes: f64,
}

impl StatementCost {
    fn since(&self, before: &StatementCost) -> StatementCost {
        StatementCost {
            query: self.query.clone(),
            calls: self.calls - before.calls,
            rows: self.rows - before.rows,
            buffers: self.buffers - before.buffers,
            buffers_read: self.buffers_read - before.buffers_read,
            wal_bytes: self.wal_bytes - before.wal_bytes,
            execution_ms: self.execution_ms - before.execution_ms,
        }
    }

    fn add(&mut self, other: &StatementCost) {
        self.calls += other.calls;
        self.rows += other.rows;
        self.buffers += other.buffers;
        self.buffers_read += other.buffers_read;
        self.wal_bytes += other.wal_bytes;
        self.execution_ms += other.execution_ms;
    }
}
