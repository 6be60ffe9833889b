//! Whether a stored answer still tells the truth: what this process knows of changes, from the feed, against what the
//! answer's maker knew.
//!
//! Every answer carries the snapshot of its maker's last look at the feed before the work began, so it has at least what
//! that snapshot shows. It is stale when a change that concerns it isn't among that. Nothing of this lives in Redis: a
//! change that is made while Redis is away is seen all the same.
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
use crate::catalog::changes::{ChangeKind, Changes, Snapshot};

/// How long stored answers are served while Postgres gives no answer, so that requests could not be answered otherwise.
/// It rides out a restart. Others may have changed the catalogue meanwhile, if it is only this process that is cut off.
const TRUSTED_WITHOUT_POSTGRES: Duration = Duration::from_secs(30);

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
    /// The longest time that an answer is stored for.
    pub longest_ttl: Duration,
}

/// What this process knows of changes.
pub struct Freshness {
    settings: FreshnessSettings,
    state: RwLock<State>,
}

struct State {
    /// The last read of the feed. None before the first, and when it is too long ago.
    snapshot: Option<Arc<Snapshot>>,
    epoch: i64,
    read_at: Instant,
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
            epoch: 0,
            read_at: now,
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

    /// Whether the feed was read, and not too long ago.
    pub fn is_known(&self) -> bool {
        self.read().snapshot.is_some()
    }

    /// What an answer has at least, whose work begins now. None while nothing may be read from the cache or put into it.
    pub fn stamp(&self) -> Option<Stamp> {
        let state = self.read();
        Some(Stamp {
            snapshot: state.snapshot.clone()?,
            epoch: state.epoch,
            made_at_ms: unix_ms(),
        })
    }

    /// Takes over what was read from the feed.
    pub fn apply(&self, changes: &Changes) {
        let now = Instant::now();
        let snapshot = Arc::new(changes.snapshot.clone());
        let mut state = self.write();
        state.read_at = now;
        state.epoch = changes.epoch;
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

    /// The feed can't be read.
    pub fn cut_off(&self) {
        let mut state = self.write();
        if state.read_at.elapsed() > TRUSTED_WITHOUT_POSTGRES {
            state.snapshot = None;
        }
    }

    /// Whether an answer may be served that has this stamp and shows these products.
    pub fn is_fresh(&self, class: Class, stamp: &Stamp, products: impl Iterator<Item = Uuid>) -> bool {
        let age = Duration::from_millis(unix_ms().saturating_sub(stamp.made_at_ms));
        if class.shifts() && age > self.settings.list_staleness * 3 / 4 {
            return false;
        }
        let may_lag = class.may_lag() && age < self.settings.list_staleness / 2;
        let state = self.read();
        let seen = &*stamp.snapshot;
        stamp.epoch == state.epoch
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

fn unix_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |since| since.as_millis() as u64)
}
