//! **Technique**: a new connection each time a request needs the database (mostly once), closed when the request
//! releases it.
//! **Cost**: a request pays for a TCP connection, authentication, the start of a Postgres process, and the first
//! planning of each statement, since prepared statements don't outlive the request.
//! **Fails when**: there are more concurrent requests than `max_connections`, because Postgres then rejects
//! connections, also those of its other clients.
//! **Source**: <https://www.postgresql.org/docs/current/connect-estab.html>, one process per connection.

use std::time::Duration;

use platform::postgres::bulkhead::{ClassUse, ShareError};
use platform::postgres::{KeptConnection, Lease, PoolUse};
use platform::settings::DatabaseSettings;
use sqlx::postgres::PgConnectOptions;

use super::InstrumentedConnection;
use super::class::statement_limits;
use crate::settings::BulkheadSettings;
use crate::web::request_class::RequestClass;
use crate::web::timings::Timings;

/// The arm `connections=per_request`.
pub struct PerRequest {
    options: PgConnectOptions,
    timeout: Duration,
    statement_limits: [Duration; 4],
}

impl PerRequest {
    pub(super) fn new(
        options: PgConnectOptions,
        settings: &DatabaseSettings,
        shares: &BulkheadSettings,
    ) -> Result<Self, ShareError> {
        Ok(Self {
            options,
            timeout: settings.database_acquire_timeout,
            statement_limits: statement_limits(settings, shares),
        })
    }

    pub(super) async fn acquire<'t>(
        &self,
        timings: &'t Timings,
    ) -> Result<InstrumentedConnection<'t>, sqlx::Error> {
        let limit = self.statement_limits[timings.class() as usize];
        match tokio::time::timeout(self.timeout, KeptConnection::open(&self.options)).await {
            Ok(connection) => Ok(InstrumentedConnection::new(
                Lease::own(connection?),
                timings,
                limit,
            )),
            Err(_) => Err(sqlx::Error::PoolTimedOut),
        }
    }

    pub(super) fn class_use(&self, _class: RequestClass) -> Option<ClassUse> {
        None
    }

    pub(super) fn pool_use(&self) -> Option<PoolUse> {
        None
    }

    pub(super) async fn close(&self) {}
}
