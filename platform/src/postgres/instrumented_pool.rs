//! The worker's pool. It reports statements to metrics and traces; unlike the api's, it has no counter per request.

use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt};
use sqlx::postgres::{PgConnectOptions, PgQueryResult, PgRow, PgStatement, PgTypeInfo, Postgres};
use sqlx::{Either, Execute, Executor, SqlStr};

use super::instrumented_connection::{InstrumentedConnection, QueryParts};
use super::pool::{ConnectionPool, PoolUse};
use crate::settings::DatabaseSettings;
use crate::telemetry::statements;

/// A pool that leases connections as [`InstrumentedConnection`]s. For single statements, pass it to sqlx's queries as
/// `&pool`. Cheap to clone.
#[derive(Debug, Clone)]
pub struct InstrumentedPool {
    pool: ConnectionPool,
    statement_limit: Duration,
}

impl InstrumentedPool {
    /// Creates the pool without connecting.
    pub fn new(settings: &DatabaseSettings, options: PgConnectOptions) -> Self {
        Self {
            pool: ConnectionPool::new(settings, options),
            statement_limit: super::response_limit(settings.database_statement_timeout),
        }
    }

    /// Leases a connection for one unit of work.
    ///
    /// # Errors
    /// [`sqlx::Error::PoolTimedOut`] when no connection became free in time; otherwise the error of opening one.
    pub async fn acquire(&self) -> Result<InstrumentedConnection<'static, ()>, sqlx::Error> {
        let started = Instant::now();
        let lease = self.pool.acquire().await;
        let timed_out = matches!(lease, Err(sqlx::Error::PoolTimedOut));
        statements::record_connection_wait(started.elapsed(), timed_out);
        Ok(InstrumentedConnection::new(lease?, (), self.statement_limit))
    }

    /// Sets the pool's gauges.
    pub fn record_use(&self) {
        let PoolUse { open, idle, limit } = self.pool.usage();
        statements::record_pool(open, idle, limit);
    }

    /// Closes idle connections at once, and leased ones when they are returned.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// Leases a connection for one statement. All rows are read before the first is returned.
impl<'c> Executor<'c> for &'c InstrumentedPool {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let query = QueryParts::from(query);
        let rows = async move {
            match self.acquire().await {
                Ok(mut connection) => connection.fetch_many(query).collect().await,
                Err(error) => vec![Err(error)],
            }
        };
        rows.map(stream::iter).flatten_stream().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let query = QueryParts::from(query);
        Box::pin(async move { self.acquire().await?.fetch_optional(query).await })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>>
    where
        'c: 'e,
    {
        Box::pin(async move { self.acquire().await?.prepare_with(sql, parameters).await })
    }

    #[doc(hidden)]
    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<sqlx::Describe<Postgres>, sqlx::Error>>
    where
        'c: 'e,
    {
        Box::pin(async move { self.acquire().await?.describe(sql).await })
    }
}
