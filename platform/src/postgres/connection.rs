//! A connection and its protocol state, which decides whether it can be reused as it is.
//!
//! A statement whose future is dropped continues in Postgres, and its response arrives later. The
//! connection's next user would wait for both, so `lease.rs` settles such a connection before it returns to
//! the pool.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection, PgDatabaseError, PgSeverity};
use sqlx::{ConnectOptions, Connection as _, Executor};
use tokio::time::Sleep;

/// The maximum age of a connection. Closing it releases the backend's cached plans, and reconnecting finds a
/// database that has moved to another address.
const MAX_LIFETIME: Duration = Duration::from_secs(30 * 60);

/// The share of the lifetime by which a connection is closed early at random (jitter), so that connections
/// opened together aren't closed together.
const LIFETIME_SPREAD: f64 = 0.2;

/// A reusable connection to Postgres.
pub struct KeptConnection {
    pub(super) inner: PgConnection,
    pub(super) status: Status,
    /// Closed instead of lent after this time.
    pub(super) lives_until: Instant,
}

impl KeptConnection {
    /// Opens a connection.
    ///
    /// # Errors
    /// When Postgres is unreachable or rejects the connection.
    pub async fn open(options: &PgConnectOptions) -> Result<Self, sqlx::Error> {
        let lifetime = MAX_LIFETIME.mul_f64(1.0 - LIFETIME_SPREAD * rand::random::<f64>());
        Ok(Self {
            inner: options.connect().await?,
            status: Status::new(),
            lives_until: Instant::now() + lifetime,
        })
    }

    /// Reads the rest of a response, and rolls back an open transaction.
    pub(super) async fn settle(&mut self) -> Result<(), sqlx::Error> {
        /// A dropped statement and the rollback behind it may fail, each once.
        const ATTEMPTS: u32 = 3;
        let mut left = ATTEMPTS;
        loop {
            // sqlx queues the rollback of a dropped transaction, but not if `begin` was still pending.
            let settled = match self.status.is_beginning {
                true => self.inner.execute("rollback").await.map(drop),
                false => self.inner.ping().await,
            };
            match settled {
                Ok(()) => break,
                // The error of the dropped statement.
                Err(sqlx::Error::Database(_)) if left > 1 => left -= 1,
                Err(error) => return Err(error),
            }
        }
        self.status.is_settled = true;
        self.status.is_beginning = false;
        self.status.settled_times += 1;
        Ok(())
    }

    /// Closes the connection cleanly.
    pub(super) async fn close(self) {
        if let Err(error) = self.inner.close().await {
            tracing::debug!(%error, "a connection to Postgres didn't close cleanly");
        }
    }
}

/// The protocol state of a connection.
pub(super) struct Status {
    /// No statement is in flight, and no rollback is pending.
    pub(super) is_settled: bool,
    /// `begin` was sent, and its response is pending.
    pub(super) is_beginning: bool,
    /// The connection is unusable.
    pub(super) is_broken: bool,
    pub(super) settled_times: u32,
    deadline: Deadline,
}

impl Status {
    fn new() -> Self {
        Self {
            is_settled: true,
            is_beginning: false,
            is_broken: false,
            settled_times: 0,
            deadline: Deadline {
                sleep: Box::pin(tokio::time::sleep(Duration::ZERO)),
            },
        }
    }

    /// Starts a statement with this time limit.
    pub(super) fn start(&mut self, limit: Duration) {
        self.is_settled = false;
        self.deadline.start(limit);
    }

    /// The statement's response was read completely.
    pub(super) fn finish(&mut self) {
        self.is_settled = true;
        self.is_beginning = false;
    }

    /// The statement failed.
    pub(super) fn fail(&mut self, error: &sqlx::Error) {
        match error {
            sqlx::Error::Database(fault) => {
                let fault = fault.try_downcast_ref::<PgDatabaseError>();
                // Postgres closes the connection after these.
                let is_fatal = fault
                    .is_some_and(|fault| matches!(fault.severity(), PgSeverity::Fatal | PgSeverity::Panic));
                self.is_broken |= is_fatal;
                self.is_settled = true;
            }
            // The statement may not have been sent, so the connection stays unsettled.
            sqlx::Error::Encode(_) => {}
            _ => self.is_broken = true,
        }
    }

    /// Ready at the statement's deadline. The statement may continue in Postgres, so
    /// the connection is discarded.
    pub(super) fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<sqlx::Error> {
        self.deadline.sleep.as_mut().poll(context).map(|()| {
            self.is_broken = true;
            timed_out()
        })
    }

    /// Waits for a response until the deadline.
    pub(super) async fn within<T>(
        &mut self,
        mut work: Pin<&mut impl Future<Output = Result<T, sqlx::Error>>>,
    ) -> Result<T, sqlx::Error> {
        std::future::poll_fn(|context| match work.as_mut().poll(context) {
            Poll::Ready(ended) => Poll::Ready(ended),
            Poll::Pending => self.poll_deadline(context).map(Err),
        })
        .await
    }
}

/// One timer for all statements of a connection. Moving it to a later deadline costs no more than a store.
struct Deadline {
    sleep: Pin<Box<Sleep>>,
}

impl Deadline {
    fn start(&mut self, limit: Duration) {
        self.sleep.as_mut().reset(tokio::time::Instant::now() + limit);
    }
}

/// A statement exceeded its class's time limit. Its connection is closed, which cancels it in Postgres.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Postgres didn't respond in time")]
pub struct StatementTimedOut;

fn timed_out() -> sqlx::Error {
    sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, StatementTimedOut))
}
