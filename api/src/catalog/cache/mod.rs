//! Where finished answers of the catalogue are kept: the lesson `catalog_cache`.
//!
//! An arm is asked for an answer under a key, and given the work that makes the answer when it has none.

#[cfg(feature = "baselines")]
pub mod none;

pub mod redis;

use storefront::redis::Redis;
use storefront::variants;

use super::changes::Changes;
use crate::http::answer::Answer;
use crate::http::error::ApiError;
use crate::http::timings::Timings;
use crate::settings::CacheSettings;

/// The arm of `catalog_cache` that this process was built with.
pub enum CatalogCache {
    /// See [`none`].
    #[cfg(feature = "baselines")]
    None(none::NoCache),
    /// See [`redis`].
    Redis(redis::RedisCache),
}

/// What kind of answer is kept. Each kind is kept for a time of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Lists, facets, suggestions, reviews.
    Listings,
    /// One product.
    Products,
    /// The category tree.
    Categories,
}

impl CatalogCache {
    /// Builds the arm. It connects when it is first used.
    pub fn new(arm: variants::CatalogCache, redis: Redis, settings: CacheSettings) -> Self {
        match arm {
            #[cfg(feature = "baselines")]
            variants::CatalogCache::None => Self::None(none::NoCache),
            variants::CatalogCache::Redis => Self::Redis(redis::RedisCache::new(redis, settings)),
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

    /// The changes can't be read at the moment.
    pub fn cut_off(&self) {
        match self {
            #[cfg(feature = "baselines")]
            Self::None(_) => {}
            Self::Redis(redis) => redis.cut_off(),
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
