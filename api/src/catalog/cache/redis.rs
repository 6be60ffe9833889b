//! **Technique**: cache-aside: serialized answers are cached in Redis under their request, and made from Postgres on a
//! miss. An answer carries a snapshot of the changes that it reflects, and its products. The serving process decides from
//! the change feed whether the answer is still fresh (`freshness.rs`). Concurrent misses do the work once: within a
//! process by single flight, across processes by a short lock.
//! **Cost**: one round trip to Redis on a hit; three on a miss, plus the work. A review or a sell-out invalidates its
//! product's answers; in lists, stock and ratings follow within a minute, prices and texts within a second.
//! **Fails when**: few requests repeat within the time to live, or an admin changes products all the time: then it adds
//! round trips and saves little. A process that reaches Redis and its customers but not Postgres serves cached answers
//! for up to half a minute. A process that reads changes late serves none.
//! **Source**: <https://learn.microsoft.com/azure/architecture/patterns/cache-aside>; leases against stale sets and
//! thundering herds as in Nishtala et al., "Scaling Memcache at Facebook", NSDI 2013.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use platform::redis::{Redis, RedisError};
use redis::Cmd;

use super::admission::{Admission, AdmissionSettings};
use super::entry::{Entry, Stamp};
use super::fill_lock::FillLock;
use super::freshness::{Freshness, FreshnessSettings};
use super::single_flight::{Flights, Leader, Role};
use super::{Class, Fill};
use crate::catalog::changes::Changes;
use crate::settings::CacheSettings;
use crate::web::answer::Answer;
use crate::web::cursor::CursorKeys;
use crate::web::error::ApiError;
use crate::web::timings::{CacheOutcome, Timings};

/// The format of entries. It is part of every key together with the release, so that releases don't read each other's
/// entries.
const FORMAT: &str = concat!(env!("CARGO_PKG_VERSION"), "/3");

/// How often a process polls for an answer that another process makes.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The arm `catalog_cache=redis`.
pub struct RedisCache {
    redis: Redis,
    settings: CacheSettings,
    fill: Fill,
    prefix: String,
    freshness: Freshness,
    admission: Admission,
    flights: Flights<SharedOutcome>,
}

/// A leader's outcome for its followers. Without a stamp while the feed is read late.
type SharedOutcome = Arc<Result<(Option<Stamp>, Answer), ApiError>>;

/// The result of a look-up in Redis.
enum LookupResult {
    Fresh(Answer),
    Stale,
    Missing,
    Unavailable,
}

impl RedisCache {
    /// Answers contain signed `next` links. Links signed with another key may be rejected, so answers with them are never
    /// served: the key's name is a part of each entry's.
    pub fn new(redis: Redis, settings: CacheSettings, cursors: &CursorKeys) -> Self {
        Self::filled(redis, settings, Fill::OnceOverall, &cursors.signing_key_name())
    }

    fn filled(redis: Redis, settings: CacheSettings, fill: Fill, cursor_key: &str) -> Self {
        let longest_ttl_s = settings.listings_ttl_s.max(settings.products_ttl_s);
        Self {
            prefix: format!("{}catalog:{FORMAT}:{cursor_key}:", redis.prefix()),
            redis,
            fill,
            freshness: Freshness::new(FreshnessSettings {
                list_staleness: settings.list_staleness,
                list_refresh: settings.list_refresh,
                max_feed_lag: settings.max_feed_lag,
                // Plus 10 % for the jitter, and the time until a slow request's answer is stored.
                longest_ttl: Duration::from_secs(u64::from(longest_ttl_s)) * 11 / 10
                    + Duration::from_secs(120),
            }),
            admission: Admission::new(AdmissionSettings {
                max_answer_bytes: settings.max_answer_bytes,
                first_answers_bytes_per_minute: settings.first_answers_bytes_per_minute,
            }),
            flights: Flights::new(),
            settings,
        }
    }

