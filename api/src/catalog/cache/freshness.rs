//! Whether a stored answer still tells the truth: what this process knows of changes, from the feed, against what the
//! answer's maker knew.
//!
//! Every answer carries the snapshot of its maker's last look at the feed before the work began, so it has at least what
//! that snapshot shows. It is stale when a change that concerns it isn't among that. Nothing of this lives in Redis: a
//! change that is made while Redis is away is seen all the same.
//!
//! That holds while the feed is read. When the feed is late, no stored answer is served: others may have changed prices
//! meanwhile. While Postgres can't be reached, as in a restart, stored answers are served for a bounded time.
//!
//! Ages are measured by the database's clock, which all processes share: the clocks of their machines may differ.
//!
//! Who pays: a customer's review or order touches its product's answers at once, and a list that shows the product at most
//! once in half of `list_staleness`. Prices and texts, which only admins change, touch all lists, in a bounded rate.

use std::collections::HashMap;
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::Class;
use super::changed::{Changed, ChangedTogether};
use super::entry::Stamp;
use crate::catalog::changes::{ChangeKind, Changes, Lineage, Snapshot};

/// How long stored answers are served while Postgres can't be reached, so that requests could not be answered otherwise.
/// It rides out a restart. Others may have changed the catalogue meanwhile, if it is only this process that is cut off.
const TRUSTED_WITHOUT_POSTGRES: Duration = Duration::from_secs(30);

/// How far apart two processes may believe the database's clock to be: each is off by the time that its read took.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(1);

/// Products that changed within the longest time to live. Beyond this bound all stored answers count as stale.
const MAX_PRODUCTS: usize = 50_000;

/// How often products are looked through for those that may be forgotten.
const PRUNE_INTERVAL: Duration = Duration::from_secs(30);

/// Bounds from the settings.
#[derive(Debug, Clone, Copy)]
pub struct FreshnessSettings {
    /// How old stock flags and ratings in lists may be.
    pub list_staleness: Duration,
    /// How often all lists become stale while changes keep coming.
    pub list_refresh: Duration,
    /// How long after a read of the feed stored answers are served, unless Postgres can't be reached.
    pub max_feed_lag: Duration,
    /// The longest time that an answer is stored for.
    pub longest_ttl: Duration,
}

/// What this process knows of changes.
pub struct Freshness {
    settings: FreshnessSettings,
    state: RwLock<State>,
}

struct State {
    /// The last read of the feed. None before the first.
    snapshot: Option<Arc<Snapshot>>,
    lineage: Lineage,
    /// When the last read began: changes that were committed later may be missing.
    read_at: Instant,
    /// The database's clock then, in milliseconds since 1970.
    database_ms: u64,
    /// When an attempt to reach Postgres failed last.
    unreachable_at: Option<Instant>,
    /// Nothing is known of what changed before it.
    floor: Arc<Snapshot>,
    reference: Changed,
    /// What lists and facets show and how they are ordered: prices and texts.
    lists: ChangedTogether,
    /// Which products there are and what they are called.
    names: ChangedTogether,
    products: HashMap<Uuid, ProductChanges, foldhash::fast::RandomState>,
    pruned_at: Instant,
}

struct ProductChanges {
    /// Texts and prices: stale wherever they are shown.
    at_once: Changed,
    /// Stock and ratings: lists may lag behind.
    may_lag: Changed,
    noted_at: Instant,
}

impl Freshness {
    /// Knows nothing until the feed was read.
    pub fn new(settings: FreshnessSettings) -> Self {
        let now = Instant::now();
        let state = State {
            snapshot: None,
            lineage: Lineage::default(),
            read_at: now,
            database_ms: 0,
            unreachable_at: None,
            floor: Arc::default(),
            reference: Changed::default(),
            lists: ChangedTogether::new(settings.list_refresh, now),
            names: ChangedTogether::new(settings.list_refresh, now),
            products: HashMap::default(),
            pruned_at: now,
        };
        Self {
            settings,
            state: RwLock::new(state),
        }
    }

    /// Whether enough is known of changes to serve stored answers.
    pub fn is_known(&self) -> bool {
        self.read().is_known(Instant::now(), self.settings.max_feed_lag)
    }

