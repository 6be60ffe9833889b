//! Cache invalidation: decides whether a cached answer is still fresh, from the changes that this process read from the
//! feed.
//!
//! Every answer carries the snapshot of the last read of the feed before the work began, so it reflects at least that
//! snapshot's transactions. It is stale when a relevant change isn't among them. Nothing of this is stored in Redis, so
//! changes made while Redis is unavailable aren't missed.
//!
//! This holds only while the feed is read. When the feed is late, no cached answer is served, because other processes may
//! have changed prices. While Postgres is unreachable, as in a restart, cached answers are served for a bounded time.
//!
//! Ages are measured by the database's clock, which all processes share, because their machines' clocks may differ.
//!
//! The cost of changes: a customer's review or order invalidates its product's answers immediately, and a list with the
//! product at most once per half of `list_staleness`. Prices and texts, which only admins change, invalidate all lists, at
//! a bounded rate.

use std::collections::HashMap;
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::Class;
use super::change_set::{ChangeSet, RateLimitedChangeSet};
use super::entry::Stamp;
use crate::catalog::changes::{ChangeKind, Changes, Lineage, Snapshot};

/// How long cached answers are served while Postgres is unreachable, because there is no other way to answer. Long enough
/// for a restart. If only this process is cut off, others may change the catalogue during this time.
const TRUSTED_WITHOUT_POSTGRES: Duration = Duration::from_secs(30);

/// The largest difference between two processes' estimates of the database's clock. Each estimate is off by the duration
/// of its read.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(1);

/// The most remembered products that changed within the longest time to live. Beyond that, all cached answers count as
/// stale.
const MAX_PRODUCTS: usize = 50_000;

/// How often expired changes of products are removed.
const PRUNE_INTERVAL: Duration = Duration::from_secs(30);

/// Bounds from the settings.
#[derive(Debug, Clone, Copy)]
pub struct FreshnessSettings {
    /// How old stock flags and ratings in lists may be.
    pub list_staleness: Duration,
    /// How often frequent changes make all lists stale.
    pub list_refresh: Duration,
    /// How long after a read of the feed cached answers are served, unless Postgres is unreachable.
    pub max_feed_lag: Duration,
    /// The longest time to live of an answer.
    pub longest_ttl: Duration,
}

/// The changes that this process read from the feed.
pub struct Freshness {
    settings: FreshnessSettings,
    state: RwLock<State>,
}

struct State {
    /// The snapshot of the last read of the feed. `None` before the first.
    snapshot: Option<Arc<Snapshot>>,
    lineage: Lineage,
    /// When the last read began. Changes committed later may be missing.
    read_at: Instant,
    /// The database's clock at `read_at`, in milliseconds since 1970.
    database_ms: u64,
    /// When an attempt to reach Postgres last failed.
    unreachable_at: Option<Instant>,
    /// Changes before this snapshot are unknown.
    floor: Arc<Snapshot>,
    reference: ChangeSet,
    /// Prices and texts, which lists and facets contain and are sorted by.
    lists: RateLimitedChangeSet,
    /// The set of products and their titles.
    names: RateLimitedChangeSet,
    products: HashMap<Uuid, ProductChanges, foldhash::fast::RandomState>,
    pruned_at: Instant,
}

struct ProductChanges {
    /// Texts and prices, which make every answer with the product stale.
    immediate: ChangeSet,
    /// Stock and ratings, which may be stale in lists for a while.
    may_lag: ChangeSet,
    noted_at: Instant,
}

impl Freshness {
    /// Treats all answers as stale until the first read of the feed.
    pub fn new(settings: FreshnessSettings) -> Self {
        let now = Instant::now();
        let state = State {
            snapshot: None,
            lineage: Lineage::default(),
            read_at: now,
            database_ms: 0,
            unreachable_at: None,
            floor: Arc::default(),
            reference: ChangeSet::default(),
            lists: RateLimitedChangeSet::new(settings.list_refresh, now),
            names: RateLimitedChangeSet::new(settings.list_refresh, now),
            products: HashMap::default(),
            pruned_at: now,
        };
        Self {
            settings,
            state: RwLock::new(state),
        }
    }

    /// Whether the known changes are recent enough to serve cached answers.
    pub fn is_known(&self) -> bool {
        self.read().is_known(Instant::now(), self.settings.max_feed_lag)
    }

