//! The loop that applies the feed to this process's cache and replicas, until the process ends.

use std::time::Duration;

use sqlx::postgres::PgConnection;

use super::{Changes, Feed};
use crate::catalog::Catalog;

/// How often the feed is read. A change must be visible within a second; this leaves room for a slow database.
const INTERVAL: Duration = Duration::from_millis(250);

/// The limit on applying one read.
const APPLY_TIMEOUT: Duration = Duration::from_secs(2);

/// The limit on reloading everything, at start-up or after a restore.
const APPLY_ALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Follows the feed over the control connection.
pub async fn follow(catalog: &Catalog) {
    let mut feed = Feed::default();
    let mut interval = tokio::time::interval(INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        if let Err(error) = step(catalog, &mut feed).await {
            tracing::warn!(%error, "could not read the catalogue's changes");
            if is_unreachable(&error) {
                catalog.cache.note_unreachable();
            }
        }
    }
}

/// Whether Postgres is unreachable for all processes. A statement's timeout doesn't prove that, because other processes
/// may still be served.
fn is_unreachable(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => error.kind() != std::io::ErrorKind::TimedOut,
        // Postgres is shutting down, crashed, or is starting.
        sqlx::Error::Database(error) => {
            matches!(error.code().as_deref(), Some("57P01" | "57P02" | "57P03"))
        }
        _ => false,
    }
}

/// Reads once, and advances only after all changes were applied, so that partly applied changes are applied again.
async fn step(catalog: &Catalog, feed: &mut Feed) -> Result<(), sqlx::Error> {
    let mut connection = catalog.control.lease().await?;
    let (changes, position) = connection
        .within(crate::database::CONTROL_TIMEOUT, async |connection| {
            feed.read(connection).await
        })
        .await?;
    let timeout = if changes.everything {
        APPLY_ALL_TIMEOUT
    } else {
        APPLY_TIMEOUT
    };
    connection
        .within(timeout, async |connection| {
            apply(catalog, connection, &changes).await
        })
        .await?;
    feed.advance(position);
    Ok(())
}

/// The cache is last, because answers that it considers fresh are made from the reference data and the replicas.
async fn apply(
    catalog: &Catalog,
    connection: &mut PgConnection,
    changes: &Changes,
) -> Result<(), sqlx::Error> {
    catalog.reference.apply(connection, changes).await?;
    catalog
        .replicas
        .apply(connection, changes, &catalog.facets)
        .await?;
    catalog.cache.apply(changes);
    Ok(())
}
