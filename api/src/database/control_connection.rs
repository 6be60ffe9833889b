//! The control connection: one connection apart from those of requests, for the catalogue's change feed and the
//! readiness probe. Both must work while requests wait for a connection.

use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};
use tokio::sync::{Mutex, MutexGuard};

/// How long connecting, or one short statement, may take. Well below the second within which a change must be
/// visible.
pub const CONTROL_TIMEOUT: Duration = Duration::from_millis(500);

/// A response from Postgres within this time proves that it is up.
const RECENT: Duration = Duration::from_secs(1);

/// One connection, opened on first use and reopened after a failure.
pub struct ControlConnection {
    options: PgConnectOptions,
    held: Mutex<Option<PgConnection>>,
    /// When Postgres last responded.
    answered: std::sync::Mutex<Option<Instant>>,
}

/// The leased connection. It is returned only after complete responses; after an error or a timeout it is closed.
pub struct ControlLease<'c> {
    control: &'c ControlConnection,
    held: MutexGuard<'c, Option<PgConnection>>,
}

impl ControlConnection {
    /// Connects lazily.
    pub fn new(options: PgConnectOptions) -> Self {
        Self {
            options,
            held: Mutex::new(None),
            answered: std::sync::Mutex::new(None),
        }
    }

    /// Leases the connection, opening it if necessary.
    ///
    /// # Errors
    /// When that takes more than half a second.
    pub async fn lease(&self) -> Result<ControlLease<'_>, sqlx::Error> {
        let open = async {
            let mut held = self.held.lock().await;
            if held.is_none() {
                *held = Some(self.options.connect().await?);
            }
            Ok(ControlLease { control: self, held })
        };
        tokio::time::timeout(CONTROL_TIMEOUT, open)
            .await
            .unwrap_or_else(|_| Err(timed_out()))
    }

    /// Whether Postgres responds. A recent response to another lease counts too.
    ///
    /// # Errors
    /// When it doesn't respond within a second.
    pub async fn ping(&self) -> Result<(), sqlx::Error> {
        let mut lease = match self.lease().await {
            Ok(lease) => lease,
            // Another task holds the lease for longer, and got a response a moment ago.
            Err(_) if self.has_answered_within(RECENT) => return Ok(()),
            Err(error) => return Err(error),
        };
        lease
            .within(CONTROL_TIMEOUT, async |connection| connection.ping().await)
            .await
    }

    fn has_answered_within(&self, age: Duration) -> bool {
        let answered = self
            .answered
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        answered.is_some_and(|at| at.elapsed() < age)
    }
}

impl ControlLease<'_> {
    /// Runs work on the connection, with a timeout.
    ///
    /// # Errors
    /// The work's error, or a timeout. Either closes the connection.
    pub async fn within<T>(
        &mut self,
        timeout: Duration,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, sqlx::Error> {
        let mut connection = match self.held.take() {
            Some(connection) => connection,
            None => return Err(sqlx::Error::WorkerCrashed),
        };
        let done = tokio::time::timeout(timeout, work(&mut connection)).await;
        let done = done.unwrap_or_else(|_| Err(timed_out()));
        let mut answered = self
            .control
            .answered
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if done.is_ok() {
            *self.held = Some(connection);
            *answered = Some(Instant::now());
        } else {
            *answered = None;
        }
        done
    }
}

fn timed_out() -> sqlx::Error {
    sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())
}
