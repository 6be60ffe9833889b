//! **Technique**: connect when a request needs the database, disconnect when it is answered.
//! **Cost**: a request pays for a TCP connection, authentication, the start of a Postgres process, and the first
//! planning of each statement, since nothing that is prepared outlives the request.
//! **Fails when**: more requests come at once than `max_connections`: Postgres refuses them, also those of others.
//! **Source**: <https://www.postgresql.org/docs/current/connect-estab.html>, one process a connection.

use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;
use storefront::postgres::Connection;
use storefront::settings::DatabaseSettings;

use super::Session;
use crate::http::timings::Timings;

/// The arm `connections=per_request`.
pub struct PerRequest {
    options: PgConnectOptions,
    timeout: Duration,
}

impl PerRequest {
    pub(super) fn new(options: PgConnectOptions, settings: &DatabaseSettings) -> Self {
        Self {
            options,
            timeout: settings.database_acquire_timeout,
        }
    }

    pub(super) async fn session<'t>(&self, timings: &'t Timings) -> Result<Session<'t>, sqlx::Error> {
        match tokio::time::timeout(self.timeout, self.options.connect()).await {
            Ok(connection) => Ok(Session::new(Connection::Own(Some(connection?)), timings)),
            Err(_) => Err(sqlx::Error::PoolTimedOut),
        }
    }
}
