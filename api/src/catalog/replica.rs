//! An in-process replica of a part of the catalogue: loaded once in the background, kept up to date by the change feed,
//! and shared by all requests. Its [`Content`] is the columns that facets count (`columns/`) or the titles that
//! suggestions search (`suggest/titles.rs`).
//!
//! A process serves while it loads: a request that needs the content waits for it for a bounded time and is then
//! rejected. After the load, only changed products are re-read. If a process fell behind the feed, it keeps serving the
//! stale content while it reloads, and swaps when the new content has caught up.

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};
use tokio::sync::watch;
use uuid::Uuid;

use crate::web::error::ApiError;

/// Changed products re-read by one statement: few enough to stay far below its timeout.
const REFRESH_BATCH: usize = 1_000;

/// The most changed products remembered until they are re-read, 1.6 MB of ids. Beyond that, reloading everything is
/// cheaper.
const MAX_UNREAD: usize = 100_000;

/// The limit on one load. Without it, a load would hang forever if Postgres disappears without closing the connection.
const LOAD_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// Exponential backoff between attempts to load: the first pause and the longest.
const RETRY_PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// The data of a replica.
pub trait Content: Sized + Send + Sync + 'static {
    /// Bounds from the settings.
    type Limits: Copy + Send + Sync + 'static;

    /// For logs and error messages.
    const NAME: &'static str;

    /// The gauge of its memory.
    const BYTES_GAUGE: &'static str;

    /// Reads everything, in statements that each take a bounded time. Data that the feed covers is up to date in
    /// `known`, the current content, and can be copied from it.
    fn load(
        connection: &mut PgConnection,
        limits: Self::Limits,
        known: Option<&Self>,
    ) -> impl Future<Output = Result<Self, sqlx::Error>> + Send;

    /// Re-reads these products, at most a thousand. Some have changed, some were deleted.
    fn refresh(
        &self,
        connection: &mut PgConnection,
        products: &[Uuid],
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// An estimate of its memory.
    fn bytes(&self) -> usize;
}

/// How a replica is loaded and kept up to date. `L` holds the content's own bounds.
#[derive(Debug, Clone)]
pub struct ReplicaOptions<L> {
    /// Each load opens its own connection, so that requests keep theirs.
    pub connect: PgConnectOptions,
    /// How long a request waits for a load.
    pub wait: Duration,
    /// After this time the content is refreshed in the background (stale-while-revalidate). `None` if the feed covers
    /// all of its data.
    pub max_age: Option<Duration>,
    pub limits: L,
}

/// A content that is loaded lazily, and shared.
pub struct Replica<C: Content>(Arc<Shared<C>>);

struct Shared<C: Content> {
    options: ReplicaOptions<C::Limits>,
    current: RwLock<Option<Loaded<C>>>,
    progress: Mutex<Progress>,
    /// The number of completed loads, which wakes waiting requests.
    loads: watch::Sender<u64>,
}

struct Loaded<C> {
    content: Arc<C>,
    at: Instant,
}

#[derive(Default)]
struct Progress {
    is_loading: bool,
    /// Changes were missed after the load in progress began, so it must be repeated.
    is_outdated: bool,
    /// No change was missed since the current content was loaded, so the next load may copy from it.
    is_known: bool,
    /// Changes were missed since the current content was loaded.
    is_stale: bool,
    /// Changed during the load in progress, which may have read them before the change.
    changed_meanwhile: Vec<Uuid>,
    /// Changed, but not re-read into the current content yet. Stored here, so that a failed or cancelled refresh loses
    /// none.
    unread: Vec<Uuid>,
}

impl<C: Content> Replica<C> {
    /// Doesn't load yet.
    pub fn new(options: ReplicaOptions<C::Limits>) -> Self {
        Self(Arc::new(Shared {
            options,
            current: RwLock::new(None),
            progress: Mutex::default(),
            loads: watch::Sender::new(0),
        }))
    }

    /// Starts to load in the background, unless the content is loaded or loading.
    pub fn start_loading(&self) {
        if self.0.current().is_none() {
            self.0.start_loading(false);
        }
    }

    /// The content. Waits for the first load.
    ///
    /// # Errors
    /// A 503 when the wait times out.
    pub async fn get(&self) -> Result<Arc<C>, ApiError> {
        // Subscribe before checking, so that a load that ends in between isn't missed.
        let mut loads = self.0.loads.subscribe();
        if let Some((content, age)) = self.0.current() {
            if self.0.options.max_age.is_some_and(|max_age| age > max_age) {
                self.0.start_loading(true);
            }
            return Ok(content);
        }
        self.0.start_loading(false);
        let _ = tokio::time::timeout(self.0.options.wait, loads.changed()).await;
        match self.0.current() {
            Some((content, _)) => Ok(content),
            None => Err(ApiError::PartUnavailable(C::NAME)),
        }
    }

    /// Changes were missed, so the content may be stale and is being reloaded. Responses made from it must not be cached.
    pub fn is_stale(&self) -> bool {
        self.0.progress().is_stale
    }

