//! **Technique**: a transactional outbox: the event is a row written in the transaction that makes it true. The
//! worker's relay publishes rows and deletes those that the broker confirmed.
//! **Cost**: one small row in a transaction that writes anyway; the event leaves shortly afterwards.
//! **Fails when**: no relay runs: the table grows, and nothing is lost. A relay that dies between the confirm and the
//! deletion publishes an event twice (at-least-once delivery), so consumers must be idempotent.
//! **Source**: <https://microservices.io/patterns/data/transactional-outbox.html>

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use platform::postgres::UrlError;
use platform::settings::DatabaseSettings;
use shop::messages::WAKE_CHANNEL;
use shop::orders::{OutboxRow, PendingEvent};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions};
use tokio::sync::Mutex;

use crate::settings::OrderSettings;

/// A process notifies the relay at most once in this interval. Each `notify` is a transaction of its own, and a busy
/// relay needs none.
const NOTIFY_INTERVAL: Duration = Duration::from_millis(10);

/// After this, the event is left to the relay's polling.
const TIMEOUT: Duration = Duration::from_secs(1);

/// The arm `events=outbox`.
pub struct Outbox {
    notifier: Arc<RelayNotifier>,
}

/// Notifies the relay, over its own connection.
struct RelayNotifier {
    options: PgConnectOptions,
    is_pending: AtomicBool,
    held: Mutex<Option<PgConnection>>,
}

impl Outbox {
    /// Connects lazily.
    ///
    /// # Errors
    /// When the database's URL is invalid.
    pub fn new(settings: &DatabaseSettings, _orders: &OrderSettings) -> Result<Self, UrlError> {
        // A lost notification costs 100 ms at most, so its commit needn't wait for the disk.
        let options = platform::postgres::connect_options(settings, "backstock-api wake")?
            .options([("synchronous_commit", "off")]);
        Ok(Self {
            notifier: Arc::new(RelayNotifier {
                options,
                is_pending: AtomicBool::new(false),
                held: Mutex::new(None),
            }),
        })
    }

    /// The row of the event.
    pub fn row<'a>(&self, event: &'a PendingEvent) -> OutboxRow<'a> {
        event.outbox_row()
    }

    /// The relay reads the event's row.
    pub async fn after_commit(&self, _event: &PendingEvent) {
        self.notify_relay();
    }

    /// Wakes the relay, after the commit and outside the request: inside the transaction, a `notify` would serialize
    /// commits. Best effort, because the relay polls too. At most one is pending, and it covers all commits before it
    /// (coalescing).
    fn notify_relay(&self) {
        if self.notifier.is_pending.swap(true, Ordering::AcqRel) {
            return;
        }
        let notifier = self.notifier.clone();
        tokio::spawn(async move {
            // The interval comes first, so that the notification covers commits during it.
            tokio::time::sleep(NOTIFY_INTERVAL).await;
            notifier.is_pending.store(false, Ordering::Release);
            match tokio::time::timeout(TIMEOUT, notifier.notify()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "the relay could not be woken"),
                Err(_) => tracing::debug!("the relay could not be woken in time"),
            }
        });
    }
}

impl RelayNotifier {
    /// The connection is returned only after a complete response.
    async fn notify(&self) -> Result<(), sqlx::Error> {
        let mut held = self.held.lock().await;
        let mut connection = match held.take() {
            Some(connection) => connection,
            None => self.options.connect().await?,
        };
        // The channel is a constant.
        let notify = AssertSqlSafe(format!("notify {WAKE_CHANNEL}"));
        sqlx::raw_sql(notify).execute(&mut connection).await?;
        *held = Some(connection);
        Ok(())
    }
}
