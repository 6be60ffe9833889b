//! The cache of the catalogue's serialized answers: the lesson `catalog_cache`.
//!
//! An arm gets a key, and the work that produces the answer on a miss.

#[cfg(feature = "baselines")]
pub mod none;

pub mod redis;

mod admission;
mod change_set;
mod entry;
mod fill_lock;
mod freshness;
mod single_flight;

use platform::redis::Redis;

use super::changes::Changes;
use crate::settings::CacheSettings;
use crate::web::answer::Answer;
use crate::web::cursor::CursorKeys;
use crate::web::error::ApiError;
use crate::web::timings::Timings;

/// The class of a cached answer. It decides the time to live, and which changes make the answer stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Lists of products.
    Listings,
    /// Lists that are filtered by stock or sorted by rating.
    ShiftingListings,
    /// Counts, including counts of products in stock.
    Facets,
    /// Completions of a search text.
    Suggestions,
    /// The reviews of one product.
    Reviews,
    /// One product.
    Products,
    /// The category tree.
    Categories,
}

impl Class {
    /// Whether the answer depends on stock and ratings of products that it doesn't contain. Their changes don't
    /// invalidate it, so it becomes stale at a bounded age.
    fn shifts(self) -> bool {
        matches!(self, Self::ShiftingListings | Self::Facets)
    }

    /// Whether stock and ratings in the answer may be stale for a while. Otherwise clients could invalidate it
    /// constantly.
    fn may_lag(self) -> bool {
        !matches!(self, Self::Products | Self::Reviews)
    }
}

/// How concurrent misses of one key are handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fill {
    /// Each request does the work: a cache stampede.
    EachRequest,
    /// Single flight: one request of a process does the work, and the others share its result.
    OncePerProcess,
    /// Single flight, and a lock in Redis: one process does the work, and the others wait a moment for its result.
    OnceOverall,
}

techniques::component! {
    /// Caches the catalogue's answers.
    pub CatalogCache: techniques::CatalogCache {
        baseline None = none::NoCache,
        optimized Redis = redis::RedisCache,
    }
    pub select(redis: Redis, settings: CacheSettings, cursors: &CursorKeys);

    /// The cached answer, or the result of `work`. `key` is the request in canonical form. `work` is a closure, so that a
    /// hit doesn't allocate the state of its future.
    ///
    /// # Errors
    /// Those of `work`. A slow or unavailable cache is no error.
    pub async fn answer[W: Future<Output = Result<Answer, ApiError>>](
        &self,
        class: Class,
        key: &str,
        timings: &Timings,
        work: impl FnOnce() -> W,
    ) -> Result<Answer, ApiError>;

    /// Invalidates the answers that depend on these changes.
    pub fn apply(&self, changes: &Changes);

    /// Records that an attempt to reach Postgres failed.
    pub fn note_unreachable(&self);

    /// Whether the change feed was read recently enough. Otherwise the cache is neither read nor written.
    pub fn knows_changes(&self) -> bool;

    /// The state of Redis, for the readiness response. Without its cache the shop is slower, but still ready.
    pub fn health(&self) -> &'static str;
}
