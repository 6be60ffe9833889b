//! An in-process replica of a part of the catalogue: loaded once in the background, kept up to date by the change feed,
//! and shared by all requests. What it holds is a [`Content`]: the columns that facets count (`columns/`), the titles
//! that suggestions search (`suggest/titles.rs`).
//!
//! A process serves while it loads: a request that needs the content waits a bounded time for it and is rejected after
//! that. Afterwards only products that changed are re-read. A process that fell behind the feed loads again beside the
//! old content, and swaps when the new one has caught up.

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};
use tokio::sync::watch;
use uuid::Uuid;

use crate::http::error::ApiError;

/// Changed products that are re-read by one statement: so few that it is far from its timeout.
const REFRESH_AT_ONCE: usize = 1_000;

/// The most changed products that are remembered until they are re-read, 1.6 MB of ids. Beyond that the whole content is
/// loaded again, which costs less.
const MAX_UNREAD: usize = 100_000;

/// How long one load may take. A Postgres that is gone without a word would be waited for without end.
const LOAD_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// Between two attempts to load: the first pause, which doubles, and the longest.
const RETRY_PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// What a replica holds.
pub trait Content: Sized + Send + Sync + 'static {
    /// Its bounds, from the settings.
    type Limits: Copy + Send + Sync + 'static;

    /// For logs.
    const NAME: &'static str;

    /// The gauge that shows how much memory it takes.
    const BYTES_GAUGE: &'static str;

    /// Reads all of it, in statements that each take a bounded time. What the feed says of is the same in `known`, the
    /// content so far, and needn't be read again.
    fn load(
        connection: &mut PgConnection,
        limits: Self::Limits,
        known: Option<&Self>,
    ) -> impl Future<Output = Result<Self, sqlx::Error>> + Send;

    /// Re-reads these products, at most a thousand: some have changed, some are gone.
    fn refresh(
        &self,
        connection: &mut PgConnection,
        products: &[Uuid],
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// How much memory it takes.
    fn bytes(&self) -> usize;
}

/// How a replica is loaded, and how long a request waits for that.
#[derive(Debug, Clone)]
pub struct ReplicaOptions<L> {
    /// It loads over a connection of its own, so that it takes none from requests.
    pub connect: PgConnectOptions,
    /// How long a request waits for a content that is being loaded.
    pub wait: Duration,
    /// After this time it is loaded again in the background. `None` where the feed says all that changes.
    pub max_age: Option<Duration>,
    /// The content's own bounds.
    pub limits: L,
}

/// A content that is loaded when it is first needed, and shared from then on.
pub struct Replica<C: Content>(Arc<Shared<C>>);

struct Shared<C: Content> {
    options: ReplicaOptions<C::Limits>,
    current: RwLock<Option<Loaded<C>>>,
    progress: Mutex<Progress>,
    /// Counts the loads that have ended, for those who wait.
    loads: watch::Sender<u64>,
}

struct Loaded<C> {
    content: Arc<C>,
    at: Instant,
}

#[derive(Default)]
struct Progress {
    is_loading: bool,
    /// The load that is under way read before changes that were lost: another one has to follow it.
    is_outdated: bool,
    /// Nothing was lost since the current content was loaded: the next one may take over what it knows.
    is_known: bool,
    /// The current content is from before changes that were lost.
    is_old: bool,
    /// Changed while a load is under way, which may have read them before.
    changed_meanwhile: Vec<Uuid>,
    /// Changed, and not re-read into the current content yet. Kept here, so that a refresh that fails or is cancelled
    /// loses nothing.
    unread: Vec<Uuid>,
}

impl<C: Content> Replica<C> {
    /// Loads nothing yet.
    pub fn new(options: ReplicaOptions<C::Limits>) -> Self {
        Self(Arc::new(Shared {
            options,
            current: RwLock::new(None),
            progress: Mutex::default(),
            loads: watch::Sender::new(0),
        }))
    }

    /// Begins to load in the background, unless that is done or under way.
    pub fn start_loading(&self) {
        if self.0.current().is_none() {
            self.0.start_loading(false);
        }
    }

    /// The content. Waits for it while it is being loaded.
    ///
    /// # Errors
    /// A 503 when that takes too long.
    pub async fn get(&self) -> Result<Arc<C>, ApiError> {
        // Subscribed before looking, so that a load that ends in between is noticed.
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

    /// Whether what is held may be old: it is being loaded again, because changes were lost. What is made from it is not
    /// to be kept.
    pub fn is_old(&self) -> bool {
        self.0.progress().is_old
    }

    /// All of it may have changed, unseen: what is held is loaded again.
    pub fn outdate(&self) {
        let mut progress = self.0.progress();
        let is_loaded = self.0.current().is_some();
        progress.is_outdated = progress.is_loading;
        progress.is_old = is_loaded;
        drop(progress);
        if is_loaded {
            self.0.start_loading(false);
        }
    }

    /// Re-reads products that have changed.
    ///
    /// # Errors
    /// When a statement fails. What was not re-read is remembered until the next call.
    pub async fn refresh(&self, connection: &mut PgConnection, changed: &[Uuid]) -> Result<(), sqlx::Error> {
        if !self.remember(changed) {
            self.outdate();
            return Ok(());
        }
        // After remembering: a load that swaps now has caught up with the changes.
        let Some((content, _)) = self.0.current() else {
            self.0.progress().unread.clear();
            return Ok(());
        };
        loop {
            let next: Vec<Uuid> = {
                let progress = self.0.progress();
                progress.unread.iter().copied().take(REFRESH_AT_ONCE).collect()
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

    /// Whether there was room to remember them.
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
                // Changes were lost meanwhile: from the beginning.
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(%error, "{} can't be loaded; another attempt follows", C::NAME);
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

    /// Whether the new content is in place.
    async fn load_once(&self) -> Result<bool, sqlx::Error> {
        let known = {
            // What changes from here on is seen by this load, or remembered for it.
            let mut progress = self.progress();
            progress.is_known &= !std::mem::take(&mut progress.is_outdated);
            progress.changed_meanwhile = match progress.is_known {
                // What is taken over may lack these.
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
                    progress.is_old = false;
                    break;
                }
                std::mem::take(&mut progress.changed_meanwhile)
            };
            for products in changed.chunks(REFRESH_AT_ONCE) {
                content.refresh(&mut connection, products).await?;
            }
        }
        let _ = connection.close().await;
        Ok(true)
    }
}
