//! Which answers are worth storing (cache admission): what was asked for twice, and of what wasn't yet only so many bytes
//! a minute. Else requests that never repeat, a crawler's or an attacker's, evict what everybody asks for.

use std::hash::BuildHasher;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Keys that are remembered for a window: 64 KB for each of two windows. A later key may take an earlier one's place.
const SLOTS: usize = 1 << 14;

/// A second request within this time, or within twice of it, counts as one.
const WINDOW: Duration = Duration::from_secs(60);

/// Bounds from the settings, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct AdmissionSettings {
    /// A larger answer is never stored.
    pub max_answer_bytes: usize,
    /// Answers that were asked for once: so much a minute.
    pub first_answers_bytes_per_minute: usize,
}

/// What was asked for of late.
pub struct Admission {
    settings: AdmissionSettings,
    hasher: foldhash::quality::RandomState,
    seen: Mutex<Seen>,
}

struct Seen {
    current: Box<[u32]>,
    before: Box<[u32]>,
    rotated_at: Instant,
    bytes_left: f64,
    filled_at: Instant,
}

impl Admission {
    /// Nothing was asked for yet.
    pub fn new(settings: AdmissionSettings) -> Self {
        let now = Instant::now();
        Self {
            settings,
            hasher: foldhash::quality::RandomState::default(),
            seen: Mutex::new(Seen {
                current: vec![0; SLOTS].into(),
                before: vec![0; SLOTS].into(),
                rotated_at: now,
                bytes_left: settings.first_answers_bytes_per_minute as f64,
                filled_at: now,
            }),
        }
    }

    /// Whether to store this many bytes under a key. `is_repeated` when it is known that others want it as well.
    pub fn admits(&self, key: &str, bytes: usize, is_repeated: bool) -> bool {
        self.admits_at(key, bytes, is_repeated, Instant::now())
    }

    fn admits_at(&self, key: &str, bytes: usize, is_repeated: bool, now: Instant) -> bool {
        if bytes > self.settings.max_answer_bytes {
            return false;
        }
        let hash = self.hasher.hash_one(key);
        let mut seen = self.seen();
        // Both are done for each: a key that is stored now may be evicted, and come again.
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
    /// Remembers a key, and says whether it was known.
    fn note(&mut self, hash: u64, now: Instant) -> bool {
        if now.duration_since(self.rotated_at) > WINDOW {
            std::mem::swap(&mut self.current, &mut self.before);
            self.current.fill(0);
            self.rotated_at = now;
        }
        let slot = hash as usize % SLOTS;
        // The other half of the hash, and never the empty slot's zero.
        let tag = (hash >> 32) as u32 | 1;
        let was_seen = self.current[slot] == tag || self.before[slot] == tag;
        self.current[slot] = tag;
        was_seen
    }

    fn take_bytes(&mut self, bytes: usize, per_minute: usize, now: Instant) -> bool {
        let passed = now.duration_since(self.filled_at).as_secs_f64();
        self.filled_at = now;
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
    fn requests_that_never_repeat_store_so_much_and_no_more() {
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
    fn what_is_asked_for_twice_is_stored_also_when_the_minute_is_used_up() {
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
