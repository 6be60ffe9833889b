//! Metrics of statements: how long each takes, and how long work waits for a connection.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use metrics::{Counter, Histogram};

use super::summary::summary;

/// The most statements cached per thread. The code has fewer, even with all combinations of filters; beyond this limit,
/// handles are looked up for each execution.
const MAX_KNOWN_STATEMENTS: usize = 4096;

/// A statement's name in metrics and traces, and its histogram.
pub struct KnownStatement {
    /// For example `select products`.
    pub summary: Arc<str>,
    duration: Histogram,
}

impl KnownStatement {
    fn new(sql: &str) -> Self {
        let summary = summary(sql);
        Self {
            duration: metrics::histogram!("database_statement_duration_seconds", "statement" => summary.clone()),
            summary: summary.into(),
        }
    }

    /// Records a completed statement.
    pub fn record(&self, took: Duration) {
        self.duration.record(took);
    }
}

/// The cached handles of a statement, by its text.
pub fn known(sql: &str) -> Arc<KnownStatement> {
    HANDLES.with_borrow_mut(|handles| {
        if let Some(known) = handles.known.get(sql) {
            return known.clone();
        }
        let statement = Arc::new(KnownStatement::new(sql));
        if handles.known.len() < MAX_KNOWN_STATEMENTS {
            handles.known.insert(sql.into(), statement.clone());
        }
        statement
    })
}

/// Records a wait for a connection, which may have timed out.
pub fn record_connection_wait(waited: Duration, timed_out: bool) {
    HANDLES.with_borrow(|handles| {
        handles.connection_wait.record(waited);
        if timed_out {
            handles.connection_timeouts.increment(1);
        }
    });
}

/// Sets the pool's gauges, at scrape time.
pub fn record_pool(open: u32, idle: usize, limit: u32) {
    metrics::gauge!("database_connections", "state" => "idle").set(idle as f64);
    metrics::gauge!("database_connections", "state" => "used").set(f64::from(open) - idle as f64);
    metrics::gauge!("database_connections_limit").set(f64::from(limit));
}

pub(super) fn describe() {
    metrics::describe_gauge!("database_connections", "Connections to Postgres, by state.");
    metrics::describe_gauge!(
        "database_connections_limit",
        "The limit of connections to Postgres of this process."
    );
    metrics::describe_histogram!(
        "database_statement_duration_seconds",
        "Time until Postgres responded to a statement, by operation and first table."
    );
    metrics::describe_histogram!(
        "database_connection_wait_seconds",
        "Time that a request or a message waited for a connection to Postgres."
    );
    metrics::describe_counter!(
        "database_connection_timeouts_total",
        "Requests and messages that timed out waiting for a connection to Postgres. Requests were answered 503."
    );
    // Export zeros from the start: an alert rule can compute with 0 but not with an absent series.
    HANDLES.with_borrow(|_| ());
}

thread_local! {
    static HANDLES: RefCell<Handles> = RefCell::new(Handles {
        known: HashMap::default(),
        connection_wait: metrics::histogram!("database_connection_wait_seconds"),
        connection_timeouts: metrics::counter!("database_connection_timeouts_total"),
    });
}

/// Handles to metrics, cached per thread, because a lookup in the registry builds labels and takes a lock.
struct Handles {
    known: HashMap<Box<str>, Arc<KnownStatement>, foldhash::fast::RandomState>,
    connection_wait: Histogram,
    connection_timeouts: Counter,
}
