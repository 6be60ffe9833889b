//! Access to Postgres: connection options, the pool, its bulkheads, and the instrumentation of
//! statements. Read next: `instrumented_connection.rs`, the executor that handlers use, then `lease.rs`, which returns
//! connections to the pool.

pub mod bulkhead;
mod connection;
mod instrumented_connection;
mod instrumented_pool;
mod lease;
mod pool;

use std::str::FromStr;
use std::time::Duration;

use secrecy::ExposeSecret;
use sqlx::postgres::PgConnectOptions;

pub use self::connection::{KeptConnection, StatementTimedOut};
pub use self::instrumented_connection::{Counter, InstrumentedConnection, Transaction};
pub use self::instrumented_pool::InstrumentedPool;
pub use self::lease::Lease;
pub use self::pool::{ConnectionPool, PoolUse};
use crate::settings::DatabaseSettings;

/// The default lock timeout of requests. Short, because a client waits for the response, and the request
/// holds a connection that others could use.
const REQUEST_LOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// The default lock timeout of background work. No client waits for it, and a timeout means a retry, so it is
/// longer than any request holds a lock, and shorter than the statement timeout.
const BACKGROUND_LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// How often Postgres checks during a statement whether its client is still connected. A statement is
/// cancelled by closing its connection, within this time. Unlike a cancel request, that needs no second
/// connection, and can't hit another statement.
const CLIENT_CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// How much longer than Postgres' own timeout a client waits for a response. Normally Postgres times out
/// first, which reports the error and keeps the connection. Beyond the margin, Postgres or the network has
/// failed silently.
const RESPONSE_MARGIN: Duration = Duration::from_millis(500);

/// The client's time limit for a statement that Postgres cancels after `statement_timeout`.
pub fn response_limit(statement_timeout: Duration) -> Duration {
    statement_timeout + RESPONSE_MARGIN
}

/// The options of connections for background work: their name in `pg_stat_activity`, and the timeouts of
/// statements, locks, idle transactions and dead peers.
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
            // Detects a host that has disappeared: the first probe after half of the time, then three.
            ("tcp_keepalives_idle", seconds(peer / 2)),
            ("tcp_keepalives_interval", seconds(peer / 6)),
            ("tcp_keepalives_count", "3".to_owned()),
            ("tcp_user_timeout", millis(peer)),
            // No parallel workers, because one request would take them from others.
            ("max_parallel_workers_per_gather", "0".to_owned()),
        ]))
}

/// The options of connections for requests: as [`connect_options`], with a shorter lock timeout.
///
/// # Errors
/// As [`connect_options`].
pub fn request_options(settings: &DatabaseSettings, process: &str) -> Result<PgConnectOptions, UrlError> {
    let lock_timeout = settings.database_lock_timeout.unwrap_or(REQUEST_LOCK_TIMEOUT);
    let lock_timeout = lock_timeout.as_millis().to_string();
    Ok(connect_options(settings, process)?.options([("lock_timeout", lock_timeout)]))
}

/// `BACKSTOCK_DATABASE_URL` can't be parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "BACKSTOCK_DATABASE_URL is not a Postgres URL; an example: postgres://shop:secret@127.0.0.1:5432/shop"
)]
pub struct UrlError;

/// Whether Postgres aborted the transaction to resolve a deadlock. It can be attempted again.
pub fn is_deadlock(error: &sqlx::Error) -> bool {
    // https://www.postgresql.org/docs/current/errcodes-appendix.html
    const DEADLOCK_DETECTED: &str = "40P01";
    let fault = error.as_database_error();
    fault.is_some_and(|fault| fault.code().as_deref() == Some(DEADLOCK_DETECTED))
}

/// Whether a retry can help: the server is unreachable, or is starting, stopping, or out of resources.
///
/// A rejected password and a missing database are permanent. They could be transient while a server is being
/// set up, but Postgres' container image and Kubernetes operators accept no network connections until the
/// setup is complete.
pub fn is_transient(error: &sqlx::Error) -> bool {
    // A statement timeout: the server is up, but slow.
    const QUERY_CANCELED: &str = "57014";
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) => true,
        sqlx::Error::Database(error) => error
            .code()
            .is_some_and(|code| code == QUERY_CANCELED || is_code_of_outage(&code)),
        _ => false,
    }
}

/// Whether Postgres is unavailable to every statement, as opposed to an error of this one: the connection
/// failed, or the server is starting, stopping or out of resources.
///
/// A statement timeout, a lock timeout, a deadlock and a constraint violation are the statement's own,
/// because other statements may still succeed.
pub fn is_unavailable(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => error.code().is_some_and(|code| is_code_of_outage(&code)),
        sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } | sqlx::Error::RowNotFound => false,
        _ => true,
    }
}

/// Whether a SQLSTATE reports an outage: connections (08), resources (53), or a server that starts or stops
/// (57P). The rest of class 57 concerns one statement: 57014 is a cancelled query. System errors (58) aren't
/// included, because an I/O error may be in the file of a single table.
fn is_code_of_outage(code: &str) -> bool {
    // https://www.postgresql.org/docs/current/errcodes-appendix.html
    const PREFIXES: [&str; 3] = ["08", "53", "57P"];
    PREFIXES.iter().any(|prefix| code.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_connection_a_stopping_server_and_missing_resources_are_outages() {
        for code in [
            "57P01", "57P02", "57P03", "08000", "08003", "08006", "53100", "53300",
        ] {
            assert!(is_code_of_outage(code), "{code}");
        }
    }

    #[test]
    fn errors_of_one_statement_are_no_outage() {
        for code in ["57014", "40001", "40P01", "55P03", "23505", "25P03"] {
            assert!(!is_code_of_outage(code), "{code}");
        }
    }

    #[test]
    fn a_lost_connection_is_an_outage_and_an_unexpected_row_is_not() {
        assert!(is_unavailable(&sqlx::Error::Io(
            std::io::ErrorKind::ConnectionReset.into()
        )));
        assert!(is_unavailable(&sqlx::Error::PoolTimedOut));
        assert!(!is_unavailable(&sqlx::Error::RowNotFound));
    }
}
