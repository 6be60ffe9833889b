//! What a process asks of Postgres: how long each statement takes, and how long work waits for a connection.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use metrics::{Counter, Histogram};

use super::summary::summary;

/// Texts of statements that a thread knows by heart. The code has fewer, with all combinations of filters; what is
/// beyond is looked up each time.
const MAX_KNOWN_STATEMENTS: usize = 4096;

/// A statement as metrics and traces know it.
pub struct KnownStatement {
    /// What it does, for example `select products`.
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

    /// It was answered.
    pub fn record(&self, took: Duration) {
        self.duration.record(took);
    }
}

/// What is known of a statement by its text.
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

/// A piece of work waited for a connection, and has one unless it timed out.
pub fn waited_for_connection(waited: Duration, timed_out: bool) {
    HANDLES.with_borrow(|handles| {
        handles.connection_wait.record(waited);
        if timed_out {
            handles.connection_timeouts.increment(1);
        }
    });
}

/// The pool's state, when someone asks for the metrics.
pub fn record_pool(open: u32, idle: usize, limit: u32) {
    metrics::gauge!("database_connections", "state" => "idle").set(idle as f64);
    metrics::gauge!("database_connections", "state" => "used").set(f64::from(open) - idle as f64);
    metrics::gauge!("database_connections_limit").set(f64::from(limit));
}

pub(super) fn describe() {
    metrics::describe_gauge!("database_connections", "Connections to Postgres, by state.");
    metrics::describe_gauge!(
        "database_connections_limit",
        "Connections to Postgres that this process may have."
    );
    metrics::describe_histogram!(
        "database_statement_duration_seconds",
        "Time until Postgres had answered a statement, by what it does to which table first."
    );
    metrics::describe_histogram!(
        "database_connection_wait_seconds",
        "Time that a request or a message waited for a connection to Postgres."
    );
    metrics::describe_counter!(
        "database_connection_timeouts_total",
        "Requests and messages that got no connection to Postgres in time. Requests were answered 503."
    );
    // What has not happened yet is 0, which a rule can count with; what isn't there it can't.
    HANDLES.with_borrow(|_| ());
}

thread_local! {
    static HANDLES: RefCell<Handles> = RefCell::new(Handles {
        known: HashMap::default(),
        connection_wait: metrics::histogram!("database_connection_wait_seconds"),
        connection_timeouts: metrics::counter!("database_connection_timeouts_total"),
    });
}

/// A thread's own handles: looking one up in the registry builds its labels and takes a lock, which each statement would
/// pay for.
struct Handles {
    known: HashMap<Box<str>, Arc<KnownStatement>, foldhash::fast::RandomState>,
    connection_wait: Histogram,
    connection_timeouts: Counter,
}