    /// The cached answer to a request in canonical form, or the result of `work`.
    ///
    /// # Errors
    /// Those of `work`. A slow or unavailable Redis is no error.
    pub async fn answer<W>(
        &self,
        class: Class,
        request: &str,
        timings: &Timings,
        work: impl FnOnce() -> W,
    ) -> Result<Answer, ApiError>
    where
        W: Future<Output = Result<Answer, ApiError>>,
    {
        let started = Instant::now();
        let key = [self.prefix.as_str(), request].concat();
        let found = if self.freshness.is_known() {
            self.look_up(class, &key).await
        } else {
            LookupResult::Unavailable
        };
        let outcome = match &found {
            LookupResult::Fresh(_) => CacheOutcome::Hit,
            LookupResult::Stale | LookupResult::Missing => CacheOutcome::Miss,
            LookupResult::Unavailable => CacheOutcome::Unavailable,
        };
        timings.set_cache(outcome, started.elapsed());
        match found {
            LookupResult::Fresh(answer) => Ok(answer),
            // Boxed, because a miss has kilobytes of state, which would otherwise be part of every request's future.
            missing => Box::pin(self.miss(class, &key, &missing, timings, work)).await,
        }
    }

    async fn look_up(&self, class: Class, key: &str) -> LookupResult {
        let stored = self
            .redis
            .query::<Option<Vec<u8>>>(Cmd::new().arg("GET").arg(key))
            .await;
        match stored {
            Ok(None) => LookupResult::Missing,
            Ok(Some(stored)) => match Entry::decode(Bytes::from(stored)) {
                Some(entry) if self.freshness.is_fresh(class, &entry.stamp, entry.products()) => {
                    LookupResult::Fresh(entry.answer)
                }
                Some(_) => LookupResult::Stale,
                None => {
                    tracing::warn!(key, "a cached value has an unknown format; it is replaced");
                    LookupResult::Stale
                }
            },
            Err(error) => {
                log(&error);
                LookupResult::Unavailable
            }
        }
    }

    /// Makes the answer, or shares the answer of a concurrent request.
    async fn miss<W>(
        &self,
        class: Class,
        key: &str,
        found: &LookupResult,
        timings: &Timings,
        work: impl FnOnce() -> W,
    ) -> Result<Answer, ApiError>
    where
        W: Future<Output = Result<Answer, ApiError>>,
    {
        if self.fill == Fill::EachRequest {
            return self
                .make(class, key, found, None, work)
                .await
                .map(|(_, answer)| answer);
        }
        // A flight that began before this request may miss a change that the response must reflect; the next flight can't.
        // So a request follows at most two flights, unless leaders are cancelled, which its own timeout bounds.
        let mut began_before = true;
        loop {
            match self.flights.join(key) {
                Role::Leader(leader) => return self.lead(class, key, found, leader, work).await,
                Role::Follower(follower) => match follower.outcome().await.as_deref() {
                    Some(Err(error)) => return Err(error.for_follower()),
                    Some(Ok((stamp, answer))) if !began_before || self.is_fresh(class, stamp, answer) => {
                        timings.set_cache_outcome(CacheOutcome::Shared);
                        return Ok(answer.clone());
                    }
                    _ => began_before = false,
                },
                Role::Alone => {
                    let made = self.make(class, key, found, None, work).await;
                    return made.map(|(_, answer)| answer);
                }
            }
        }
    }

    fn is_fresh(&self, class: Class, stamp: &Option<Stamp>, answer: &Answer) -> bool {
        stamp.as_ref().is_some_and(|stamp| {
            self.freshness
                .is_fresh(class, stamp, answer.products().iter().copied())
        })
    }

    async fn lead<W>(
        &self,
        class: Class,
        key: &str,
        found: &LookupResult,
        leader: Leader<'_, SharedOutcome>,
        work: impl FnOnce() -> W,
    ) -> Result<Answer, ApiError>
    where
        W: Future<Output = Result<Answer, ApiError>>,
    {
        let made = match found {
            LookupResult::Unavailable => self.make(class, key, found, Some(&leader), work).await,
            _ if self.fill == Fill::OnceOverall => {
                self.make_once_overall(class, key, found, &leader, work).await
            }
            _ => self.make(class, key, found, Some(&leader), work).await,
        };
        match made {
            Ok((stamp, answer)) => {
                leader.finish(Arc::new(Ok((stamp, answer.clone()))));
                Ok(answer)
            }
            Err(error) => {
                leader.finish(Arc::new(Err(error.for_follower())));
                Err(error)
            }
        }
    }

