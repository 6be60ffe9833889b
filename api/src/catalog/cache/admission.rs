//! Cache admission: an answer is stored when it was requested twice. Answers that were requested once are stored within
//! a budget of bytes per minute. Otherwise requests that never repeat, a crawler's or an attacker's, would evict popular
//! answers (cache pollution).

use std::hash::BuildHasher;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Keys remembered per window: 64 KB for each of two windows. On a collision, the later key replaces the earlier one.
const SLOTS: usize = 1 << 14;

/// A request within this time of an earlier one counts as a repetition, and may count up to twice this time later.
const WINDOW: Duration = Duration::from_secs(60);

/// Bounds from the settings, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct AdmissionSettings {
    /// A larger answer is never stored.
    pub max_answer_bytes: usize,
    /// The budget for answers that were requested once.
    pub first_answers_bytes_per_minute: usize,
}

/// Remembers recently requested keys.
pub struct Admission {
    settings: AdmissionSettings,
    hasher: foldhash::quality::RandomState,
    seen: Mutex<Seen>,
}

/// The keys of two windows, and a token bucket of bytes.
struct Seen {
    current: Box<[u32]>,
    previous: Box<[u32]>,
    rotated_at: Instant,
    bytes_left: f64,
    refilled_at: Instant,
}

impl Admission {
    /// Begins with the full budget of a minute, and without known keys.
    pub fn new(settings: AdmissionSettings) -> Self {
        let now = Instant::now();
        Self {
            settings,
            hasher: foldhash::quality::RandomState::default(),
            seen: Mutex::new(Seen {
                current: vec![0; SLOTS].into(),
                previous: vec![0; SLOTS].into(),
                rotated_at: now,
                bytes_left: settings.first_answers_bytes_per_minute as f64,
                refilled_at: now,
            }),
        }
    }

    /// Whether to store an answer of this size. `is_repeated` if other requests are known to need it.
    pub fn admits(&self, key: &str, bytes: usize, is_repeated: bool) -> bool {
        self.admits_at(key, bytes, is_repeated, Instant::now())
    }

    fn admits_at(&self, key: &str, bytes: usize, is_repeated: bool, now: Instant) -> bool {
        if bytes > self.settings.max_answer_bytes {
            return false;
        }
        let hash = self.hasher.hash_one(key);
        let mut seen = self.seen();
        // Also for a repeated key, because its answer may be evicted and requested again.
        let was_seen = seen.note(hash, now);
        if is_repeated || was_seen {
            return true;
        }
        seen.take_bytes(bytes, self.settings.first_answers_bytes_per_minute, now)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Seen {
    /// Remembers a key. `true` if it was known.
    fn note(&mut self, hash: u64, now: Instant) -> bool {
        if now.duration_since(self.rotated_at) > WINDOW {
            std::mem::swap(&mut self.current, &mut self.previous);
            self.current.fill(0);
            self.rotated_at = now;
        }
        let slot = hash as usize % SLOTS;
        // The other half of the hash, never zero, because zero marks an empty slot.
        let tag = (hash >> 32) as u32 | 1;
        let was_seen = self.current[slot] == tag || self.previous[slot] == tag;
        self.current[slot] = tag;
        was_seen
    }

    fn take_bytes(&mut self, bytes: usize, per_minute: usize, now: Instant) -> bool {
        let passed = now.duration_since(self.refilled_at).as_secs_f64();
        self.refilled_at = now;
        let per_minute = per_minute as f64;
        self.bytes_left = per_minute.min(self.bytes_left + passed / 60.0 * per_minute);
        let is_enough = self.bytes_left >= bytes as f64;
        if is_enough {
            self.bytes_left -= bytes as f64;
        }
        is_enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission() -> Admission {
        Admission::new(AdmissionSettings {
            max_answer_bytes: 1_000,
            first_answers_bytes_per_minute: 10_000,
        })
    }

    #[test]
    fn requests_that_never_repeat_store_no_more_than_their_budget() {
        let (admission, now) = (admission(), Instant::now());
        let stored = |count: usize, now| {
            let keys = (0..count).map(|_| uuid::Uuid::now_v7().to_string());
            keys.filter(|key| admission.admits_at(key, 100, false, now))
                .count()
        };
        assert_eq!(stored(1_300, now), 100);
        assert_eq!(stored(1_300, now + Duration::from_secs(30)), 50);
    }

    #[test]
    fn a_repeated_request_is_stored_even_when_the_budget_is_exhausted() {
        let (admission, now) = (admission(), Instant::now());
        let stored = (0..200).filter(|index| admission.admits_at(&format!("{index}"), 100, false, now));
        assert_eq!(stored.count(), 100);
        assert!(!admission.admits_at("late", 100, false, now));
        assert!(admission.admits_at("late", 100, false, now + Duration::from_secs(1)));
        assert!(admission.admits_at("shared", 100, true, now));
    }

    #[test]
    fn a_large_answer_is_never_stored() {
        let admission = admission();
        assert!(!admission.admits("large", 1_001, true));
        assert!(!admission.admits("large", 1_001, true));
    }
}
