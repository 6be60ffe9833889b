//! What the api counts. Names follow Prometheus: base units, `_total` for counters; labels are bounded sets.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use metrics::{Counter, Gauge, Histogram};

use crate::database::summary;
use crate::http::timings::{CacheOutcome, Timings};

/// Texts of statements that a thread knows by heart. The code has fewer, with all combinations of filters; what is
/// beyond is looked up each time.
const MAX_KNOWN_STATEMENTS: usize = 4096;

/// Describes every metric, so that `/metrics` has a `# HELP` line for each.
pub fn describe() {
    metrics::describe_histogram!(
        "http_request_duration_seconds",
        "Time to answer a request, by route and status."
    );
    metrics::describe_gauge!("http_requests_in_flight", "Requests that are being answered.");
    metrics::describe_counter!(
        "catalog_cache_lookups_total",
        "Look-ups in the catalogue's cache, by outcome."
    );
    metrics::describe_counter!(
        "database_statements_total",
        "Statements sent to Postgres for requests."
    );
    metrics::describe_histogram!(
        "database_statement_duration_seconds",
        "Time until Postgres had answered a statement, by what it does to which table first."
    );
    metrics::describe_histogram!(
        "database_connection_wait_seconds",
        "Time that a request waited for a connection to Postgres."
    );
    metrics::describe_counter!(
        "database_connection_timeouts_total",
        "Requests that got no connection to Postgres in time, and were answered 503."
    );
    // What has not happened yet is 0, which a rule can count with; what isn't there it can't.
    HANDLES.with_borrow(|_| ());
}

/// A request that is being answered.
pub struct InFlight(());

impl InFlight {
    /// It has come in. It ends when this is dropped, also with a client that has gone.
    pub fn begin() -> Self {
        HANDLES.with_borrow(|handles| handles.in_flight.increment(1));
        Self(())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        HANDLES.with_borrow(|handles| handles.in_flight.decrement(1));
    }
}

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
pub fn statement(sql: &str) -> Arc<KnownStatement> {
    HANDLES.with_borrow_mut(|handles| {
        if let Some(known) = handles.known_statements.get(sql) {
            return known.clone();
        }
        let statement = Arc::new(KnownStatement::new(sql));
        if handles.known_statements.len() < MAX_KNOWN_STATEMENTS {
            handles.known_statements.insert(sql.into(), statement.clone());
        }
        statement
    })
}

/// A request waited for a connection.
pub fn record_connection_wait(waited: Duration, timed_out: bool) {
    HANDLES.with_borrow(|handles| {
        handles.connection_wait.record(waited);
        if timed_out {
            handles.connection_timeouts.increment(1);
        }
    });
}

/// One answered request.
pub fn record_request(method: &Method, route: &str, status: StatusCode, timings: &Timings) {
    HANDLES.with_borrow_mut(|handles| {
        handles
            .duration(route, method_name(method), status_class(status))
            .record(timings.total());
        handles.statements.increment(u64::from(timings.statements()));
        match timings.cache() {
            CacheOutcome::Unused => {}
            CacheOutcome::Hit => handles.cache_hits.increment(1),
            CacheOutcome::Miss => handles.cache_misses.increment(1),
            CacheOutcome::Unavailable => handles.cache_unavailable.increment(1),
        }
    });
}

thread_local! {
    static HANDLES: RefCell<Handles> = RefCell::new(Handles::new());
}

/// A thread's own handles on what each request counts: looking one up in the registry builds its labels and takes a
/// lock, which a request would pay for each time.
struct Handles {
    in_flight: Gauge,
    connection_wait: Histogram,
    connection_timeouts: Counter,
    known_statements: HashMap<Box<str>, Arc<KnownStatement>, foldhash::fast::RandomState>,
    statements: Counter,
    cache_hits: Counter,
    cache_misses: Counter,
    cache_unavailable: Counter,
    /// By route, then by method and class of status. As bounded as the labels are.
    durations: HashMap<String, Vec<(&'static str, &'static str, Histogram)>>,
}

impl Handles {
    fn new() -> Self {
        let cache = |outcome: CacheOutcome| metrics::counter!("catalog_cache_lookups_total", "outcome" => outcome.as_str());
        Self {
            in_flight: metrics::gauge!("http_requests_in_flight"),
            connection_wait: metrics::histogram!("database_connection_wait_seconds"),
            connection_timeouts: metrics::counter!("database_connection_timeouts_total"),
            known_statements: HashMap::default(),
            statements: metrics::counter!("database_statements_total"),
            cache_hits: cache(CacheOutcome::Hit),
            cache_misses: cache(CacheOutcome::Miss),
            cache_unavailable: cache(CacheOutcome::Unavailable),
            durations: HashMap::new(),
        }
    }

    fn duration(&mut self, route: &str, method: &'static str, status: &'static str) -> &Histogram {
        if !self.durations.contains_key(route) {
            self.durations.insert(route.to_owned(), Vec::new());
        }
        let of_route = self.durations.get_mut(route).expect("it was put there above");
        let known = of_route.iter().position(|(m, s, _)| *m == method && *s == status);
        let at = known.unwrap_or_else(|| {
            let histogram = metrics::histogram!(
                "http_request_duration_seconds",
                "method" => method,
                "route" => route.to_owned(),
                "status" => status,
            );
            of_route.push((method, status, histogram));
            of_route.len() - 1
        });
        &of_route[at].2
    }
}

/// A client can invent methods; a label can't.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

fn status_class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        100..200 => "1xx",
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        _ => "5xx",
    }
}