    /// Changes were missed, so anything may have changed. Reloads the content if it is loaded.
    pub fn invalidate(&self) {
        let mut progress = self.0.progress();
        let is_loaded = self.0.current().is_some();
        progress.is_outdated = progress.is_loading;
        progress.is_stale = is_loaded;
        drop(progress);
        if is_loaded {
            self.0.start_loading(false);
        }
    }

    /// Re-reads changed products.
    ///
    /// # Errors
    /// When a statement fails. The remaining products are remembered until the next call.
    pub async fn refresh(&self, connection: &mut PgConnection, changed: &[Uuid]) -> Result<(), sqlx::Error> {
        if !self.remember(changed) {
            self.invalidate();
            return Ok(());
        }
        // Checked after remembering, because a load that swaps from here on has caught up with these changes.
        let Some((content, _)) = self.0.current() else {
            self.0.progress().unread.clear();
            return Ok(());
        };
        loop {
            let next: Vec<Uuid> = {
                let progress = self.0.progress();
                progress.unread.iter().copied().take(REFRESH_BATCH).collect()
            };
            if next.is_empty() {
                return Ok(());
            }
            content.refresh(connection, &next).await?;
            let mut progress = self.0.progress();
            let read = next.len().min(progress.unread.len());
            progress.unread.drain(..read);
            drop(progress);
            metrics::gauge!(C::BYTES_GAUGE).set(content.bytes() as f64);
        }
    }

    /// `false` if there are too many to remember.
    fn remember(&self, changed: &[Uuid]) -> bool {
        let mut progress = self.0.progress();
        progress.unread.extend_from_slice(changed);
        if progress.is_loading {
            progress.changed_meanwhile.extend_from_slice(changed);
        }
        let fits = progress.unread.len().max(progress.changed_meanwhile.len()) <= MAX_UNREAD;
        if !fits {
            progress.unread = Vec::new();
            progress.changed_meanwhile = Vec::new();
        }
        fits
    }
}

impl<C: Content> Shared<C> {
    fn current(&self) -> Option<(Arc<C>, Duration)> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current
            .as_ref()
            .map(|loaded| (loaded.content.clone(), loaded.at.elapsed()))
    }

    fn progress(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Single flight: one load at a time, for all requests.
    fn start_loading(self: &Arc<Self>, is_known: bool) {
        let mut progress = self.progress();
        if progress.is_loading {
            return;
        }
        progress.is_loading = true;
        progress.is_known = is_known;
        progress.is_outdated = false;
        progress.changed_meanwhile.clear();
        drop(progress);
        tokio::spawn(self.clone().load());
    }

    async fn load(self: Arc<Self>) {
        let (mut pause, longest) = RETRY_PAUSES;
        let started = Instant::now();
        loop {
            let loading = tokio::time::timeout(LOAD_TIMEOUT, self.load_once()).await;
            match loading.unwrap_or(Err(sqlx::Error::PoolTimedOut)) {
                Ok(true) => break,
                // Changes were missed during the load, so it is repeated.
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(%error, "could not load {}; retrying", C::NAME);
                    tokio::time::sleep(pause).await;
                    pause = longest.min(pause * 2);
                }
            }
        }
        self.loads.send_modify(|loads| *loads += 1);
        let bytes = self.current().map_or(0, |(content, _)| content.bytes());
        metrics::gauge!(C::BYTES_GAUGE).set(bytes as f64);
        tracing::info!(
            bytes,
            took_ms = started.elapsed().as_millis() as u64,
            "{} loaded",
            C::NAME
        );
    }

    /// `true` once the new content is current, `false` if changes were missed during the load.
    async fn load_once(&self) -> Result<bool, sqlx::Error> {
        let known = {
            // Changes from here on are read by this load, or remembered for it.
            let mut progress = self.progress();
            progress.is_known &= !std::mem::take(&mut progress.is_outdated);
            progress.changed_meanwhile = match progress.is_known {
                // Copied data may lack these changes.
                true => [&progress.changed_meanwhile[..], &progress.unread].concat(),
                false => Vec::new(),
            };
            progress.is_known.then(|| self.current()).flatten()
        };
        let known = known.as_ref().map(|(content, _)| content.as_ref());
        let mut connection = self.options.connect.connect().await?;
        let content = C::load(&mut connection, self.options.limits, known).await?;
        loop {
            let changed = {
                let mut progress = self.progress();
                if progress.is_outdated {
                    return Ok(false);
                }
                if progress.changed_meanwhile.is_empty() {
                    let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
                    *current = Some(Loaded {
                        content: Arc::new(content),
                        at: Instant::now(),
                    });
                    progress.is_loading = false;
                    progress.is_stale = false;
                    break;
                }
                std::mem::take(&mut progress.changed_meanwhile)
            };
            for products in changed.chunks(REFRESH_BATCH) {
                content.refresh(&mut connection, products).await?;
            }
        }
        let _ = connection.close().await;
        Ok(true)
    }
}
