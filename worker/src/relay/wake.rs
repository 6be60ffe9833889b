//! Wakes the relay when Postgres notifies of a commit (`LISTEN`). Only a hint: the relay also polls, so a
//! lost notification just delays an event.

use shop::messages::WAKE_CHANNEL;
use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::Notify;

use crate::components::{HealthRegistry, ShutdownToken, supervise};

/// The component's name in the readiness response.
const COMPONENT: &str = "wake-up";

/// Wakes the relay until shutdown. The pool has a single connection, which the listener keeps.
pub async fn listen(pool: &PgPool, wake: &Notify, health: &HealthRegistry, shutdown: &ShutdownToken) {
    tokio::select! {
        () = supervise(COMPONENT, health, shutdown, || listen_until_failure(pool, wake, health)) => {}
        () = shutdown.cancelled() => {}
    }
}

async fn listen_until_failure(
    pool: &PgPool,
    wake: &Notify,
    health: &HealthRegistry,
) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(WAKE_CHANNEL).await?;
    health.mark_healthy(COMPONENT);
    loop {
        // `None` means that the connection was reopened. A notification may have been lost meanwhile, so wake
        // in any case.
        listener.try_recv().await?;
        wake.notify_one();
    }
}
