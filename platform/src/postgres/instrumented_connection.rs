//! A leased connection as an sqlx executor that measures, traces and counts statements.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, Stream, StreamExt};
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArguments, PgConnection, PgQueryResult, PgRow, PgStatement, PgTypeInfo, Postgres};
use sqlx::{Connection as _, Either, Execute, Executor, SqlStr};

use super::connection::{KeptConnection, Status};
use super::lease::Lease;
use crate::telemetry::statements::{self, KnownStatement};
use crate::telemetry::trace::{self, Name};

/// Receives the duration of each statement of a unit of work, in addition to metrics and traces.
pub trait Counter: Copy + Send + Unpin {
    /// Called when a statement has succeeded, failed, or been dropped.
    fn count(&self, took: Duration);
}

/// Counts nothing.
impl Counter for () {
    fn count(&self, _: Duration) {}
}

/// A connection leased by one unit of work. Pass it to sqlx's queries as `&mut connection`.
pub struct InstrumentedConnection<'t, C> {
    connection: Connection<'t>,
    counter: C,
    /// The time limit of a statement.
    limit: Duration,
}

enum Connection<'t> {
    Leased(Lease),
    /// Borrowed from another connection. The transaction is `None` only after it has ended.
    InTransaction(Option<sqlx::Transaction<'t, Postgres>>, &'t mut Status),
}

impl<'t, C: Counter> InstrumentedConnection<'t, C> {
    /// Uses a leased connection. A statement that takes longer than the limit fails, and is cancelled.
    pub fn new(lease: Lease, counter: C, limit: Duration) -> Self {
        Self {
            connection: Connection::Leased(lease),
            counter,
            limit,
        }
    }

    /// Begins a transaction, which borrows this connection. A transaction that is dropped, for example because
    /// its request was aborted, is rolled back before the connection is used again.
    ///
    /// # Errors
    /// When the connection is lost, or Postgres doesn't respond within the limit.
    pub async fn begin(&mut self) -> Result<Transaction<'_, C>, sqlx::Error> {
        let (counter, limit) = (self.counter, self.limit);
        let mut statement = Statement::start(counter, "begin");
        let (connection, status) = self.connection_and_status();
        status.start(limit);
        status.is_beginning = true;
        let begun = status.within(pin!(connection.begin())).await;
        statement.end(status, begun.as_ref().err());
        Ok(Transaction(InstrumentedConnection {
            connection: Connection::InTransaction(Some(begun?), status),
            counter,
            limit,
        }))
    }

    fn connection_and_status(&mut self) -> (&mut PgConnection, &mut Status) {
        match &mut self.connection {
            Connection::Leased(lease) => {
                let KeptConnection { inner, status, .. } = &mut **lease;
                (inner, status)
            }
            Connection::InTransaction(transaction, status) => {
                (transaction.as_mut().expect("present until it has ended"), status)
            }
        }
    }
}

/// A connection inside a transaction. Pass it as `&mut *transaction` where a connection is expected. `begin` and
/// `commit` count as statements.
#[derive(Debug)]
pub struct Transaction<'t, C>(InstrumentedConnection<'t, C>);

impl<C: Counter> Transaction<'_, C> {
    /// Commits the transaction.
    ///
    /// # Errors
    /// When the commit fails. The transaction is then rolled back, unless only the response to the commit was lost.
    pub async fn commit(mut self) -> Result<(), sqlx::Error> {
        let mut statement = Statement::start(self.0.counter, "commit");
        let Connection::InTransaction(inner, status) = &mut self.0.connection else {
            unreachable!("`begin` creates it inside a transaction")
        };
        let inner = inner.take().expect("`commit` consumes the transaction");
        status.start(self.0.limit);
        let ended = status.within(pin!(inner.commit())).await;
        statement.end(status, ended.as_ref().err());
        // After a failed commit, sqlx has queued a rollback.
        status.is_settled &= ended.is_ok();
        ended
    }
}

impl<'t, C> Deref for Transaction<'t, C> {
    type Target = InstrumentedConnection<'t, C>;

    fn deref(&self) -> &InstrumentedConnection<'t, C> {
        &self.0
    }
}

impl<'t, C> DerefMut for Transaction<'t, C> {
    fn deref_mut(&mut self) -> &mut InstrumentedConnection<'t, C> {
        &mut self.0
    }
}

impl<C> fmt::Debug for InstrumentedConnection<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InstrumentedConnection").finish_non_exhaustive()
    }
}

