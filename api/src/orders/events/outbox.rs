//! **Technique**: the event is a row that is written in the transaction which makes it true. The worker's relay publishes
//! rows and deletes those that the broker confirmed.
//! **Cost**: one small row in a transaction that is written anyway; the event leaves a moment later.
//! **Fails when**: nothing relays: the table grows, and nothing is lost. A relay that dies between the confirmation and
//! its deletion says the same event twice, so consumers must know messages again.
//! **Source**: <https://microservices.io/patterns/data/transactional-outbox.html>

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions};
use storefront::messages::WAKE_CHANNEL;
use storefront::postgres::UrlError;
use storefront::settings::DatabaseSettings;
use tokio::sync::Mutex;

/// The relay is woken no oftener than this by one process. A `notify` is a transaction of its own; a relay that works
/// needs no waking.
const BETWEEN_WAKES: Duration = Duration::from_millis(10);

/// How long waking may take before it is left to the relay's own polling.
const TIMEOUT: Duration = Duration::from_secs(1);

/// The arm `events=outbox`.
pub struct Outbox {
    bell: Arc<Bell>,
}

/// Wakes the relay, over a connection beside those of requests.
struct Bell {
    options: PgConnectOptions,
    is_ringing: AtomicBool,
    held: Mutex<Option<PgConnection>>,
}

impl Outbox {
    pub(super) fn new(settings: &DatabaseSettings) -> Result<Self, UrlError> {
        // A lost wake-up costs 100 ms, so it needn't wait for the disk.
        let options = storefront::postgres::connect_options(settings, "backstock-api wake")?
            .options([("synchronous_commit", "off")]);
        Ok(Self {
            bell: Arc::new(Bell {
                options,
                is_ringing: AtomicBool::new(false),
                held: Mutex::new(None),
            }),
        })
    }

    /// Tells the relay that there is something, after the commit and beside the request: inside the transaction, a
    /// `notify` would make commits take turns. Best effort: the relay polls as well. One is under way at a time, and
    /// speaks for all that were committed before it.
    pub(super) fn wake_relay(&self) {
        if self.bell.is_ringing.swap(true, Ordering::AcqRel) {
            return;
        }
        let bell = self.bell.clone();
        tokio::spawn(async move {
            // First the pause, then the wake-up: what is committed during the pause is spoken for.
            tokio::time::sleep(BETWEEN_WAKES).await;
            bell.is_ringing.store(false, Ordering::Release);
            match tokio::time::timeout(TIMEOUT, bell.ring()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "the relay could not be woken"),
                Err(_) => tracing::debug!("the relay could not be woken in time"),
            }
        });
    }
}

impl Bell {
    /// The connection is put back only after a whole answer.
    async fn ring(&self) -> Result<(), sqlx::Error> {
        let mut held = self.held.lock().await;
        let mut connection = match held.take() {
            Some(connection) => connection,
            None => self.options.connect().await?,
        };
        // The channel is a constant of ours.
        let notify = AssertSqlSafe(format!("notify {WAKE_CHANNEL}"));
        sqlx::raw_sql(notify).execute(&mut connection).await?;
        *held = Some(connection);
        Ok(())
    }
}
