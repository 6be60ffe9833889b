//! When things happened, and the ids that follow from it.
//!
//! All times lie in the three years before a fixed date, never before *now*: data made tomorrow is the data made today.
//! Times grow with the index of a row; an eighth of the blocks of four neighbours share one timestamp, because bulk
//! imports do that and cursors must get it right. Ids are UUIDv7 of those times, and grow with the index, too.

use uuid::Uuid;

use super::rng::{Purpose, RowRng};

/// 2026-10-01T00:00:00Z in microseconds of Unix time: the day up to which the catalogue's history goes.
pub const HISTORY_END_US: i64 = 1_790_812_800_000_000;

/// Three years.
pub const HISTORY_US: i64 = 3 * 365 * 86_400 * 1_000_000;

/// How many neighbours share a timestamp when they share one.
const TIE_BLOCK: u64 = 4;

/// `count` moments between `start_us` and the end of history, one for each index.
#[derive(Debug, Clone, Copy)]
pub struct Timeline {
    seed: u64,
    table: Purpose,
    start_us: i64,
    step_us: i64,
}

impl Timeline {
    /// Spreads `count` moments evenly, with some jitter.
    pub fn new(seed: u64, table: Purpose, start_us: i64, count: u64) -> Self {
        let step_us = (HISTORY_END_US - start_us) / count as i64;
        Self {
            seed,
            table,
            start_us,
            step_us,
        }
    }

    /// The time from one row to the next, on average.
    pub const fn step_us(&self) -> i64 {
        self.step_us
    }

    /// The moment of a row, in microseconds of Unix time. Never less than the moment of the row before.
    pub fn at_us(&self, index: u64) -> i64 {
        let block = index / TIE_BLOCK;
        let mut rng = RowRng::new(self.seed, Purpose::Moment, ((self.table as u64) << 48) | block);
        let tied = rng.below(8) == 0;
        let index = if tied { block * TIE_BLOCK } else { index };
        let slot = if tied { 0 } else { index % TIE_BLOCK };
        // Each of the block's rows has its own jitter, below its step, so that rows stay in order.
        let mut jitter = rng.bits();
        for _ in 0..slot {
            jitter = rng.bits();
        }
        self.start_us + index as i64 * self.step_us + (jitter % (self.step_us as u64 * 9 / 10)) as i64
    }
}

/// A UUIDv7 at a time, which grows with `index` and `position` among rows that share the time.
///
/// Its twelve bits behind the milliseconds count instead of being random, as RFC 9562 allows (section 6.2, method 1):
/// two for the row's place among four that tie, six for the position below it, four at random.
pub fn uuid_at(at_us: i64, index: u64, position: u64, rng: &mut RowRng) -> Uuid {
    debug_assert!(position < 64, "position {position} does not fit into six bits");
    let random = rng.bits();
    let counter = ((index % TIE_BLOCK) << 10) | (position << 4) | (random >> 60);
    let high = ((at_us as u64 / 1_000) << 16) | (0x7 << 12) | counter;
    let low = (0b10 << 62) | (rng.bits() >> 2);
    Uuid::from_u64_pair(high, low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_ids_grow_and_some_times_tie() {
        let timeline = Timeline::new(1, Purpose::Product, HISTORY_END_US - HISTORY_US, 4_000);
        let rows: Vec<(i64, Uuid)> = (0..4_000)
            .map(|index| {
                let at_us = timeline.at_us(index);
                let id = uuid_at(at_us, index, 0, &mut RowRng::new(1, Purpose::Product, index));
                (at_us, id)
            })
            .collect();
        let ties = rows.windows(2).filter(|pair| pair[0].0 == pair[1].0).count();
        assert!((200..600).contains(&ties), "{ties} neighbours tie");
        assert!(
            rows.windows(2)
                .all(|pair| pair[0].0 <= pair[1].0 && pair[0].1 < pair[1].1)
        );
        assert!(rows.iter().all(|(at_us, id)| {
            let (seconds, nanos) = id.get_timestamp().expect("version 7").to_unix();
            seconds as i64 * 1_000 + i64::from(nanos) / 1_000_000 == at_us / 1_000
        }));
        assert!(rows.last().expect("rows").0 < HISTORY_END_US);
    }
}
