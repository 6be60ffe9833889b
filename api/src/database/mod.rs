//! How a request gets its database connection: the lesson `connections`, and the one door to Postgres.
//!
//! A handler asks for a [`Session`] when it needs the database, and holds it until it has what it needs. A session
//! is an sqlx executor that counts statements and their time for the request's `server-timing`, so that no
//! statement of a request goes uncounted. Read next: `pooled.rs`, and what it is compared with, `per_request.rs`.

mod class;
mod side;

pub mod deadlock;

#[cfg(feature = "baselines")]
pub mod per_request;
pub mod pooled;

use std::time::{Duration, Instant};

pub use storefront::postgres::PoolUse;
use storefront::postgres::bulkhead::{ClassUse, ShareError};
use storefront::postgres::{self, UrlError};
use storefront::settings::DatabaseSettings;
use storefront::telemetry::statements;
use storefront::variants::Connections;

pub use self::class::{Class, stock_writers};
pub use self::side::{SIDE_TIMEOUT, SideConnection, SideLease};
use crate::http::timings::Timings;
use crate::metrics::class_refused;
use crate::settings::BulkheadSettings;

/// One connection, lent to one request, whose statements are counted for its `server-timing`.
pub type Session<'t> = postgres::Session<'t, &'t Timings>;

/// A session inside a transaction.
pub type Transaction<'t> = postgres::Transaction<'t, &'t Timings>;

impl postgres::Counter for &Timings {
    fn count(&self, took: Duration) {
        self.add_statement(took);
    }
}

/// A setting of the database's that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// Its URL.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// The shares of its connections.
    #[error(
        "BACKSTOCK_DATABASE_CONNECTIONS and the BACKSTOCK_DATABASE_…_CONNECTIONS of classes don't fit together: {0}"
    )]
    Shares(#[from] ShareError),
}

/// The arm of `connections` that this process was built with.
pub enum Database {
    /// See [`per_request`].
    #[cfg(feature = "baselines")]
    PerRequest(Box<per_request::PerRequest>),
    /// See [`pooled`].
    Pooled(Box<pooled::Pooled>),
}

impl Database {
    /// Builds the arm. Connects to nothing yet.
    ///
    /// # Errors
    /// When the URL can't be parsed, or the connections don't suffice for their classes.
    pub fn new(
        arm: Connections,
        settings: &DatabaseSettings,
        shares: &BulkheadSettings,
    ) -> Result<Self, DatabaseError> {
        let options = postgres::request_options(settings, "backstock-api")?;
        Ok(match arm {
            #[cfg(feature = "baselines")]
            Connections::PerRequest => {
                Self::PerRequest(Box::new(per_request::PerRequest::new(options, settings, shares)))
            }
            Connections::Pooled => Self::Pooled(Box::new(pooled::Pooled::new(options, settings, shares)?)),
        })
    }

    /// A connection for one request.
    ///
    /// # Errors
    /// [`sqlx::Error::PoolTimedOut`] when none came free in time; otherwise why connecting failed.
    pub async fn session<'t>(&self, timings: &'t Timings) -> Result<Session<'t>, sqlx::Error> {
        let asked = Instant::now();
        let session = match self {
            #[cfg(feature = "baselines")]
            Self::PerRequest(per_request) => per_request.session(timings).await,
            Self::Pooled(pooled) => pooled.session(timings).await,
        };
        let waited = asked.elapsed();
        timings.add_connection_wait(waited);
        let timed_out = matches!(session, Err(sqlx::Error::PoolTimedOut));
        statements::waited_for_connection(waited, timed_out);
        if timed_out {
            class_refused(timings.class());
        }
        session
    }

    /// What a class of requests uses. `None` where there is nothing to share out.
    pub fn class_use(&self, class: Class) -> Option<ClassUse> {
        match self {
            #[cfg(feature = "baselines")]
            Self::PerRequest(_) => None,
            Self::Pooled(pooled) => Some(pooled.class_use(class)),
        }
    }

    /// How much of the pool is in use. `None` where there is none.
    pub fn pool_use(&self) -> Option<PoolUse> {
        match self {
            #[cfg(feature = "baselines")]
            Self::PerRequest(_) => None,
            Self::Pooled(pooled) => Some(pooled.usage()),
        }
    }

    /// Closes what is open, after the last request.
    pub async fn close(&self) {
        match self {
            #[cfg(feature = "baselines")]
            Self::PerRequest(_) => {}
            Self::Pooled(pooled) => pooled.close().await,
        }
    }
}
