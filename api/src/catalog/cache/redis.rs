//! **Technique**: cache-aside: a finished answer is kept in Redis under its request, and made from Postgres when Redis
//! has none. It carries what its maker knew of changes and which products it shows; whether that still holds is decided
//! by the process that serves it, from the change feed (`freshness.rs`). A miss is worked on once: in a process by single
//! flight, over processes by a short lock.
//! **Cost**: one round trip to Redis on a hit; on a miss three, besides the work. A review or a sell-out costs its product's
//! answers; lists that show it follow within a minute, prices and texts within a second.
//! **Fails when**: few requests repeat within the time to live, or an admin changes products all the time: then it adds
//! round trips and saves little. A process that can't reach Postgres, but Redis and its customers, serves what was kept
//! for up to half a minute. One that reads changes late serves nothing of it.
//! **Source**: <https://learn.microsoft.com/azure/architecture/patterns/cache-aside>; leases against stale sets and
//! thundering herds as in Nishtala et al., "Scaling Memcache at Facebook", NSDI 2013.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use redis::Cmd;
use storefront::redis::{Redis, RedisError};

use super::admission::{Admission, AdmissionSettings};
use super::entry::{Entry, Stamp};
use super::fill_lock::FillLock;
use super::freshness::{Freshness, FreshnessSettings};
use super::single_flight::{Flights, Leader, Role};
use super::{Class, Fill};
use crate::catalog::changes::Changes;
use crate::http::answer::Answer;
use crate::http::error::ApiError;
use crate::http::timings::{CacheOutcome, Timings};
use crate::settings::CacheSettings;

/// The form of entries. With the release, it is part of every key: no process reads what another release meant otherwise.
const FORMAT: &str = concat!(env!("CARGO_PKG_VERSION"), "/3");

/// How often a process looks whether another has made the answer.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The arm `catalog_cache=redis`.
pub struct RedisCache {
    redis: Redis,
    settings: CacheSettings,
    fill: Fill,
    /// What every key starts with.
    prefix: String,
    freshness: Freshness,
    admission: Admission,
    flights: Flights<Shared>,
}

/// What followers get of a leader. Without a stamp while too little is known of changes.
type Shared = Arc<Result<(Option<Stamp>, Answer), ApiError>>;

/// What Redis has under a key.
enum Found {
    Fresh(Answer),
    /// Something, which a change has overtaken.
    Stale,
    Nothing,
    Unavailable,
}

