//! Where finished answers of the catalogue are kept: the lesson `catalog_cache`.
//!
//! An arm is asked for an answer under a key, and given the work that makes the answer when it has none.

#[cfg(feature = "baselines")]
pub mod none;

pub mod redis;

mod admission;
mod changed;
mod entry;
mod fill_lock;
mod freshness;
mod single_flight;

use storefront::redis::Redis;
use storefront::variants;

use super::changes::Changes;
use crate::http::answer::Answer;
use crate::http::cursor::CursorKeys;
use crate::http::error::ApiError;
use crate::http::timings::Timings;
use crate::settings::CacheSettings;

/// The arm of `catalog_cache` that this process was built with.
pub enum CatalogCache {
    /// See [`none`].
    #[cfg(feature = "baselines")]
    None(none::NoCache),
    /// See [`redis`].
    Redis(Box<redis::RedisCache>),
}

/// What kind of answer is kept. It decides for how long, and which changes concern the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Lists of products.
    Listings,
    /// Lists that stock or ratings select or order.
    ShiftingListings,
    /// Counts, also of what is in stock.
    Facets,
    /// Texts that a search text may go on to.
    Suggestions,
    /// The reviews of one product.
    Reviews,
    /// One product.
    Products,
    /// The category tree.
    Categories,
}

impl Class {
    /// Stock and ratings decide what is in it, of products that it doesn't show as well: it is made again before it is
    /// too old, whatever changes.
    fn shifts(self) -> bool {
        matches!(self, Self::ShiftingListings | Self::Facets)
    }

    /// What it says of a product's stock and rating may lag behind, so that no client can have it made again and again.
    fn may_lag(self) -> bool {
        !matches!(self, Self::Products | Self::Reviews)
    }
}

/// How an answer that is missing is made when several want it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fill {
    /// Each request does the work: a cache stampede.
    EachRequest,
    /// One request of a process does it, and the others share what it made.
    OncePerProcess,
    /// One process does it, and the others wait a moment for what it stores.
    OnceOverall,
}

impl CatalogCache {
    /// Builds the arm. It connects when it is first used.
    pub fn new(
        arm: variants::CatalogCache,
        redis: Redis,
        settings: CacheSettings,
        cursors: &CursorKeys,
    ) -> Self {
        match arm {
            #[cfg(feature = "baselines")]
            variants::CatalogCache::None => Self::None(none::NoCache),
            variants::CatalogCache::Redis => {
                // Answers hold `next` links: those of another signing key are not served, because they may be refused.
                let cursor_key = cursors.signing_key_name();
                let cache = redis::RedisCache::new(redis, settings, Fill::OnceOverall, &cursor_key);
                Self::Redis(Box::new(cache))
            }
        }
    }

    /// The answer under a key, or what `work` makes. `key` names the request in canonical form. The work is a closure,
    /// so that a hit doesn't even lay out its state.
    ///
    /// # Errors
    /// Those of `work`. A cache that is slow or gone is none.
    pub async fn answer<W>(
        &self,
        class: Class,
        key: &str,
        timings: &Timings,
        work: impl FnOnce() -> W,
    ) -> Result<Answer, ApiError>
    where
        W: Future<Output = Result<Answer, ApiError>>,
    {
        match self {
            #[cfg(feature = "baselines")]
            Self::None(none) => none.answer(work()).await,
            Self::Redis(redis) => redis.answer(class, key, timings, work).await,
        }
    }

    /// Lets go of what changed.
    pub fn apply(&self, changes: &Changes) {
        match self {
            #[cfg(feature = "baselines")]
            Self::None(_) => {}
            Self::Redis(redis) => redis.apply(changes),
        }
    }

    /// Postgres could not be reached just now.
    pub fn note_unreachable(&self) {
        match self {
            #[cfg(feature = "baselines")]
            Self::None(_) => {}
            Self::Redis(redis) => redis.note_unreachable(),
        }
    }

    /// Whether the feed was read, and a moment ago: otherwise, nothing is read from the cache or put into it.
    pub fn knows_changes(&self) -> bool {
        match self {
            #[cfg(feature = "baselines")]
            Self::None(_) => true,
            Self::Redis(redis) => redis.knows_changes(),
        }
    }

    /// For the readiness probe: a cache that is away makes the shop slower, not unready.
    pub fn health(&self) -> &'static str {
        match self {
            #[cfg(feature = "baselines")]
            Self::None(_) => "unused",
            Self::Redis(redis) => redis.health(),
        }
    }
}
