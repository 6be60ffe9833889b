//! A pool for whoever has nobody to tell of its statements but metrics and traces: the worker.

use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt};
use sqlx::postgres::{PgConnectOptions, PgQueryResult, PgRow, PgStatement, PgTypeInfo, Postgres};
use sqlx::{Either, Execute, Executor, SqlStr};

use super::pool::{ConnectionPool, PoolUse};
use super::session::{Session, Taken};
use crate::settings::DatabaseSettings;
use crate::telemetry::statements;

/// Connections that are lent out as [`Session`]s. Pass it as `&pool` to sqlx's queries where one statement is all.
/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct MeasuredPool {
    pool: ConnectionPool,
    statement_limit: Duration,
}

impl MeasuredPool {
    /// Connects to nothing yet.
    pub fn new(settings: &DatabaseSettings, options: PgConnectOptions) -> Self {
        Self {
            pool: ConnectionPool::new(settings, options),
            statement_limit: super::answer_limit(settings.database_statement_timeout),
        }
    }

    /// A connection for one piece of work.
    ///
    /// # Errors
    /// [`sqlx::Error::PoolTimedOut`] when none came free in time; otherwise why connecting failed.
    pub async fn session(&self) -> Result<Session<'static, ()>, sqlx::Error> {
        let asked = Instant::now();
        let lease = self.pool.acquire().await;
        let timed_out = matches!(lease, Err(sqlx::Error::PoolTimedOut));
        statements::record_connection_wait(asked.elapsed(), timed_out);
        Ok(Session::new(lease?, (), self.statement_limit))
    }

    /// Writes its state to the metrics.
    pub fn record_use(&self) {
        let PoolUse { open, idle, limit } = self.pool.usage();
        statements::record_pool(open, idle, limit);
    }

    /// Closes what is open.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// A session for the time of one statement. All of its rows are read before the first is given out.
impl<'c> Executor<'c> for &'c MeasuredPool {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let query = Taken::from(query);
        let rows = async move {
            match self.session().await {
                Ok(mut session) => session.fetch_many(query).collect().await,
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
        let query = Taken::from(query);
        Box::pin(async move { self.session().await?.fetch_optional(query).await })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>>
    where
        'c: 'e,
    {
        Box::pin(async move { self.session().await?.prepare_with(sql, parameters).await })
    }

    #[doc(hidden)]
    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<sqlx::Describe<Postgres>, sqlx::Error>>
    where
        'c: 'e,
    {
        Box::pin(async move { self.session().await?.describe(sql).await })
    }
}
