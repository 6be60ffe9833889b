//! A request's class and costs, collected while it runs; the costs are sent as `server-timing`.
//!
//! Created by the outermost layer (`server/context.rs`), carried in the request's extensions, updated by connections and
//! caches.

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::extract::FromRequestParts;
use axum::http::HeaderValue;
use axum::http::request::Parts;
use bytes::BytesMut;

use super::error::ApiError;
use crate::web::request_class::RequestClass;

/// Durations and counts of one request. All fields are atomic, because handlers share it by reference.
#[derive(Debug)]
pub struct Timings {
    started: Instant,
    class: AtomicU8,
    statements: AtomicU32,
    database_nanos: AtomicU64,
    connection_nanos: AtomicU64,
    cache: AtomicU8,
    cache_nanos: AtomicU64,
}

/// What the catalogue's cache contributed to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheOutcome {
    Unused = 0,
    Hit = 1,
    Miss = 2,
    /// The cache didn't respond in time.
    Unavailable = 3,
    /// A miss that shared the work of a concurrent request (single flight).
    Shared = 4,
}

impl CacheOutcome {
    /// The label in `server-timing` and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            CacheOutcome::Unused => "none",
            CacheOutcome::Hit => "hit",
            CacheOutcome::Miss => "miss",
            CacheOutcome::Unavailable => "unavailable",
            CacheOutcome::Shared => "shared",
        }
    }
}

impl Timings {
    /// Starts the clock of a request.
    pub fn start(class: RequestClass) -> Self {
        Self {
            started: Instant::now(),
            class: AtomicU8::new(class as u8),
            statements: AtomicU32::new(0),
            database_nanos: AtomicU64::new(0),
            connection_nanos: AtomicU64::new(0),
            cache: AtomicU8::new(CacheOutcome::Unused as u8),
            cache_nanos: AtomicU64::new(0),
        }
    }

    /// The class whose share of the connections the request uses.
    pub fn class(&self) -> RequestClass {
        RequestClass::ALL[usize::from(self.class.load(Ordering::Relaxed))]
    }

    pub(crate) fn set_class(&self, class: RequestClass) {
        self.class.store(class as u8, Ordering::Relaxed);
    }

    /// Time since the request arrived.
    pub fn total(&self) -> Duration {
        self.started.elapsed()
    }

    /// Statements sent to Postgres.
    pub fn statements(&self) -> u32 {
        self.statements.load(Ordering::Relaxed)
    }

    /// [`CacheOutcome::Unused`] until the cache was asked.
    pub fn cache(&self) -> CacheOutcome {
        match self.cache.load(Ordering::Relaxed) {
            1 => CacheOutcome::Hit,
            2 => CacheOutcome::Miss,
            3 => CacheOutcome::Unavailable,
            4 => CacheOutcome::Shared,
            _ => CacheOutcome::Unused,
        }
    }

    pub(crate) fn add_statement(&self, took: Duration) {
        self.statements.fetch_add(1, Ordering::Relaxed);
        self.database_nanos
            .fetch_add(took.as_nanos() as u64, Ordering::Relaxed);
    }

    pub(crate) fn add_connection_wait(&self, took: Duration) {
        self.connection_nanos
            .fetch_add(took.as_nanos() as u64, Ordering::Relaxed);
    }

    pub(crate) fn set_cache(&self, outcome: CacheOutcome, took: Duration) {
        self.cache.store(outcome as u8, Ordering::Relaxed);
        self.cache_nanos.store(took.as_nanos() as u64, Ordering::Relaxed);
    }

    /// Overrides the outcome of an earlier lookup.
    pub(crate) fn set_cache_outcome(&self, outcome: CacheOutcome) {
        self.cache.store(outcome as u8, Ordering::Relaxed);
    }

    /// The value of the `server-timing` header, with durations in milliseconds as the specification requires
    /// (<https://www.w3.org/TR/server-timing/>).
    pub fn header(&self) -> HeaderValue {
        let of = |nanos: &AtomicU64| Millis(nanos.load(Ordering::Relaxed));
        let mut header = BytesMut::with_capacity(160);
        write!(
            header,
            "total;dur={}, db;dur={};desc=\"{} queries\", connection;dur={}, cache;dur={};desc=\"{}\"",
            Millis(self.total().as_nanos() as u64),
            of(&self.database_nanos),
            self.statements(),
            of(&self.connection_nanos),
            of(&self.cache_nanos),
            self.cache().as_str(),
        )
        .expect("writing to a buffer that grows can't fail");
        HeaderValue::from_maybe_shared(header.freeze()).expect("digits, letters and quotes")
    }
}

/// Nanoseconds, formatted as milliseconds with three decimals. Integer arithmetic, because four are formatted for
/// every request and exact decimals of a float are expensive.
struct Millis(u64);

impl fmt::Display for Millis {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = (self.0 + 500) / 1_000;
        write!(to, "{}.{:03}", micros / 1_000, micros % 1_000)
    }
}

/// The running request's [`Timings`], as an extractor.
#[derive(Clone)]
pub struct RequestTimings(pub Arc<Timings>);

impl std::ops::Deref for RequestTimings {
    type Target = Timings;

    fn deref(&self) -> &Timings {
        &self.0
    }
}

impl<S: Send + Sync> FromRequestParts<S> for RequestTimings {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        Ok(parts
            .extensions
            .get::<Self>()
            .cloned()
            .expect("the context layer wraps every route"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nanoseconds_are_written_as_milliseconds() {
        let written = |nanos| Millis(nanos).to_string();
        assert_eq!(written(0), "0.000");
        assert_eq!(written(1_499), "0.001");
        assert_eq!(written(1_500), "0.002");
        assert_eq!(written(12_034_567_000), "12034.567");
    }
}