/// When a transaction is dropped before its end, sqlx queues a rollback, which stays pending until the next statement.
impl<C> Drop for InstrumentedConnection<'_, C> {
    fn drop(&mut self) {
        if let Connection::InTransaction(Some(_), status) = &mut self.connection {
            status.is_settled = false;
        }
    }
}

/// Delegates to the connection and counts statements. `prepare_with` and `describe` aren't counted.
impl<'c, C: Counter + Sync> Executor<'c> for &'c mut InstrumentedConnection<'_, C> {
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
        let statement = Statement::start(self.counter, query.sql.as_str());
        let limit = self.limit;
        let (connection, status) = self.connection_and_status();
        status.start(limit);
        let rows = connection.fetch_many(query);
        InstrumentedRows {
            rows,
            status,
            statement,
        }
        .boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        Box::pin(async move {
            let query = QueryParts::from(query);
            let mut statement = Statement::start(self.counter, query.sql.as_str());
            let limit = self.limit;
            let (connection, status) = self.connection_and_status();
            status.start(limit);
            let row = status.within(pin!(connection.fetch_optional(query))).await;
            statement.end(status, row.as_ref().err());
            row
        })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>>
    where
        'c: 'e,
    {
        self.connection_and_status().0.prepare_with(sql, parameters)
    }

    #[doc(hidden)]
    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<sqlx::Describe<Postgres>, sqlx::Error>>
    where
        'c: 'e,
    {
        self.connection_and_status().0.describe(sql)
    }
}

/// A statement in flight. Dropping it counts the statement, whether it succeeded, failed or was aborted.
struct Statement<C: Counter> {
    counter: C,
    known: Arc<KnownStatement>,
    started: Instant,
    has_failed: bool,
}

impl<C: Counter> Statement<C> {
    fn start(counter: C, sql: &str) -> Self {
        Self {
            counter,
            known: statements::known(sql),
            started: Instant::now(),
            has_failed: false,
        }
    }

    /// Records the statement's result.
    fn end(&mut self, status: &mut Status, error: Option<&sqlx::Error>) {
        self.has_failed = error.is_some();
        match error {
            None => status.finish(),
            Some(error) => status.fail(error),
        }
    }
}

impl<C: Counter> Drop for Statement<C> {
    fn drop(&mut self) {
        let took = self.started.elapsed();
        self.counter.count(took);
        self.known.record(took);
        let name = || Name::Shared(self.known.summary.clone());
        let failure = self.has_failed.then_some("the statement failed");
        trace::record_statement(name, "postgresql", self.started, failure);
    }
}

/// A query in parts, so that its text can be inspected before it is sent.
pub(super) struct QueryParts {
    sql: SqlStr,
    arguments: Result<Option<PgArguments>, BoxDynError>,
    is_persistent: bool,
}

impl QueryParts {
    pub(super) fn from<'q>(mut query: impl Execute<'q, Postgres>) -> Self {
        Self {
            arguments: query.take_arguments(),
            is_persistent: query.persistent(),
            sql: query.sql(),
        }
    }
}

impl<'q> Execute<'q, Postgres> for QueryParts {
    fn sql(self) -> SqlStr {
        self.sql
    }

    fn statement(&self) -> Option<&PgStatement> {
        // sqlx prepares and caches statements by their text.
        None
    }

    fn take_arguments(&mut self) -> Result<Option<PgArguments>, BoxDynError> {
        std::mem::replace(&mut self.arguments, Ok(None))
    }

    fn persistent(&self) -> bool {
        self.is_persistent
    }
}

struct InstrumentedRows<'e, C: Counter> {
    rows: BoxStream<'e, Result<Either<PgQueryResult, PgRow>, sqlx::Error>>,
    status: &'e mut Status,
    statement: Statement<C>,
}

impl<C: Counter> Stream for InstrumentedRows<'_, C> {
    type Item = Result<Either<PgQueryResult, PgRow>, sqlx::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self {
            rows,
            status,
            statement,
        } = &mut *self;
        let row = match rows.poll_next_unpin(context) {
            Poll::Ready(row) => row,
            Poll::Pending => match status.poll_deadline(context) {
                Poll::Ready(error) => Some(Err(error)),
                Poll::Pending => return Poll::Pending,
            },
        };
        match &row {
            Some(Ok(_)) => {}
            Some(Err(error)) => statement.end(status, Some(error)),
            None => statement.end(status, None),
        }
        Poll::Ready(row)
    }
}
