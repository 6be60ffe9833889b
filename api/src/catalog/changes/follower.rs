//! The loop that applies the feed to what this process keeps, until the process ends.

use std::time::Duration;

use sqlx::postgres::PgConnection;

use super::{Changes, Feed};
use crate::state::App;

/// How often the feed is read. A change must be seen within a second; this leaves room for a slow database.
const INTERVAL: Duration = Duration::from_millis(250);

/// How long applying one read may take.
const APPLY_TIMEOUT: Duration = Duration::from_secs(2);

/// How long it may take when all is loaded again, at the start or after a restore.
const APPLY_ALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Follows the feed over the connection beside the requests.
pub async fn follow(app: &App) {
    let mut feed = Feed::default();
    let mut interval = tokio::time::interval(INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        if let Err(error) = step(app, &mut feed).await {
            tracing::warn!(%error, "the catalogue's changes can't be read");
            if is_unreachable(&error) {
                app.catalog.cache.note_unreachable();
            }
        }
    }
}

/// Whether Postgres is away, for all. A statement that times out says no such thing: others may be served meanwhile.
fn is_unreachable(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => error.kind() != std::io::ErrorKind::TimedOut,
        // It shuts down, has crashed, or starts.
        sqlx::Error::Database(error) => {
            matches!(error.code().as_deref(), Some("57P01" | "57P02" | "57P03"))
        }
        _ => false,
    }
}

/// Reads once, and moves on only when all is applied: what failed half-way is applied again.
async fn step(app: &App, feed: &mut Feed) -> Result<(), sqlx::Error> {
    let mut connection = app.control.lease().await?;
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
        .within(timeout, async |connection| apply(app, connection, &changes).await)
        .await?;
    feed.advance(position);
    Ok(())
}

/// In this order: an answer that the cache takes for new is made from what stands before it here.
async fn apply(app: &App, connection: &mut PgConnection, changes: &Changes) -> Result<(), sqlx::Error> {
    app.catalog.reference.apply(connection, changes).await?;
    app.catalog.replicas.apply(connection, changes).await?;
    app.catalog.cache.apply(changes);
    Ok(())
}
