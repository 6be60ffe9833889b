//! **Technique**: a bounded pool of connections, opened once and lent to requests.
//! **Cost**: a request waits for nothing while a connection is idle, else for one, bounded by a setting. When a
//! connection is given back, sqlx makes a round trip on it before it lends it again.
//! **Fails when**: more requests need the database at once than there are connections for longer than the bound:
//! they are answered 503 with `retry-after`, and the database keeps its pace.
//! **Source**: <https://www.postgresql.org/docs/current/runtime-config-connection.html>, `max_connections`.

use sqlx::postgres::{PgConnectOptions, PgPool};
use storefront::postgres::Connection;
use storefront::settings::DatabaseSettings;

use super::{PoolUse, Session};
use crate::http::timings::Timings;

/// The arm `connections=pooled`.
pub struct Pooled(PgPool);

impl Pooled {
    pub(super) fn new(options: PgConnectOptions, settings: &DatabaseSettings) -> Self {
        Self(storefront::postgres::pool(settings, options))
    }

    pub(super) async fn session<'t>(&self, timings: &'t Timings) -> Result<Session<'t>, sqlx::Error> {
        Ok(Session::new(Connection::Pooled(self.0.acquire().await?), timings))
    }

    pub(super) fn usage(&self) -> PoolUse {
        PoolUse {
            open: self.0.size(),
            idle: self.0.num_idle(),
            limit: self.0.options().get_max_connections(),
        }
    }

    pub(super) async fn close(&self) {
        self.0.close().await;
    }
}
