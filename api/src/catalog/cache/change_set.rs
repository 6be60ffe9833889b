//! The changes of one dependency of cached answers, in bounded memory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::catalog::changes::Snapshot;

/// Transactions remembered individually. Beyond that, a snapshot that includes all of them replaces them.
const MAX_RECENT: usize = 8;

/// Capacity of the token bucket: this many changes take effect immediately, later ones are batched.
const BURST: u32 = 10;

/// The transactions that changed the dependency.
#[derive(Debug, Default)]
pub struct ChangeSet {
    recent: Vec<u64>,
    /// Includes all transactions that were removed from `recent`. An answer made before it counts as stale, which may be
    /// a false positive.
    older: Option<Arc<Snapshot>>,
}

impl ChangeSet {
    /// Adds a transaction that `snapshot` includes.
    pub fn note(&mut self, transaction: u64, snapshot: &Arc<Snapshot>) {
        if self.recent.contains(&transaction) {
            return;
        }
        if self.recent.len() < MAX_RECENT {
            self.recent.push(transaction);
        } else {
            self.recent.clear();
            self.older = Some(snapshot.clone());
        }
    }

    /// Whether an answer made with this snapshot reflects all changes.
    pub fn is_visible_in(&self, snapshot: &Snapshot) -> bool {
        self.recent.iter().all(|transaction| snapshot.sees(*transaction))
            && self.older.as_ref().is_none_or(|older| snapshot.includes(older))
    }

    fn is_empty(&self) -> bool {
        self.recent.is_empty() && self.older.is_none()
    }

    fn append(&mut self, later: Self, snapshot: &Arc<Snapshot>) {
        if later.older.is_some() {
            // Its snapshot includes all earlier transactions as well.
            *self = later;
            return;
        }
        for transaction in later.recent {
            self.note(transaction, snapshot);
        }
    }
}

/// Changes that make many answers stale; each renamed product makes all lists stale, for example. A few changes take
/// effect immediately. If more follow, they take effect in batches, one per interval (token bucket).
#[derive(Debug)]
pub struct RateLimitedChangeSet {
    effective: ChangeSet,
    pending: ChangeSet,
    /// The snapshot of the last pending change.
    snapshot: Arc<Snapshot>,
    interval: Duration,
    tokens: u32,
    refilled_at: Instant,
}

impl RateLimitedChangeSet {
    /// Begins with all tokens. `interval` is the time after which a used token returns.
    pub fn new(interval: Duration, now: Instant) -> Self {
        Self {
            effective: ChangeSet::default(),
            pending: ChangeSet::default(),
            snapshot: Arc::default(),
            interval,
            tokens: BURST,
            refilled_at: now,
        }
    }

    /// Adds a pending change. [`RateLimitedChangeSet::release`] makes it effective.
    pub fn note(&mut self, transaction: u64, snapshot: &Arc<Snapshot>) {
        self.pending.note(transaction, snapshot);
        self.snapshot = snapshot.clone();
    }

    /// Makes pending changes effective, if the token bucket isn't empty.
    pub fn release(&mut self, now: Instant) {
        let passed = now.duration_since(self.refilled_at).as_nanos() / self.interval.as_nanos().max(1);
        if passed > 0 {
            self.tokens = BURST.min(
                self.tokens
                    .saturating_add(u32::try_from(passed).unwrap_or(u32::MAX)),
            );
            self.refilled_at = now;
        }
        if !self.pending.is_empty() && self.tokens > 0 {
            self.tokens -= 1;
            self.effective
                .append(std::mem::take(&mut self.pending), &self.snapshot);
        }
    }

    /// Whether an answer made with this snapshot reflects all effective changes.
    pub fn is_visible_in(&self, snapshot: &Snapshot) -> bool {
        self.effective.is_visible_in(snapshot)
    }

    /// Removes all changes.
    pub fn clear(&mut self) {
        self.effective = ChangeSet::default();
        self.pending = ChangeSet::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(text: &str) -> Arc<Snapshot> {
        Arc::new(Snapshot::parse(text).unwrap())
    }

    #[test]
    fn an_answer_is_stale_unless_its_snapshot_includes_every_change() {
        let mut changed = ChangeSet::default();
        changed.note(12, &snapshot("13:13:"));
        assert!(!changed.is_visible_in(&snapshot("10:12:")));
        assert!(!changed.is_visible_in(&snapshot("12:14:12")), "it committed late");
        assert!(changed.is_visible_in(&snapshot("11:14:11")));
    }

    #[test]
    fn many_changes_are_summarized_and_none_is_lost() {
        let mut changed = ChangeSet::default();
        for transaction in 10..40 {
            changed.note(transaction, &snapshot(&format!("{0}:{0}:", transaction + 1)));
            assert!(!changed.is_visible_in(&snapshot(&format!("{transaction}:{transaction}:"))));
            assert!(changed.is_visible_in(&snapshot(&format!("{0}:{0}:", transaction + 1))));
        }
        assert!(changed.recent.len() <= MAX_RECENT);
    }

    #[test]
    fn frequent_changes_take_effect_in_batches() {
        let start = Instant::now();
        let mut lists = RateLimitedChangeSet::new(Duration::from_secs(2), start);
        let mut released = 0;
        for step in 0..400_u64 {
            let transaction = 100 + step;
            lists.note(transaction, &snapshot(&format!("{0}:{0}:", transaction + 1)));
            lists.release(start + Duration::from_millis(250 * step));
            if !lists.is_visible_in(&snapshot(&format!("{transaction}:{transaction}:"))) {
                released += 1;
            }
        }
        // In a hundred seconds, ten immediately, then one every two seconds.
        assert!((55..=61).contains(&released), "{released}");
        lists.release(start + Duration::from_secs(110));
        assert!(
            !lists.is_visible_in(&snapshot("499:499:")),
            "the last change takes effect as well"
        );
    }
}
