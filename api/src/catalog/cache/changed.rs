//! The changes of one thing that answers depend on, in a bounded amount of memory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::catalog::changes::Snapshot;

/// Transactions that are remembered one by one. More are summed up by a snapshot that shows them all.
const MAX_RECENT: usize = 8;

/// So many changes make all lists stale at once, before they wait for each other.
const BURST: u32 = 10;

/// The transactions that changed it.
#[derive(Debug, Default)]
pub struct Changed {
    recent: Vec<u64>,
    /// Shows all that are no longer in `recent`. An answer made before it counts as stale, perhaps without need.
    older: Option<Arc<Snapshot>>,
}

impl Changed {
    /// Adds one that `snapshot` shows.
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

    /// Whether what was made with this snapshot has all changes.
    pub fn is_shown_by(&self, snapshot: &Snapshot) -> bool {
        self.recent.iter().all(|transaction| snapshot.shows(*transaction))
            && self.older.as_ref().is_none_or(|older| snapshot.includes(older))
    }

    fn is_empty(&self) -> bool {
        self.recent.is_empty() && self.older.is_none()
    }

    fn append(&mut self, later: Self, snapshot: &Arc<Snapshot>) {
        if later.older.is_some() {
            // Shows all that came before it as well.
            *self = later;
            return;
        }
        for transaction in later.recent {
            self.note(transaction, snapshot);
        }
    }
}

/// Changes of many things that many answers depend on: all lists, for each product that is renamed. A few changes count
/// at once; when they keep coming, they count together, once an interval.
#[derive(Debug)]
pub struct ChangedTogether {
    counted: Changed,
    waiting: Changed,
    /// Of the last change that waits.
    snapshot: Arc<Snapshot>,
    interval: Duration,
    tokens: u32,
    filled_at: Instant,
}

impl ChangedTogether {
    /// Nothing has changed.
    pub fn new(interval: Duration, now: Instant) -> Self {
        Self {
            counted: Changed::default(),
            waiting: Changed::default(),
            snapshot: Arc::default(),
            interval,
            tokens: BURST,
            filled_at: now,
        }
    }

    /// Adds a change. It counts from the next [`ChangedTogether::release`] that may.
    pub fn note(&mut self, transaction: u64, snapshot: &Arc<Snapshot>) {
        self.waiting.note(transaction, snapshot);
        self.snapshot = snapshot.clone();
    }

    /// Lets the changes that wait count, unless that happened too often of late.
    pub fn release(&mut self, now: Instant) {
        let passed = now.duration_since(self.filled_at).as_nanos() / self.interval.as_nanos().max(1);
        if passed > 0 {
            self.tokens = BURST.min(
                self.tokens
                    .saturating_add(u32::try_from(passed).unwrap_or(u32::MAX)),
            );
            self.filled_at = now;
        }
        if !self.waiting.is_empty() && self.tokens > 0 {
            self.tokens -= 1;
            self.counted
                .append(std::mem::take(&mut self.waiting), &self.snapshot);
        }
    }

    /// Whether what was made with this snapshot has all changes that count.
    pub fn is_shown_by(&self, snapshot: &Snapshot) -> bool {
        self.counted.is_shown_by(snapshot)
    }

    /// As if nothing had changed.
    pub fn forget(&mut self) {
        self.counted = Changed::default();
        self.waiting = Changed::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(text: &str) -> Arc<Snapshot> {
        Arc::new(Snapshot::parse(text).unwrap())
    }

    #[test]
    fn an_answer_is_stale_until_it_was_made_with_every_change() {
        let mut changed = Changed::default();
        changed.note(12, &snapshot("13:13:"));
        assert!(!changed.is_shown_by(&snapshot("10:12:")));
        assert!(
            !changed.is_shown_by(&snapshot("12:14:12")),
            "its commit came late"
        );
        assert!(changed.is_shown_by(&snapshot("11:14:11")));
    }

    #[test]
    fn many_changes_are_summed_up_and_none_is_forgotten() {
        let mut changed = Changed::default();
        for transaction in 10..40 {
            changed.note(transaction, &snapshot(&format!("{0}:{0}:", transaction + 1)));
            assert!(!changed.is_shown_by(&snapshot(&format!("{transaction}:{transaction}:"))));
            assert!(changed.is_shown_by(&snapshot(&format!("{0}:{0}:", transaction + 1))));
        }
        assert!(changed.recent.len() <= MAX_RECENT);
    }

    #[test]
    fn changes_that_keep_coming_count_together() {
        let start = Instant::now();
        let mut lists = ChangedTogether::new(Duration::from_secs(2), start);
        let mut released = 0;
        for step in 0..400_u64 {
            let transaction = 100 + step;
            lists.note(transaction, &snapshot(&format!("{0}:{0}:", transaction + 1)));
            lists.release(start + Duration::from_millis(250 * step));
            if !lists.is_shown_by(&snapshot(&format!("{transaction}:{transaction}:"))) {
                released += 1;
            }
        }
        // A hundred seconds: ten at once, then one every two seconds.
        assert!((55..=61).contains(&released), "{released}");
        lists.release(start + Duration::from_secs(110));
        assert!(
            !lists.is_shown_by(&snapshot("499:499:")),
            "the last counts as well"
        );
    }
}