impl RedisCache {
    pub(super) fn new(redis: Redis, settings: CacheSettings, fill: Fill, cursor_key: &str) -> Self {
        let longest_ttl_s = settings.listings_ttl_s.max(settings.products_ttl_s);
        Self {
            prefix: format!("{}catalog:{FORMAT}:{cursor_key}:", redis.prefix()),
            redis,
            fill,
            freshness: Freshness::new(FreshnessSettings {
                list_staleness: settings.list_staleness,
                list_refresh: settings.list_refresh,
                max_feed_lag: settings.max_feed_lag,
                // 10 % more at most, and what a slow request takes until it is stored.
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
        let asked = Instant::now();
        let key = [self.prefix.as_str(), request].concat();
        let found = if self.freshness.is_known() {
            self.look_up(class, &key).await
        } else {
            Found::Unavailable
        };
        let outcome = match &found {
            Found::Fresh(_) => CacheOutcome::Hit,
            Found::Stale | Found::Nothing => CacheOutcome::Miss,
            Found::Unavailable => CacheOutcome::Unavailable,
        };
        timings.set_cache(outcome, asked.elapsed());
        match found {
            Found::Fresh(answer) => Ok(answer),
            // Kilobytes of state, which only a miss pays for: held here, they would be part of every request's.
            missing => Box::pin(self.miss(class, &key, &missing, timings, work)).await,
        }
    }

    async fn look_up(&self, class: Class, key: &str) -> Found {
        let stored = self
            .redis
            .query::<Option<Vec<u8>>>(Cmd::new().arg("GET").arg(key))
            .await;
        match stored {
            Ok(None) => Found::Nothing,
            Ok(Some(stored)) => match Entry::decode(Bytes::from(stored)) {
                Some(entry) if self.freshness.is_fresh(class, &entry.stamp, entry.products()) => {
                    Found::Fresh(entry.answer)
                }
                Some(_) => Found::Stale,
                None => {
                    tracing::warn!(key, "a cached value is not one of ours; it is replaced");
                    Found::Stale
                }
            },
            Err(error) => {
                log(&error);
                Found::Unavailable
            }
        }
    }

    /// Makes the answer, or shares that of another request that is making it.
    async fn miss<W>(
        &self,
        class: Class,
        key: &str,
        found: &Found,
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
        // Work that began before this request came may miss a change that it must show. The next has begun later: so two
        // flights are followed at most, unless leaders go away. The request's own deadline bounds that.
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
        found: &Found,
        leader: Leader<'_, Shared>,
        work: impl FnOnce() -> W,
    ) -> Result<Answer, ApiError>
    where
        W: Future<Output = Result<Answer, ApiError>>,
    {
        let made = match found {
            Found::Unavailable => self.make(class, key, found, Some(&leader), work).await,
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

    /// Under the lock that processes share, or with what the process made that had it.
    async fn make_once_overall<W>(
        &self,
        class: Class,
        key: &str,
        found: &Found,
        leader: &Leader<'_, Shared>,
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
                    // Before the look, so that followers hold it against what is known by then.
                    let stamp = self.freshness.stamp();
                    if let Found::Fresh(answer) = self.look_up(class, key).await {
                        return Ok((stamp, answer));
                    }
                }
                Ok(None) | Err(_) => return self.make(class, key, found, Some(leader), work).await,
            }
        }
    }

    /// Does the work and stores what it gives.
    async fn make<W>(
        &self,
        class: Class,
        key: &str,
        found: &Found,
        leader: Option<&Leader<'_, Shared>>,
        work: impl FnOnce() -> W,
    ) -> Result<(Option<Stamp>, Answer), ApiError>
    where
        W: Future<Output = Result<Answer, ApiError>>,
    {
        // Read before the work: what changes meanwhile isn't in it.
        let stamp = self.freshness.stamp();
        let answer = work().await?;
        if let Some(stamp) = &stamp
            && !matches!(found, Found::Unavailable)
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

    /// What to store, if it is worth it.
    fn value(
        &self,
        key: &str,
        stamp: &Stamp,
        answer: &Answer,
        found: &Found,
        leader: Option<&Leader<'_, Shared>>,
    ) -> Option<Vec<u8>> {
        if answer.is_provisional() {
            return None;
        }
        let is_repeated = matches!(found, Found::Stale) || leader.is_some_and(Leader::has_followers);
        self.admission
            .admits(key, answer.stored().len(), is_repeated)
            .then(|| Entry::encode(stamp, answer))
            .flatten()
    }

    /// The class's time to live, 10 % more or less, so that what was put in together doesn't expire together.
    fn ttl(&self, class: Class) -> Duration {
        let seconds = match class {
            Class::Products => self.settings.products_ttl_s,
            Class::Categories => self.settings.categories_ttl_s,
            _ => self.settings.listings_ttl_s,
        };
        jittered(Duration::from_secs(u64::from(seconds)), random_fraction())
    }

    pub(super) fn apply(&self, changes: &Changes) {
        self.freshness.apply(changes);
    }

    pub(super) fn note_unreachable(&self) {
        self.freshness.note_unreachable();
    }

    pub(super) fn knows_changes(&self) -> bool {
        self.freshness.is_known()
    }

    pub(super) fn health(&self) -> &'static str {
        if self.redis.is_circuit_open() {
            "down"
        } else {
            "up"
        }
    }
}

/// Redis being away is expected: one line when it begins, none for each request that it is left alone for.
fn log(error: &RedisError) {
    if !matches!(error, RedisError::CircuitOpen) {
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
    use std::sync::atomic::{AtomicUsize, Ordering};

    use clap::Parser;
    use storefront::settings::RedisSettings;
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

    /// A cache that has read no changes, so that it can judge no answer. Its Redis isn't asked.
    fn blind_cache() -> Arc<RedisCache> {
        let flags = Flags::parse_from(["test", "--redis-url", "redis://127.0.0.1:1/"]);
        let redis = Redis::new(&flags.redis).unwrap();
        Arc::new(RedisCache::new(redis, flags.cache, Fill::OncePerProcess, ""))
    }

    /// Lets every task run until it waits.
    async fn settle() {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn what_cannot_be_judged_is_shared_by_those_that_came_before_it_began() {
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
                let timings = Timings::start(crate::database::Class::Browse);
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
    async fn however_many_leaders_go_away_one_request_works_at_a_time() {
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
                let timings = Timings::start(crate::database::Class::Browse);
                let answered = cache.answer(Class::Products, "key", &timings, work).await;
                answered.map(drop)
            }));
        }
        for _ in 0..requests.len() {
            settle().await;
            let leader: usize = beginnings.recv().await.unwrap();
            assert!(beginnings.try_recv().is_err(), "a second one works");
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