    /// The stamp of an answer whose work begins now. `None` while the cache may be neither read nor written.
    pub fn stamp(&self) -> Option<Stamp> {
        let now = Instant::now();
        let state = self.read();
        if !state.is_known(now, self.settings.max_feed_lag) {
            return None;
        }
        Some(Stamp {
            snapshot: state.snapshot.clone()?,
            lineage: state.lineage,
            made_at_ms: state.database_ms(now),
        })
    }

    /// Records the changes of a read of the feed.
    pub fn apply(&self, changes: &Changes) {
        let now = Instant::now();
        let snapshot = Arc::new(changes.snapshot.clone());
        let mut state = self.write();
        state.read_at = changes.read_at;
        state.database_ms = changes.database_ms;
        state.unreachable_at = None;
        state.lineage = changes.lineage;
        if changes.everything {
            state.invalidate_all(&snapshot);
        }
        for transaction in &changes.reference_transactions {
            state.reference.note(*transaction, &snapshot);
        }
        for ((product, kind), transaction) in changes.products.iter().zip(&changes.transactions) {
            state.note(*product, *kind, *transaction, &snapshot, now);
        }
        state.lists.release(now);
        state.names.release(now);
        state.prune(self.settings.longest_ttl, &snapshot, now);
        state.snapshot = Some(snapshot);
    }

    /// An attempt to reach Postgres failed.
    pub fn note_unreachable(&self) {
        self.write().unreachable_at = Some(Instant::now());
    }

