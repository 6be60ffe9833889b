//! The pool: deadpool's, around connections of sqlx.
//!
//! It makes no round trip, neither before a connection is lent nor when it comes back. A connection that broke while it
//! was idle fails one statement, and is replaced then. sqlx's own pool asks every connection that comes back whether it
//! is well, which is a round trip for every request, without a limit of time.

use std::time::{Duration, Instant};

use deadpool::managed::{
    self, Metrics, PoolConfig, PoolError, QueueMode, RecycleError, RecycleResult, Timeouts,
};
use sqlx::postgres::PgConnectOptions;

use super::bulkhead::Admission;
use super::connection::KeptConnection;
use super::lease::Lease;
use crate::settings::DatabaseSettings;

/// Connections that are kept, and lent to one piece of work at a time. Cheap to clone.
#[derive(Clone)]
pub struct ConnectionPool {
    pool: managed::Pool<Connections>,
    acquire_timeout: Duration,
}

/// How much of a pool is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolUse {
    /// Connections that are open.
    pub open: u32,
    /// Of these, those that are idle.
    pub idle: usize,
    /// Connections that may be open.
    pub limit: u32,
}

impl ConnectionPool {
    /// Connects to nothing yet: connections are opened when they are first needed, and kept.
    pub fn new(settings: &DatabaseSettings, options: PgConnectOptions) -> Self {
        let pool = managed::Pool::builder(Connections { options })
            .config(PoolConfig {
                max_size: settings.database_connections as usize,
                timeouts: Timeouts::default(),
                // The one that was used last: what it has cached is warm, here and at Postgres.
                queue_mode: QueueMode::Lifo,
            })
            .build();
        Self {
            pool: pool.expect("only timeouts of deadpool's need more"),
            acquire_timeout: settings.database_acquire_timeout,
        }
    }

    /// Lends a connection.
    ///
    /// # Errors
    /// [`sqlx::Error::PoolTimedOut`] when none came free in time; otherwise why connecting failed.
    pub async fn acquire(&self) -> Result<Lease, sqlx::Error> {
        self.acquire_after(async || None).await
    }

    /// Lends a connection to whom `admit` lets in. Waiting for both has one limit.
    ///
    /// # Errors
    /// As [`Self::acquire`].
    pub async fn acquire_after(
        &self,
        admit: impl AsyncFnOnce() -> Option<Admission>,
    ) -> Result<Lease, sqlx::Error> {
        let acquiring = async {
            let admission = admit().await;
            match self.pool.get().await {
                Ok(connection) => Ok(Lease::pooled(connection, admission)),
                Err(PoolError::Backend(error)) => Err(error),
                Err(PoolError::Closed) => Err(sqlx::Error::PoolClosed),
                Err(_) => Err(sqlx::Error::PoolTimedOut),
            }
        };
        let acquired = tokio::time::timeout(self.acquire_timeout, acquiring).await;
        acquired.unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }

    /// How much is in use.
    pub fn usage(&self) -> PoolUse {
        let status = self.pool.status();
        PoolUse {
            open: status.size as u32,
            idle: status.available,
            limit: status.max_size as u32,
        }
    }

    /// Lends nothing any more, and closes what is idle. What is lent is closed when it comes back.
    pub async fn close(&self) {
        let idle = self.pool.retain(|_, _| false).removed;
        self.pool.close();
        for connection in idle {
            connection.close().await;
        }
    }
}

impl std::fmt::Debug for ConnectionPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectionPool").finish_non_exhaustive()
    }
}

/// Opens connections for deadpool.
pub(super) struct Connections {
    options: PgConnectOptions,
}

impl managed::Manager for Connections {
    type Type = KeptConnection;
    type Error = sqlx::Error;

    async fn create(&self) -> Result<KeptConnection, sqlx::Error> {
        KeptConnection::open(&self.options).await
    }

    async fn recycle(&self, connection: &mut KeptConnection, _: &Metrics) -> RecycleResult<sqlx::Error> {
        match Instant::now() < connection.lives_until {
            true => Ok(()),
            false => Err(RecycleError::message("it has lived long enough")),
        }
    }
}
