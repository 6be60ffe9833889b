//! A connection, and what is known of its state: whether it can be lent again as it is.
//!
//! A statement whose future is dropped goes on at Postgres, and its answer comes later. Who gets the connection next
//! would wait for both, so `lease.rs` doesn't return such a connection to its pool before it is settled.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection, PgDatabaseError, PgSeverity};
use sqlx::{ConnectOptions, Connection as _, Executor};
use tokio::time::Sleep;

/// How long a connection is kept. What a backend has planned and cached is let go of with it, and a database that moved
/// to another address is found again.
const MAX_LIFETIME: Duration = Duration::from_secs(30 * 60);

/// Connections that were opened together aren't closed together: each is closed up to so much earlier.
const LIFETIME_SPREAD: f64 = 0.2;

/// A connection to Postgres that outlives the work it is lent to.
pub struct KeptConnection {
    pub(super) inner: PgConnection,
    pub(super) status: Status,
    /// Not lent any more from then on.
    pub(super) lives_until: Instant,
}

impl KeptConnection {
    /// Opens one.
    ///
    /// # Errors
    /// Why it can't be opened.
    pub async fn open(options: &PgConnectOptions) -> Result<Self, sqlx::Error> {
        let lifetime = MAX_LIFETIME.mul_f64(1.0 - LIFETIME_SPREAD * rand::random::<f64>());
        Ok(Self {
            inner: options.connect().await?,
            status: Status::new(),
            lives_until: Instant::now() + lifetime,
        })
    }

    /// Reads what is left of an answer, and rolls back what is open.
    pub(super) async fn settle(&mut self) -> Result<(), sqlx::Error> {
        /// A dropped statement and the rollback behind it may fail, each once.
        const ATTEMPTS: u32 = 3;
        let mut left = ATTEMPTS;
        loop {
            // sqlx has queued the rollback of a transaction that was dropped, but not of one that hadn't begun yet.
            let settled = match self.status.is_beginning {
                true => self.inner.execute("rollback").await.map(drop),
                false => self.inner.ping().await,
            };
            match settled {
                Ok(()) => break,
                // The end of an answer that is none of ours.
                Err(sqlx::Error::Database(_)) if left > 1 => left -= 1,
                Err(error) => return Err(error),
            }
        }
        self.status.is_settled = true;
        self.status.is_beginning = false;
        self.status.settled_times += 1;
        Ok(())
    }

    /// Says goodbye to Postgres.
    pub(super) async fn close(self) {
        if let Err(error) = self.inner.close().await {
            tracing::debug!(%error, "a connection was broken when it was closed");
        }
    }
}

/// What is known of a connection between two statements.
pub(super) struct Status {
    /// No statement is under way, and no rollback is owed.
    pub(super) is_settled: bool,
    /// `begin` was sent and isn't answered.
    pub(super) is_beginning: bool,
    /// Nothing more can be said over it.
    pub(super) is_broken: bool,
    /// How often it was settled.
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

    /// A statement is sent, which has so long.
    pub(super) fn start(&mut self, limit: Duration) {
        self.is_settled = false;
        self.deadline.start(limit);
    }

    /// Its answer was read to the end.
    pub(super) fn finish(&mut self) {
        self.is_settled = true;
        self.is_beginning = false;
    }

    /// It failed.
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
            // It wasn't sent, perhaps: it stays unsettled.
            sqlx::Error::Encode(_) => {}
            _ => self.is_broken = true,
        }
    }

    /// Ready when the statement's time is over. The statement may go on at Postgres, so the connection is given up.
    pub(super) fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<sqlx::Error> {
        self.deadline.sleep.as_mut().poll(context).map(|()| {
            self.is_broken = true;
            timed_out()
        })
    }

    /// Waits for an answer up to the deadline.
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

/// One timer for all statements of a connection: a later deadline costs it no more than a store.
struct Deadline {
    sleep: Pin<Box<Sleep>>,
}

impl Deadline {
    fn start(&mut self, limit: Duration) {
        self.sleep.as_mut().reset(tokio::time::Instant::now() + limit);
    }
}

/// A statement had no answer within its class's time. Its connection is closed, which ends it at Postgres.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Postgres gave no answer in time")]
pub struct StatementTimedOut;

fn timed_out() -> sqlx::Error {
    sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, StatementTimedOut))
}
