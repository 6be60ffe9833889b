//! How a request gets its database connection: the lesson `connections`, the only access to Postgres for requests.
//!
//! A handler acquires an [`InstrumentedConnection`] when it needs the database, and drops it as early as possible. It is an
//! sqlx executor that counts statements and their time for the request's `server-timing`, so
//! that no statement of a request goes uncounted. Read next: `pooled.rs`, compared with `per_request.rs`.

mod class;
mod control_connection;

#[cfg(feature = "baselines")]
pub mod per_request;
pub mod pooled;

use std::time::{Duration, Instant};

pub use platform::postgres::PoolUse;
use platform::postgres::bulkhead::{ClassUse, ShareError};
use platform::postgres::{self, UrlError};
use platform::settings::DatabaseSettings;
use platform::telemetry::statements;
use sqlx::postgres::PgConnectOptions;
use techniques::Connections;

pub use self::class::stock_writers;
pub use self::control_connection::{CONTROL_TIMEOUT, ControlConnection, ControlLease};
use crate::metrics::class_refused;
use crate::settings::BulkheadSettings;
use crate::web::request_class::RequestClass;
use crate::web::timings::Timings;

/// A connection leased to a request, whose statements are counted for its `server-timing`.
pub type InstrumentedConnection<'t> = postgres::InstrumentedConnection<'t, &'t Timings>;

/// A connection inside a transaction.
pub type Transaction<'t> = postgres::Transaction<'t, &'t Timings>;

impl postgres::Counter for &Timings {
    fn count(&self, took: Duration) {
        self.add_statement(took);
    }
}

/// An unusable database setting.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    #[error(transparent)]
    Url(#[from] UrlError),
    #[error(
        "BACKSTOCK_DATABASE_CONNECTIONS and the BACKSTOCK_DATABASE_…_CONNECTIONS of classes don't fit together: {0}"
    )]
    Shares(#[from] ShareError),
}

techniques::component! {
    /// Where connections come from.
    pub ConnectionSource: Connections {
        baseline PerRequest = per_request::PerRequest,
        optimized Pooled = pooled::Pooled,
    }
    select(options: PgConnectOptions, settings: &DatabaseSettings, shares: &BulkheadSettings) -> Result<Self, ShareError>;

    async fn acquire['t](&self, timings: &'t Timings) -> Result<InstrumentedConnection<'t>, sqlx::Error>;

    fn class_use(&self, class: RequestClass) -> Option<ClassUse>;

    fn pool_use(&self) -> Option<PoolUse>;

    async fn close(&self);
}

/// Leases connections to requests.
pub struct Database {
    source: ConnectionSource,
}

impl Database {
    /// Builds the arm, which connects lazily.
    ///
    /// # Errors
    /// When the URL is invalid, or there are too few connections for their classes.
    pub fn new(
        arm: Connections,
        settings: &DatabaseSettings,
        shares: &BulkheadSettings,
    ) -> Result<Self, DatabaseError> {
        let options = postgres::request_options(settings, "backstock-api")?;
        Ok(Self {
            source: ConnectionSource::select(arm, options, settings, shares)?,
        })
    }

    /// Acquires a connection for a request.
    ///
    /// # Errors
    /// [`sqlx::Error::PoolTimedOut`] when none came free within the timeout; otherwise why connecting failed.
    pub async fn acquire<'t>(&self, timings: &'t Timings) -> Result<InstrumentedConnection<'t>, sqlx::Error> {
        let asked = Instant::now();
        let connection = self.source.acquire(timings).await;
        let waited = asked.elapsed();
        timings.add_connection_wait(waited);
        let timed_out = matches!(connection, Err(sqlx::Error::PoolTimedOut));
        statements::record_connection_wait(waited, timed_out);
        if timed_out {
            class_refused(timings.class());
        }
        connection
    }

    /// A class's use of the connections. `None` without a pool.
    pub fn class_use(&self, class: RequestClass) -> Option<ClassUse> {
        self.source.class_use(class)
    }

    /// The pool's use. `None` without a pool.
    pub fn pool_use(&self) -> Option<PoolUse> {
        self.source.pool_use()
    }

    /// Closes idle connections, after the last request.
    pub async fn close(&self) {
        self.source.close().await;
    }
}
