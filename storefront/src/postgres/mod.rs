//! The way to Postgres: the options of a connection, the pool, its bulkheads, and what measures statements. Read next:
//! `session.rs`, what work has a connection as; `lease.rs`, how a connection comes back.

pub mod bulkhead;
mod connection;
mod lease;
mod measured_pool;
mod pool;
mod session;

use std::str::FromStr;
use std::time::Duration;

use secrecy::ExposeSecret;
use sqlx::postgres::PgConnectOptions;

pub use self::connection::{KeptConnection, StatementTimedOut};
pub use self::lease::Lease;
pub use self::measured_pool::MeasuredPool;
pub use self::pool::{ConnectionPool, PoolUse};
pub use self::session::{Counter, Session, Transaction};
use crate::settings::DatabaseSettings;

/// How long a request waits for a lock, unless a setting says otherwise. A client waits for its answer, and it holds a
/// connection that others could use.
const REQUEST_LOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// How long background work waits for a lock, unless a setting says otherwise. No client waits for it, and giving up means
/// doing it again: longer than any request holds a lock, shorter than a statement may take.
const BACKGROUND_LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// How often Postgres looks, while it works on a statement, whether its client is still there. A statement whose client
/// closed its connection is cancelled within this time, so this is how a statement is cancelled: it needs no second
/// connection, and can't hit the statement of another.
const CLIENT_CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// How much longer than Postgres' own limit a client waits for a statement's answer: Postgres says what was wrong and
/// keeps the connection. Beyond it, the network or Postgres is gone without a word.
const ANSWER_MARGIN: Duration = Duration::from_millis(500);

/// How long a client waits for a statement that Postgres gives up after `statement_timeout`.
pub fn answer_limit(statement_timeout: Duration) -> Duration {
    statement_timeout + ANSWER_MARGIN
}

/// The options of the connections of background work: their name in `pg_stat_activity`, bounds on each statement's time,
/// on each wait for a lock and on a transaction that does nothing, and how much a search forgives.
///
/// # Errors
/// When the URL can't be parsed. The message doesn't repeat the URL, which holds a password.
pub fn connect_options(settings: &DatabaseSettings, process: &str) -> Result<PgConnectOptions, UrlError> {
    let options = PgConnectOptions::from_str(settings.database_url.expose_secret()).map_err(|_| UrlError)?;
    let millis = |time: Duration| time.as_millis().to_string();
    let seconds = |time: Duration| time.as_secs().max(1).to_string();
    let peer = settings.database_peer_timeout;
    let capacity = settings.database_statement_cache as usize;
    let lock_timeout = settings.database_lock_timeout.unwrap_or(BACKGROUND_LOCK_TIMEOUT);
    Ok(options
        .application_name(process)
        .statement_cache_capacity(capacity)
        .options([
            ("statement_timeout", millis(settings.database_statement_timeout)),
            ("lock_timeout", millis(lock_timeout)),
            (
                "idle_in_transaction_session_timeout",
                millis(settings.database_idle_transaction_timeout),
            ),
            ("client_connection_check_interval", millis(CLIENT_CHECK_INTERVAL)),
            // A host that is gone without a word: the first probe after half of the time, then three.
            ("tcp_keepalives_idle", seconds(peer / 2)),
            ("tcp_keepalives_interval", seconds(peer / 6)),
            ("tcp_keepalives_count", "3".to_owned()),
            ("tcp_user_timeout", millis(peer)),
            // A request gets one process of the server: one that took more would take them from others.
            ("max_parallel_workers_per_gather", "0".to_owned()),
        ]))
}

/// The options of the connections of requests: as [`connect_options`], but a request waits less for a lock.
///
/// # Errors
/// As [`connect_options`].
pub fn request_options(settings: &DatabaseSettings, process: &str) -> Result<PgConnectOptions, UrlError> {
    let lock_timeout = settings.database_lock_timeout.unwrap_or(REQUEST_LOCK_TIMEOUT);
    let lock_timeout = lock_timeout.as_millis().to_string();
    Ok(connect_options(settings, process)?.options([("lock_timeout", lock_timeout)]))
}

/// `BACKSTOCK_DATABASE_URL` is no Postgres URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("BACKSTOCK_DATABASE_URL is no Postgres URL; an example: postgres://shop:secret@127.0.0.1:5432/shop")]
pub struct UrlError;

/// Whether waiting may help: nobody answers, or a server says that it is starting, stopping, or full.
///
/// A refused password and a database that doesn't exist don't pass by themselves. They might while a server is being set
/// up, but one that is lets nobody in over the network until all of it is there: so do Postgres' own container and its
/// operators.
pub fn is_transient(error: &sqlx::Error) -> bool {
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
