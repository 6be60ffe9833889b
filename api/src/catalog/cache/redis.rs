//! **Technique**: cache-aside: a finished answer is kept in Redis under its request, and made from Postgres when Redis
//! has none. Keys carry the catalogue's epoch: a change raises it, and nothing that was kept before is found again.
//! **Cost**: one round trip to Redis on a hit; on a miss two, besides the work. Each change empties the whole cache; stock
//! that runs out or comes back does so at most every half minute.
//! **Fails when**: few requests repeat within the time to live, or the catalogue changes all the time: then it adds
//! round trips and saves nothing. A process that is cut off from Postgres, but not from Redis and its customers, serves
//! what was kept for up to half a minute.
//! **Source**: <https://learn.microsoft.com/azure/architecture/patterns/cache-aside>; the epoch as in
//! Nishtala et al., "Scaling Memcache at Facebook", NSDI 2013 (cold cluster and invalidation in order).

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use redis::Cmd;
use storefront::redis::{Redis, RedisError};

use super::Class;
use crate::catalog::changes::Changes;
use crate::http::answer::Answer;
use crate::http::error::ApiError;
use crate::http::timings::{CacheOutcome, Timings};
use crate::settings::CacheSettings;

/// No epoch is known: nothing may be read from the cache or put into it.
const UNKNOWN_EPOCH: i64 = -1;

/// The arm `catalog_cache=redis`.
pub struct RedisCache {
    redis: Redis,
    settings: CacheSettings,
    epoch: AtomicI64,
}

impl RedisCache {
    pub(super) fn new(redis: Redis, settings: CacheSettings) -> Self {
        Self {
            redis,
            settings,
            epoch: AtomicI64::new(UNKNOWN_EPOCH),
        }
    }

    pub(super) async fn answer<W>(
        &self,
        class: Class,
        request: &str,
        timings: &Timings,
        work: impl FnOnce() -> W,
    ) -> Result<Answer, ApiError>
    where
        W: Future<Output = Result<Answer, ApiError>>,
    {
        // Kilobytes of state, which only a miss pays for: held here, they would be part of every request's.
        let work = || Box::pin(work());
        let asked = Instant::now();
        // Read once, before the work: an answer that was made from an older catalogue is kept under the older epoch.
        let epoch = self.epoch.load(Ordering::Acquire);
        if epoch == UNKNOWN_EPOCH {
            timings.set_cache(CacheOutcome::Unavailable, asked.elapsed());
            return work().await;
        }
        let key = self.key(epoch, request);
        let found = self
            .redis
            .query::<Option<Vec<u8>>>(Cmd::new().arg("GET").arg(&key))
            .await;
        let outcome = match &found {
            Ok(Some(_)) => CacheOutcome::Hit,
            Ok(None) => CacheOutcome::Miss,
            Err(_) => CacheOutcome::Unavailable,
        };
        timings.set_cache(outcome, asked.elapsed());
        match found {
            Ok(Some(stored)) => match Answer::from_stored(Bytes::from(stored)) {
                Some(answer) => return Ok(answer),
                None => tracing::warn!(key, "a cached value is not one of ours; it is replaced"),
            },
            Ok(None) => {}
            Err(error) => {
                log(&error);
                return work().await;
            }
        }
        let answer = work().await?;
        let ttl_ms = self.ttl(class).as_millis() as u64;
        let mut set = Cmd::new();
        set.arg("SET")
            .arg(&key)
            .arg(answer.stored())
            .arg("PX")
            .arg(ttl_ms);
        if let Err(error) = self.redis.query::<()>(&set).await {
            log(&error);
        }
        Ok(answer)
    }

    fn key(&self, epoch: i64, request: &str) -> String {
        format!("{}catalog:{epoch}:{request}", self.redis.prefix())
    }

    /// The class's time to live, 10 % more or less, so that what was put in together doesn't expire together.
    fn ttl(&self, class: Class) -> Duration {
        let seconds = match class {
            Class::Listings => self.settings.listings_ttl_s,
            Class::Products => self.settings.products_ttl_s,
            Class::Categories => self.settings.categories_ttl_s,
        };
        jittered(Duration::from_secs(u64::from(seconds)), random_fraction())
    }

    pub(super) fn apply(&self, changes: &Changes) {
        if changes.everything || changes.reference || !changes.products.is_empty() {
            self.epoch
                .store(changes.snapshot.next().cast_signed(), Ordering::Release);
        }
    }

    pub(super) fn cut_off(&self) {}

    pub(super) fn health(&self) -> &'static str {
        if self.redis.is_paused() { "down" } else { "up" }
    }
}

/// Redis being away is expected: one line when it begins, none for each request that it is left alone for.
fn log(error: &RedisError) {
    if !matches!(error, RedisError::Paused) {
        tracing::warn!(%error, "the cache gave no answer; Postgres is asked instead");
    }
}

fn jittered(ttl: Duration, fraction: f64) -> Duration {
    ttl.mul_f64(0.9 + 0.2 * fraction)
}

/// From 0 up to 1, of the random bits of a UUID.
fn random_fraction() -> f64 {
    (uuid::Uuid::now_v7().as_u128() as u32) as f64 / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_live_varies_by_ten_percent() {
        let ttl = Duration::from_secs(100);
        assert_eq!(jittered(ttl, 0.0), Duration::from_secs(90));
        assert_eq!(jittered(ttl, 0.5), Duration::from_secs(100));
        assert!(jittered(ttl, 0.999) < Duration::from_secs(110));
        assert!((0.0..1.0).contains(&random_fraction()));
    }
}