    /// Makes the answer while holding the lock, or returns the answer of the process that held it.
    async fn make_once_overall<W>(
        &self,
        class: Class,
        key: &str,
        found: &LookupResult,
        leader: &Leader<'_, SharedOutcome>,
        work: impl FnOnce() -> W,
    ) -> Result<(Option<Stamp>, Answer), ApiError>
    where
        W: Future<Output = Result<Answer, ApiError>>,
    {
        let until = Instant::now() + self.settings.fill_wait;
        loop {
            match FillLock::try_acquire(&self.redis, key).await {
                Ok(Some(lock)) => {
                    let stamp = self.freshness.stamp();
                    let made = work().await;
                    let value = match (&stamp, &made) {
                        (Some(stamp), Ok(answer)) => self.value(key, stamp, answer, found, Some(leader)),
                        _ => None,
                    };
                    let value = value.unwrap_or_default();
                    if let Err(error) = lock.release(&value, self.ttl(class)).await {
                        log(&error);
                    }
                    return made.map(|answer| (stamp, answer));
                }
                Ok(None) if Instant::now() < until => {
                    tokio::time::sleep(POLL_INTERVAL).await;
                    // Taken before the look-up, so that followers judge the answer by the changes known by then.
                    let stamp = self.freshness.stamp();
                    if let LookupResult::Fresh(answer) = self.look_up(class, key).await {
                        return Ok((stamp, answer));
                    }
                }
                Ok(None) | Err(_) => return self.make(class, key, found, Some(leader), work).await,
            }
        }
    }

    /// Does the work and stores the answer.
    async fn make<W>(
        &self,
        class: Class,
        key: &str,
        found: &LookupResult,
        leader: Option<&Leader<'_, SharedOutcome>>,
        work: impl FnOnce() -> W,
    ) -> Result<(Option<Stamp>, Answer), ApiError>
    where
        W: Future<Output = Result<Answer, ApiError>>,
    {
        // Taken before the work, because the answer may lack changes made during it.
        let stamp = self.freshness.stamp();
        let answer = work().await?;
        if let Some(stamp) = &stamp
            && !matches!(found, LookupResult::Unavailable)
            && let Some(value) = self.value(key, stamp, &answer, found, leader)
        {
            let mut set = Cmd::new();
            set.arg("SET")
                .arg(key)
                .arg(value)
                .arg("PX")
                .arg(self.ttl(class).as_millis() as u64);
            if let Err(error) = self.redis.query::<()>(&set).await {
                log(&error);
            }
        }
        Ok((stamp, answer))
    }

    /// The bytes to store, if the answer is admitted.
    fn value(
        &self,
        key: &str,
        stamp: &Stamp,
        answer: &Answer,
        found: &LookupResult,
        leader: Option<&Leader<'_, SharedOutcome>>,
    ) -> Option<Vec<u8>> {
        if answer.is_provisional() {
            return None;
        }
        let is_repeated = matches!(found, LookupResult::Stale) || leader.is_some_and(Leader::has_followers);
        self.admission
            .admits(key, answer.stored().len(), is_repeated)
            .then(|| Entry::encode(stamp, answer))
            .flatten()
    }

    /// The class's time to live with 10 % jitter, so that answers stored together don't expire together.
    fn ttl(&self, class: Class) -> Duration {
        let seconds = match class {
            Class::Products => self.settings.products_ttl_s,
            Class::Categories => self.settings.categories_ttl_s,
            _ => self.settings.listings_ttl_s,
        };
        jittered(Duration::from_secs(u64::from(seconds)), random_fraction())
    }

    /// Makes answers stale that depend on these changes.
    pub fn apply(&self, changes: &Changes) {
        self.freshness.apply(changes);
    }

    /// Records that an attempt to read the change feed failed.
    pub fn note_unreachable(&self) {
        self.freshness.note_unreachable();
    }

