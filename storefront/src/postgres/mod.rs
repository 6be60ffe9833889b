//! The way to Postgres: the options of a connection, the pool, and what measures statements. Read next: `session.rs`.

mod measured_pool;
mod session;

use std::str::FromStr;

use secrecy::ExposeSecret;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

pub use self::measured_pool::MeasuredPool;
pub use self::session::{Connection, Counter, Session, Transaction};
use crate::settings::DatabaseSettings;

/// How similar a title's best part must be to a text that was searched for, from 0 to 1. Postgres' own 0.6 misses a
/// word of five letters of which one is left out.
const WORD_SIMILARITY: &str = "0.4";

/// The options of every connection: its name in `pg_stat_activity`, a bound on each statement's time, and how much a
/// search forgives.
///
/// # Errors
/// When the URL can't be parsed. The message doesn't repeat the URL, which holds a password.
pub fn connect_options(settings: &DatabaseSettings, process: &str) -> Result<PgConnectOptions, UrlError> {
    let options = PgConnectOptions::from_str(settings.database_url.expose_secret()).map_err(|_| UrlError)?;
    let statement_timeout_ms = settings.database_statement_timeout.as_millis().to_string();
    Ok(options.application_name(process).options([
        ("statement_timeout", statement_timeout_ms.as_str()),
        ("pg_trgm.word_similarity_threshold", WORD_SIMILARITY),
        // A request gets one process of the server: one that took more would take them from others.
        ("max_parallel_workers_per_gather", "0"),
    ]))
}

/// `BACKSTOCK_DATABASE_URL` is no Postgres URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("BACKSTOCK_DATABASE_URL is no Postgres URL; an example: postgres://shop:secret@127.0.0.1:5432/shop")]
pub struct UrlError;

/// A pool that keeps its connections.
///
/// As many at least as at most: connections that come and go would be measured with the requests. They are opened
/// as they are first needed. It doesn't ping
/// before a connection is lent, which would double the round trips that a one-statement request waits for; a
/// connection that broke meanwhile fails one statement, and none is kept longer than half an hour. What sqlx does
/// always is one round trip when a connection is given back, which no request waits for.
pub fn pool(settings: &DatabaseSettings, options: PgConnectOptions) -> PgPool {
    PgPoolOptions::new()
        .max_connections(settings.database_connections)
        .min_connections(settings.database_connections)
        .acquire_timeout(settings.database_acquire_timeout)
        .max_lifetime(std::time::Duration::from_secs(30 * 60))
        .idle_timeout(None)
        .test_before_acquire(false)
        .connect_lazy_with(options)
}

/// Whether waiting may help: nobody answers, or a server says that it is starting, stopping, or full.
///
/// A refused password and a database that doesn't exist don't pass by themselves. They might while a server is being set
/// up, but one that is lets nobody in over the network until all of it is there: so do Postgres' own container and its
/// operators.
pub fn may_pass(error: &sqlx::Error) -> bool {
    // Classes of https://www.postgresql.org/docs/current/errcodes-appendix.html: connections, resources, interventions.
    const PASSING: [&str; 3] = ["08", "53", "57"];
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) => true,
        sqlx::Error::Database(refusal) => refusal
            .code()
            .is_some_and(|code| PASSING.iter().any(|class| code.starts_with(class))),
        _ => false,
    }
}