    /// What an answer has at least, whose work begins now. None while nothing may be read from the cache or put into it.
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

    /// Takes over what was read from the feed.
    pub fn apply(&self, changes: &Changes) {
        let now = Instant::now();
        let snapshot = Arc::new(changes.snapshot.clone());
        let mut state = self.write();
        state.read_at = changes.read_at;
        state.database_ms = changes.database_ms;
        state.unreachable_at = None;
        state.lineage = changes.lineage;
        if changes.everything {
            state.forget_all(&snapshot);
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

    /// Postgres could not be reached just now.
    pub fn note_unreachable(&self) {
        self.write().unreachable_at = Some(Instant::now());
    }

    /// Whether an answer may be served that has this stamp and shows these products.
    pub fn is_fresh(&self, class: Class, stamp: &Stamp, products: impl Iterator<Item = Uuid>) -> bool {
        let now = Instant::now();
        let state = self.read();
        let database_ms = state.database_ms(now);
        let is_of_the_future = stamp.made_at_ms > database_ms + CLOCK_TOLERANCE.as_millis() as u64;
        let age = Duration::from_millis(database_ms.saturating_sub(stamp.made_at_ms));
        if is_of_the_future || class.shifts() && age > self.settings.list_staleness * 3 / 4 {
            return false;
        }
        let may_lag = class.may_lag() && age < self.settings.list_staleness / 2;
        let seen = &*stamp.snapshot;
        state.is_known(now, self.settings.max_feed_lag)
            && stamp.lineage == state.lineage
            && seen.includes(&state.floor)
            && state.reference.is_shown_by(seen)
            && match class {
                Class::Listings | Class::ShiftingListings | Class::Facets => state.lists.is_shown_by(seen),
                Class::Suggestions | Class::Categories => state.names.is_shown_by(seen),
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
    /// The feed was read a moment ago, or Postgres can't be reached, and that hasn't lasted long.
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
            at_once: Changed::default(),
            may_lag: Changed::default(),
            noted_at: now,
        });
        changes.noted_at = now;
        match kind {
            ChangeKind::Stock | ChangeKind::Rating => changes.may_lag.note(transaction, snapshot),
            ChangeKind::Price | ChangeKind::Product => {
                changes.at_once.note(transaction, snapshot);
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
                changes.at_once.is_shown_by(seen) && (may_lag || changes.may_lag.is_shown_by(seen))
            })
    }

    /// From here on, only answers count that were made with this snapshot or a later one.
    fn forget_all(&mut self, snapshot: &Arc<Snapshot>) {
        self.floor = snapshot.clone();
        self.products.clear();
        self.reference = Changed::default();
        self.lists.forget();
        self.names.forget();
    }

    /// Forgets what no stored answer can be older than.
    fn prune(&mut self, longest_ttl: Duration, snapshot: &Arc<Snapshot>, now: Instant) {
        if self.products.len() > MAX_PRODUCTS {
            self.forget_all(snapshot);
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
    fn after_a_read_that_is_late_nothing_is_known_unless_postgres_cannot_be_reached() {
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

        // Whether it is still away, nothing has told for too long.
        freshness.write().unreachable_at = Some(ago(1_001));
        assert!(!freshness.is_known());

        freshness.apply(&read(1, "10:10:", ago(30_001), 0));
        freshness.note_unreachable();
        assert!(!freshness.is_known());
    }

    #[test]
    fn an_answer_of_a_timeline_that_was_lost_is_stale_however_far_the_next_one_has_come() {
        let freshness = freshness();
        freshness.apply(&read(1, "900:900:", Instant::now(), 0));
        let lost = freshness.stamp().unwrap();
        // The standby that took over had not received the last transactions.
        for snapshot in ["800:800:", "900:900:", "1000:1000:"] {
            freshness.apply(&read(2, snapshot, Instant::now(), 0));
            assert!(!is_fresh(&freshness, Class::Products, &lost), "{snapshot}");
            assert!(is_fresh(&freshness, Class::Products, &freshness.stamp().unwrap()));
        }
    }

    #[test]
    fn ages_are_measured_by_the_databases_clock_and_an_answer_of_the_future_is_stale() {
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