    /// Whether the feed was read recently. Otherwise the cache is neither read nor written.
    pub fn knows_changes(&self) -> bool {
        self.freshness.is_known()
    }

    /// `up` or `down`, for the readiness probe.
    pub fn health(&self) -> &'static str {
        if self.redis.is_circuit_open() {
            "down"
        } else {
            "up"
        }
    }
}

/// Logs no line for requests that skip Redis because the circuit breaker is open.
fn log(error: &RedisError) {
    if !matches!(error, RedisError::CircuitOpen) {
        tracing::warn!(%error, "the cache is unavailable; falling back to Postgres");
    }
}

fn jittered(ttl: Duration, fraction: f64) -> Duration {
    ttl.mul_f64(0.9 + 0.2 * fraction)
}

/// From 0 up to 1, from the random bits of a UUID.
fn random_fraction() -> f64 {
    (uuid::Uuid::now_v7().as_u128() as u32) as f64 / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use clap::Parser;
    use platform::settings::RedisSettings;
    use tokio::sync::{mpsc, watch};
    use tokio::task::JoinSet;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        redis: RedisSettings,
        #[command(flatten)]
        cache: CacheSettings,
    }

    /// A cache without any read of the feed. It treats all answers as stale and doesn't use Redis.
    fn blind_cache() -> Arc<RedisCache> {
        let flags = Flags::parse_from(["test", "--redis-url", "redis://127.0.0.1:1/"]);
        let redis = Redis::new(&flags.redis).unwrap();
        Arc::new(RedisCache::filled(redis, flags.cache, Fill::OncePerProcess, ""))
    }

    /// Lets every task run until it waits.
    async fn settle() {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn without_a_stamp_an_answer_is_shared_only_by_requests_that_came_before_its_work_began() {
        let cache = blind_cache();
        let works = Arc::new(AtomicUsize::new(0));
        let (open, gate) = watch::channel(false);
        let mut requests = JoinSet::new();
        for _ in 0..10 {
            let (cache, works, mut gate) = (cache.clone(), works.clone(), gate.clone());
            requests.spawn(async move {
                let work = move || async move {
                    works.fetch_add(1, Ordering::Relaxed);
                    let _ = gate.wait_for(|open| *open).await;
                    tokio::task::yield_now().await;
                    Ok(Answer::new(None, b"{}"))
                };
                let timings = Timings::start(crate::web::request_class::RequestClass::Browse);
                cache
                    .answer(Class::Products, "key", &timings, work)
                    .await
                    .map(drop)
            });
        }
        settle().await;
        assert_eq!(works.load(Ordering::Relaxed), 1);
        open.send_replace(true);
        while let Some(answered) = requests.join_next().await {
            answered.unwrap().unwrap();
        }
        assert_eq!(works.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn one_request_works_at_a_time_even_if_leaders_are_cancelled() {
        let cache = blind_cache();
        let (began, mut beginnings) = mpsc::unbounded_channel();
        let mut requests = Vec::new();
        for number in 0..10 {
            let (cache, began) = (cache.clone(), began.clone());
            requests.push(tokio::spawn(async move {
                let work = move || async move {
                    began.send(number).unwrap();
                    std::future::pending().await
                };
                let timings = Timings::start(crate::web::request_class::RequestClass::Browse);
                let answered = cache.answer(Class::Products, "key", &timings, work).await;
                answered.map(drop)
            }));
        }
        for _ in 0..requests.len() {
            settle().await;
            let leader: usize = beginnings.recv().await.unwrap();
            assert!(beginnings.try_recv().is_err(), "a second request works");
            requests[leader].abort();
        }
    }

    #[test]
    fn a_time_to_live_varies_by_ten_percent() {
        let ttl = Duration::from_secs(100);
        assert_eq!(jittered(ttl, 0.0), Duration::from_secs(90));
        assert_eq!(jittered(ttl, 0.5), Duration::from_secs(100));
        assert!(jittered(ttl, 0.999) < Duration::from_secs(110));
        assert!((0.0..1.0).contains(&random_fraction()));
    }
}
