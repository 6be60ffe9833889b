//! A pool for whoever has nobody to tell of its statements but metrics and traces: the worker.

use std::time::Instant;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt};
use sqlx::postgres::{PgConnectOptions, PgPool, PgQueryResult, PgRow, PgStatement, PgTypeInfo, Postgres};
use sqlx::{Either, Execute, Executor, SqlStr};

use super::session::{Connection, Session, Taken};
use crate::settings::DatabaseSettings;
use crate::telemetry::statements;

/// Connections that are lent out as [`Session`]s. Pass it as `&pool` to sqlx's queries where one statement is all.
/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct MeasuredPool(PgPool);

impl MeasuredPool {
    /// See [`super::pool`]. Connects to nothing yet.
    pub fn new(settings: &DatabaseSettings, options: PgConnectOptions) -> Self {
        Self(super::pool(settings, options))
    }

    /// A connection for one piece of work.
    ///
    /// # Errors
    /// [`sqlx::Error::PoolTimedOut`] when none came free in time; otherwise why connecting failed.
    pub async fn session(&self) -> Result<Session<'static, ()>, sqlx::Error> {
        let asked = Instant::now();
        let connection = self.0.acquire().await;
        let timed_out = matches!(connection, Err(sqlx::Error::PoolTimedOut));
        statements::waited_for_connection(asked.elapsed(), timed_out);
        Ok(Session::new(Connection::Pooled(connection?), ()))
    }

    /// Writes its state to the metrics.
    pub fn record_use(&self) {
        let limit = self.0.options().get_max_connections();
        statements::record_pool(self.0.size(), self.0.num_idle(), limit);
    }

    /// Closes what is open.
    pub async fn close(&self) {
        self.0.close().await;
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
        self.0.prepare_with(sql, parameters)
    }

    #[doc(hidden)]
    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<sqlx::Describe<Postgres>, sqlx::Error>>
    where
        'c: 'e,
    {
        self.0.describe(sql)
    }
}