    /// Whether an answer with this stamp and these products may be served.
    pub fn is_fresh(&self, class: Class, stamp: &Stamp, products: impl Iterator<Item = Uuid>) -> bool {
        let now = Instant::now();
        let state = self.read();
        let database_ms = state.database_ms(now);
        let is_in_future = stamp.made_at_ms > database_ms + CLOCK_TOLERANCE.as_millis() as u64;
        let age = Duration::from_millis(database_ms.saturating_sub(stamp.made_at_ms));
        if is_in_future || class.shifts() && age > self.settings.list_staleness * 3 / 4 {
            return false;
        }
        let may_lag = class.may_lag() && age < self.settings.list_staleness / 2;
        let seen = &*stamp.snapshot;
        state.is_known(now, self.settings.max_feed_lag)
            && stamp.lineage == state.lineage
            && seen.includes(&state.floor)
            && state.reference.is_visible_in(seen)
            && match class {
                Class::Listings | Class::ShiftingListings | Class::Facets => state.lists.is_visible_in(seen),
                Class::Suggestions | Class::Categories => state.names.is_visible_in(seen),
                Class::Products | Class::Reviews => true,
            }
            && (state.products.is_empty() || state.products_are_fresh(seen, products, may_lag))
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state
            .write()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl State {
    /// The feed was read recently, or Postgres became unreachable recently.
    fn is_known(&self, now: Instant, max_feed_lag: Duration) -> bool {
        let since_read = now.duration_since(self.read_at);
        let is_unreachable = self
            .unreachable_at
            .is_some_and(|at| now.duration_since(at) < max_feed_lag);
        self.snapshot.is_some()
            && (since_read < max_feed_lag || is_unreachable && since_read < TRUSTED_WITHOUT_POSTGRES)
    }

    /// The database's clock now, in milliseconds since 1970.
    fn database_ms(&self, now: Instant) -> u64 {
        self.database_ms + now.duration_since(self.read_at).as_millis() as u64
    }

    fn note(
        &mut self,
        product: Uuid,
        kind: ChangeKind,
        transaction: u64,
        snapshot: &Arc<Snapshot>,
        now: Instant,
    ) {
        let changes = self.products.entry(product).or_insert_with(|| ProductChanges {
            immediate: ChangeSet::default(),
            may_lag: ChangeSet::default(),
            noted_at: now,
        });
        changes.noted_at = now;
        match kind {
            ChangeKind::Stock | ChangeKind::Rating => changes.may_lag.note(transaction, snapshot),
            ChangeKind::Price | ChangeKind::Product => {
                changes.immediate.note(transaction, snapshot);
                self.lists.note(transaction, snapshot);
                if kind == ChangeKind::Product {
                    self.names.note(transaction, snapshot);
                }
            }
        }
    }

    fn products_are_fresh(
        &self,
        seen: &Snapshot,
        products: impl Iterator<Item = Uuid>,
        may_lag: bool,
    ) -> bool {
        products
            .filter_map(|product| self.products.get(&product))
            .all(|changes| {
                changes.immediate.is_visible_in(seen) && (may_lag || changes.may_lag.is_visible_in(seen))
            })
    }

    /// Makes all answers stale that were made before this snapshot.
    fn invalidate_all(&mut self, snapshot: &Arc<Snapshot>) {
        self.floor = snapshot.clone();
        self.products.clear();
        self.reference = ChangeSet::default();
        self.lists.clear();
        self.names.clear();
    }

    /// Removes changes that are older than any cached answer.
    fn prune(&mut self, longest_ttl: Duration, snapshot: &Arc<Snapshot>, now: Instant) {
        if self.products.len() > MAX_PRODUCTS {
            self.invalidate_all(snapshot);
        }
        if now.duration_since(self.pruned_at) > PRUNE_INTERVAL {
            self.pruned_at = now;
            self.products
                .retain(|_, changes| now.duration_since(changes.noted_at) < longest_ttl);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_FEED_LAG: Duration = Duration::from_secs(1);

    fn freshness() -> Freshness {
        Freshness::new(FreshnessSettings {
            list_staleness: Duration::from_secs(60),
            list_refresh: Duration::from_millis(700),
            max_feed_lag: MAX_FEED_LAG,
            longest_ttl: Duration::from_secs(300),
        })
    }

    fn read(timeline: u32, snapshot: &str, read_at: Instant, database_ms: u64) -> Changes {
        Changes {
            everything: true,
            reference: false,
            products: Vec::new(),
            transactions: Vec::new(),
            reference_transactions: Vec::new(),
            snapshot: Snapshot::parse(snapshot).unwrap(),
            lineage: Lineage { epoch: 1, timeline },
            read_at,
            database_ms,
        }
    }

    fn is_fresh(freshness: &Freshness, class: Class, stamp: &Stamp) -> bool {
        freshness.is_fresh(class, stamp, std::iter::empty())
    }

    #[test]
    fn after_a_late_read_no_answer_is_fresh_unless_postgres_is_unreachable() {
        let ago = |ms| Instant::now().checked_sub(Duration::from_millis(ms)).unwrap();
        let freshness = freshness();
        assert!(!freshness.is_known());
        freshness.apply(&read(1, "10:10:", Instant::now(), 0));
        let stamp = freshness.stamp().unwrap();
        assert!(is_fresh(&freshness, Class::Products, &stamp));

        freshness.apply(&read(1, "10:10:", ago(1_001), 0));
        assert!(!freshness.is_known() && freshness.stamp().is_none());
        assert!(!is_fresh(&freshness, Class::Products, &stamp));

        freshness.note_unreachable();
        assert!(is_fresh(&freshness, Class::Products, &stamp));

        // The last failed attempt is too long ago to prove that Postgres is still unreachable.
        freshness.write().unreachable_at = Some(ago(1_001));
        assert!(!freshness.is_known());

        freshness.apply(&read(1, "10:10:", ago(30_001), 0));
        freshness.note_unreachable();
        assert!(!freshness.is_known());
    }

    #[test]
    fn an_answer_of_a_lost_timeline_is_stale_even_if_the_new_one_reaches_its_transaction_ids() {
        let freshness = freshness();
        freshness.apply(&read(1, "900:900:", Instant::now(), 0));
        let lost = freshness.stamp().unwrap();
        // The promoted standby had not received the last transactions.
        for snapshot in ["800:800:", "900:900:", "1000:1000:"] {
            freshness.apply(&read(2, snapshot, Instant::now(), 0));
            assert!(!is_fresh(&freshness, Class::Products, &lost), "{snapshot}");
            assert!(is_fresh(&freshness, Class::Products, &freshness.stamp().unwrap()));
        }
    }

    #[test]
    fn ages_are_measured_by_the_databases_clock_and_an_answer_from_the_future_is_stale() {
        const HOUR_MS: u64 = 3_600_000;
        let freshness = freshness();
        freshness.apply(&read(1, "10:10:", Instant::now(), HOUR_MS));
        let stamp = freshness.stamp().unwrap();
        assert!((HOUR_MS..HOUR_MS + 1_000).contains(&stamp.made_at_ms));
        let made_at = |made_at_ms| Stamp {
            made_at_ms,
            ..stamp.clone()
        };
        for class in [Class::Products, Class::Facets] {
            assert!(is_fresh(&freshness, class, &stamp));
            assert!(!is_fresh(&freshness, class, &made_at(2 * HOUR_MS)), "{class:?}");
        }
        assert!(!is_fresh(&freshness, Class::Facets, &made_at(HOUR_MS - 46_000)));
    }
}
