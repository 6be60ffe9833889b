//! Hears from Postgres that something was committed. Only a hint: the relay polls as well, so nothing is lost with one.

use sqlx::PgPool;
use sqlx::postgres::PgListener;
use storefront::messages::WAKE_CHANNEL;
use tokio::sync::Notify;

use crate::parts::{Parts, Stop, keep_alive};

/// The name under which health speaks of it.
const PART: &str = "wake-up";

/// Rings until the signal comes. The pool is of one connection, which the listener keeps.
pub async fn listen(pool: &PgPool, wake: &Notify, parts: &Parts, stop: &Stop) {
    tokio::select! {
        () = keep_alive(PART, parts, stop, || session(pool, wake, parts)) => {}
        () = stop.given() => {}
    }
}

async fn session(pool: &PgPool, wake: &Notify, parts: &Parts) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(WAKE_CHANNEL).await?;
    parts.works(PART);
    loop {
        // None: the connection was lost and made again. Something may have been said meanwhile.
        listener.try_recv().await?;
        wake.notify_one();
    }
}
