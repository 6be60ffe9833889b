//! What the api counts. Names follow Prometheus: base units, `_total` for counters; labels are bounded sets.

use axum::http::{Method, StatusCode};

use crate::http::timings::{CacheOutcome, Timings};

/// Describes every metric, so that `/metrics` has a `# HELP` line for each.
pub fn describe() {
    metrics::describe_histogram!(
        "http_request_duration_seconds",
        "Time to answer a request, by route and status."
    );
    metrics::describe_counter!(
        "catalog_cache_lookups_total",
        "Look-ups in the catalogue's cache, by outcome."
    );
    metrics::describe_gauge!("database_connections", "Connections to Postgres, by state.");
    metrics::describe_counter!(
        "database_statements_total",
        "Statements sent to Postgres for requests."
    );
}

/// One answered request.
pub fn record_request(method: &Method, route: &str, status: StatusCode, timings: &Timings) {
    metrics::histogram!(
        "http_request_duration_seconds",
        "method" => method_name(method),
        "route" => route.to_owned(),
        "status" => status_class(status),
    )
    .record(timings.total());
    metrics::counter!("database_statements_total").increment(u64::from(timings.statements()));
    let cache = timings.cache();
    if cache != CacheOutcome::Unused {
        metrics::counter!("catalog_cache_lookups_total", "outcome" => cache.as_str()).increment(1);
    }
}

/// The pool's state, when someone asks for the metrics.
pub fn record_pool(open: u32, idle: usize) {
    metrics::gauge!("database_connections", "state" => "idle").set(idle as f64);
    metrics::gauge!("database_connections", "state" => "used").set(f64::from(open) - idle as f64);
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
