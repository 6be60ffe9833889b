//! A connection beside those that requests use: for what must be known while requests wait for theirs, the catalogue's
//! changes and whether Postgres answers at all.

use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};
use tokio::sync::{Mutex, MutexGuard};

/// How long connecting, or one short statement, may take. Well below the second within which readers see a change.
pub const SIDE_TIMEOUT: Duration = Duration::from_millis(500);

/// An answer so new says that Postgres is there.
const NEW: Duration = Duration::from_secs(1);

/// One connection, opened when it is first used and again after it failed.
pub struct SideConnection {
    options: PgConnectOptions,
    held: Mutex<Option<PgConnection>>,
    /// When Postgres answered last.
    answered: std::sync::Mutex<Option<Instant>>,
}

/// The connection, while it is in use. It is put back only after whole answers: one that failed or was given up is
/// closed.
pub struct SideLease<'c> {
    side: &'c SideConnection,
    held: MutexGuard<'c, Option<PgConnection>>,
}

impl SideConnection {
    /// Connects to nothing yet.
    pub fn new(options: PgConnectOptions) -> Self {
        Self {
            options,
            held: Mutex::new(None),
            answered: std::sync::Mutex::new(None),
        }
    }

    /// The connection, once it is free and open.
    ///
    /// # Errors
    /// When it isn't within half a second.
    pub async fn lease(&self) -> Result<SideLease<'_>, sqlx::Error> {
        let open = async {
            let mut held = self.held.lock().await;
            if held.is_none() {
                *held = Some(self.options.connect().await?);
            }
            Ok(SideLease { side: self, held })
        };
        tokio::time::timeout(SIDE_TIMEOUT, open)
            .await
            .unwrap_or_else(|_| Err(timed_out()))
    }

    /// Whether Postgres answers. A lease that gets answers says so, too.
    ///
    /// # Errors
    /// When it doesn't within a second.
    pub async fn ping(&self) -> Result<(), sqlx::Error> {
        let mut lease = match self.lease().await {
            Ok(lease) => lease,
            // Another task uses it for longer, and had an answer a moment ago.
            Err(_) if self.has_answered_within(NEW) => return Ok(()),
            Err(error) => return Err(error),
        };
        lease
            .within(SIDE_TIMEOUT, async |connection| connection.ping().await)
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

impl SideLease<'_> {
    /// Uses the connection for so long at most.
    ///
    /// # Errors
    /// Those of the work, or when it takes longer. The connection is closed then.
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
            .side
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
