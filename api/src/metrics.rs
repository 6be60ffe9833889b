//! The api's metrics. Names follow Prometheus: base units, `_total` for counters; every label has a bounded set of
//! values.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::http::{Method, StatusCode};
use metrics::{Counter, Histogram};
use platform::postgres::bulkhead::ClassUse;

use crate::web::request_class::RequestClass;
use crate::web::timings::{CacheOutcome, Timings};

/// Describes every metric, so that `/metrics` has a `# HELP` line for each.
pub fn describe() {
    metrics::describe_histogram!(
        "http_request_duration_seconds",
        "Time to answer a request, by route and status."
    );
    metrics::describe_gauge!("http_requests_in_flight", "Requests in flight.");
    platform::server::describe_metrics();
    metrics::describe_gauge!(
        "database_class_connections",
        "Connections to Postgres in use by requests of a class."
    );
    metrics::describe_gauge!(
        "database_class_lent",
        "Connections to Postgres that requests of a class have above what is guaranteed to it."
    );
    metrics::describe_gauge!(
        "database_class_waiting",
        "Requests of a class that are waiting for a connection to Postgres."
    );
    metrics::describe_counter!(
        "database_class_refused_total",
        "Requests of a class that timed out waiting for a connection to Postgres."
    );
    for class in RequestClass::ALL {
        refused_counter(class).absolute(0);
    }
    metrics::describe_counter!(
        "catalog_cache_lookups_total",
        "Lookups in the catalogue's cache, by outcome."
    );
    metrics::describe_gauge!(
        "backstock_catalog_columns_bytes",
        "Memory of the columns that facets and category counts are computed from."
    );
    metrics::describe_gauge!(
        "backstock_catalog_titles_bytes",
        "Memory of the best-sellers' titles that suggestions are searched in."
    );
    metrics::describe_counter!(
        "database_statements_total",
        "Statements sent to Postgres for requests."
    );
    // Export zeros from the start: an alert rule can compute with 0 but not with an absent series.
    HANDLES.with_borrow(|_| ());
}

/// Sets the gauges of a class, at scrape time.
pub fn record_class(class: RequestClass, usage: ClassUse) {
    metrics::gauge!("database_class_connections", "class" => class.as_str()).set(usage.used);
    metrics::gauge!("database_class_lent", "class" => class.as_str()).set(usage.lent);
    metrics::gauge!("database_class_waiting", "class" => class.as_str()).set(usage.waiting);
}

/// Counts a request of a class that timed out waiting for a connection.
pub fn class_refused(class: RequestClass) {
    refused_counter(class).increment(1);
}

fn refused_counter(class: RequestClass) -> Counter {
    metrics::counter!("database_class_refused_total", "class" => class.as_str())
}

static IN_FLIGHT: AtomicU32 = AtomicU32::new(0);

/// Counts a request in flight until it is dropped, also when the client disconnects.
pub struct InFlightCount(());

impl InFlightCount {
    /// Counts the request until the value is dropped.
    pub fn begin() -> Self {
        IN_FLIGHT.fetch_add(1, Ordering::Relaxed);
        Self(())
    }
}

impl Drop for InFlightCount {
    fn drop(&mut self) {
        IN_FLIGHT.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Sets the gauge of requests in flight, at scrape time.
pub fn record_in_flight() {
    metrics::gauge!("http_requests_in_flight").set(IN_FLIGHT.load(Ordering::Relaxed));
}

/// Records an answered request.
pub fn record_request(method: &Method, route: &str, status: StatusCode, timings: &Timings) {
    HANDLES.with_borrow_mut(|handles| {
        handles
            .duration(route, method_name(method), status_class(status))
            .record(timings.total());
        if timings.statements() > 0 {
            handles.statements.increment(u64::from(timings.statements()));
        }
        match timings.cache() {
            CacheOutcome::Unused => {}
            CacheOutcome::Hit => handles.cache_hits.increment(1),
            CacheOutcome::Miss => handles.cache_misses.increment(1),
            CacheOutcome::Unavailable => handles.cache_unavailable.increment(1),
            CacheOutcome::Shared => handles.cache_shared.increment(1),
        }
    });
}

thread_local! {
    static HANDLES: RefCell<Handles> = RefCell::new(Handles::new());
}

/// Per-thread handles on the metrics of each request. A lookup in the registry would build labels and take a lock for
/// every request.
struct Handles {
    statements: Counter,
    cache_hits: Counter,
    cache_misses: Counter,
    cache_unavailable: Counter,
    cache_shared: Counter,
    /// By route, then by method and status class; bounded like those labels.
    durations: HashMap<Box<str>, Vec<RouteHistogram>, foldhash::fast::RandomState>,
}

/// Method, status class, and the durations of such requests.
type RouteHistogram = (&'static str, &'static str, Histogram);

impl Handles {
    fn new() -> Self {
        let cache = |outcome: CacheOutcome| metrics::counter!("catalog_cache_lookups_total", "outcome" => outcome.as_str());
        Self {
            statements: metrics::counter!("database_statements_total"),
            cache_hits: cache(CacheOutcome::Hit),
            cache_misses: cache(CacheOutcome::Miss),
            cache_unavailable: cache(CacheOutcome::Unavailable),
            cache_shared: cache(CacheOutcome::Shared),
            durations: HashMap::default(),
        }
    }

    fn duration(&mut self, route: &str, method: &'static str, status: &'static str) -> &Histogram {
        if !self.durations.contains_key(route) {
            self.durations.insert(route.into(), Vec::new());
        }
        let of_route = self.durations.get_mut(route).expect("it was inserted above");
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

/// Unknown methods share one label value: clients can invent methods without bound.
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
