//! The connection pool: deadpool's, with connections of sqlx.
//!
//! It needs no round trip, neither to lend a connection nor to return it. A connection that broke while idle
//! fails one statement and is then replaced. sqlx's own pool pings every returned connection, which is a
//! round trip for every request, without a timeout.

use std::time::{Duration, Instant};

use deadpool::managed::{
    self, Metrics, PoolConfig, PoolError, QueueMode, RecycleError, RecycleResult, Timeouts,
};
use sqlx::postgres::PgConnectOptions;

use super::bulkhead::Admission;
use super::connection::KeptConnection;
use super::lease::Lease;
use crate::settings::DatabaseSettings;

/// A pool of connections, each leased to one unit of work at a time. Cheap to clone.
#[derive(Clone)]
pub struct ConnectionPool {
    pool: managed::Pool<Connections>,
    acquire_timeout: Duration,
}

/// How much of a pool is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolUse {
    /// Open connections, including idle ones.
    pub open: u32,
    pub idle: usize,
    /// The maximum of open connections.
    pub limit: u32,
}

impl ConnectionPool {
    /// Doesn't connect: connections are opened on demand, and kept.
    pub fn new(settings: &DatabaseSettings, options: PgConnectOptions) -> Self {
        let pool = managed::Pool::builder(Connections { options })
            .config(PoolConfig {
                max_size: settings.database_connections as usize,
                timeouts: Timeouts::default(),
                // The most recently used connection has warm caches, here and in Postgres.
                queue_mode: QueueMode::Lifo,
            })
            .build();
        Self {
            pool: pool.expect("only timeouts of deadpool's need more"),
            acquire_timeout: settings.database_acquire_timeout,
        }
    }

    /// Leases a connection.
    ///
    /// # Errors
    /// [`sqlx::Error::PoolTimedOut`] when none became free in time; otherwise the error of connecting.
    pub async fn acquire(&self) -> Result<Lease, sqlx::Error> {
        self.acquire_after(async || None).await
    }

    /// Leases a connection after `admit` has granted admission. Both waits share one timeout.
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

    /// How much of the pool is in use at this moment.
    pub fn usage(&self) -> PoolUse {
        let status = self.pool.status();
        PoolUse {
            open: status.size as u32,
            idle: status.available,
            limit: status.max_size as u32,
        }
    }

    /// Closes the pool and its idle connections. Leased connections are closed when they are returned.
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
            false => Err(RecycleError::message("the connection reached its maximum age")),
        }
    }
}
