//! **Technique**: a bounded connection pool; requests lease connections that stay open.
//! **Cost**: none while a connection is idle; otherwise a request waits for one, with a timeout. Acquiring and returning
//! take no round trip.
//! **Fails when**: there are more concurrent requests than connections for longer than the timeout: they are answered 503
//! with `retry-after` (load shedding), and the database keeps its throughput.
//! **Source**: <https://www.postgresql.org/docs/current/runtime-config-connection.html>, `max_connections`.

use std::time::Duration;

use platform::postgres::bulkhead::{Bulkhead, ClassUse, ShareError};
use platform::postgres::{ConnectionPool, PoolUse};
use platform::settings::DatabaseSettings;
use sqlx::postgres::PgConnectOptions;

use super::InstrumentedConnection;
use super::class::{bulkhead, statement_limits};
use crate::settings::BulkheadSettings;
use crate::web::request_class::RequestClass;
use crate::web::timings::Timings;

/// The arm `connections=pooled`.
pub struct Pooled {
    pool: ConnectionPool,
    bulkhead: Bulkhead<4>,
    statement_limits: [Duration; 4],
}

impl Pooled {
    pub(super) fn new(
        options: PgConnectOptions,
        settings: &DatabaseSettings,
        shares: &BulkheadSettings,
    ) -> Result<Self, ShareError> {
        Ok(Self {
            pool: ConnectionPool::new(settings, options),
            bulkhead: bulkhead(settings, shares)?,
            statement_limits: statement_limits(settings, shares),
        })
    }

    pub(super) async fn acquire<'t>(
        &self,
        timings: &'t Timings,
    ) -> Result<InstrumentedConnection<'t>, sqlx::Error> {
        let class = timings.class() as usize;
        let admit = async || Some(self.bulkhead.admit(class).await);
        let lease = self.pool.acquire_after(admit).await?;
        Ok(InstrumentedConnection::new(
            lease,
            timings,
            self.statement_limits[class],
        ))
    }

    pub(super) fn pool_use(&self) -> Option<PoolUse> {
        Some(self.pool.usage())
    }

    pub(super) fn class_use(&self, class: RequestClass) -> Option<ClassUse> {
        Some(self.bulkhead.usage(class as usize))
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }
}
