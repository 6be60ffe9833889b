//! The relay's low-water mark: the id below which no rows remain, so that scans skip deleted rows.
//!
//! A deleted row stays in the index until vacuum may remove it. While an old snapshot is open (a backup, for
//! example) vacuum removes none, and each window would step over all rows deleted since.
//!
//! An id is assigned when its row is inserted, but the row becomes visible when its transaction commits,
//! so a row with a low id may appear late. The mark therefore advances only after all transactions that
//! ran during a scan have ended. It doesn't wait for a transaction longer than [`MAX_WAIT`], such as an
//! import. The rows of such a transaction, unroutable events, and rows left by another relay are found by
//! a periodic full scan.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Events of a transaction that stays open for longer than this are found by the next full scan.
const MAX_WAIT: Duration = Duration::from_secs(2);

/// Limits the number of pending marks, which would be thousands with one for each window.
const MARK_INTERVAL: Duration = Duration::from_millis(100);

/// The rows that one window claimed, and the snapshot of that statement.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClaimedRows {
    /// The highest claimed id.
    pub(super) last_id: i64,
    /// Whether no further rows were visible.
    pub(super) is_all: bool,
    /// Transactions below this number had ended.
    pub(super) xmin: i64,
    /// Transactions from this number on had not begun.
    pub(super) xmax: i64,
    pub(super) at: Instant,
}

/// A pending mark: no rows remain below `id` once all transactions below `xmax` have ended.
#[derive(Debug, Clone, Copy)]
struct Mark {
    id: i64,
    xmax: i64,
    at: Instant,
}

#[derive(Debug)]
pub(super) struct LowWaterMark {
    id: i64,
    /// Oldest first.
    marks: VecDeque<Mark>,
    full_scan: Duration,
    last_full_scan: Option<Instant>,
}

impl LowWaterMark {
    /// `full_scan` is the interval of full scans. The first scan is a full one.
    pub(super) fn new(full_scan: Duration) -> Self {
        Self {
            id: 0,
            marks: VecDeque::new(),
            full_scan,
            last_full_scan: None,
        }
    }

    /// The lowest id that the next claim has to scan.
    pub(super) fn scan_start(&mut self, now: Instant) -> i64 {
        let is_due = self
            .last_full_scan
            .is_none_or(|last| now.duration_since(last) >= self.full_scan);
        if is_due {
            self.last_full_scan = Some(now);
            return 0;
        }
        while let Some(mark) = self.marks.front()
            && now.duration_since(mark.at) > MAX_WAIT
        {
            self.id = self.id.max(mark.id);
            self.marks.pop_front();
        }
        self.id
    }

    /// Advances the mark after a claim.
    pub(super) fn advance(&mut self, claimed: ClaimedRows) {
        let ClaimedRows { last_id, .. } = claimed;
        // All transactions pending at these marks have ended, so this claim saw their rows, up to its own
        // last row.
        while let Some(mark) = self.marks.front()
            && mark.xmax <= claimed.xmin
        {
            let up_to = if claimed.is_all {
                mark.id
            } else {
                mark.id.min(last_id + 1)
            };
            self.id = self.id.max(up_to);
            self.marks.pop_front();
        }
        let mark = Mark {
            id: last_id + 1,
            xmax: claimed.xmax,
            at: claimed.at,
        };
        let is_crowded = self
            .marks
            .back()
            .is_some_and(|mark| claimed.at.duration_since(mark.at) < MARK_INTERVAL);
        // The first mark always stays, so that the low-water mark advances under any load.
        if is_crowded && self.marks.len() > 1 {
            self.marks.pop_back();
        }
        self.marks.push_back(mark);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEVER: Duration = Duration::from_secs(3600);

    fn claimed(last_id: i64, xmin: i64, xmax: i64, at: Instant) -> ClaimedRows {
        ClaimedRows {
            last_id,
            is_all: true,
            xmin,
            xmax,
            at,
        }
    }

    #[test]
    fn the_mark_advances_when_all_concurrent_transactions_have_ended() {
        let now = Instant::now();
        let later = now + Duration::from_millis(200);
        let mut low_water_mark = LowWaterMark::new(NEVER);
        assert_eq!(low_water_mark.scan_start(now), 0);
        // Transaction 90 is open and may have inserted a row with an id below 8.
        low_water_mark.advance(claimed(7, 90, 100, now));
        assert_eq!(low_water_mark.scan_start(now), 0);
        low_water_mark.advance(claimed(20, 95, 110, later));
        assert_eq!(
            low_water_mark.scan_start(later),
            0,
            "95 is open, which is below 100"
        );
        low_water_mark.advance(claimed(30, 100, 120, later));
        assert_eq!(low_water_mark.scan_start(later), 8);
    }

    #[test]
    fn a_full_window_advances_the_mark_no_further_than_its_last_row() {
        let now = Instant::now();
        let mut low_water_mark = LowWaterMark::new(NEVER);
        low_water_mark.scan_start(now);
        low_water_mark.advance(claimed(50, 90, 100, now));
        // Rows that became visible late fill the whole window.
        let full = ClaimedRows {
            is_all: false,
            ..claimed(30, 100, 120, now)
        };
        low_water_mark.advance(full);
        assert_eq!(low_water_mark.scan_start(now), 31);
    }

    #[test]
    fn a_long_transaction_holds_the_mark_for_a_limited_time_and_is_then_found_by_a_full_scan() {
        let now = Instant::now();
        let mut low_water_mark = LowWaterMark::new(Duration::from_secs(5));
        assert_eq!(low_water_mark.scan_start(now), 0);
        low_water_mark.advance(claimed(7, 90, 100, now));
        assert_eq!(low_water_mark.scan_start(now + Duration::from_secs(1)), 0);
        assert_eq!(low_water_mark.scan_start(now + Duration::from_secs(3)), 8);
        assert_eq!(low_water_mark.scan_start(now + Duration::from_secs(5)), 0);
        assert_eq!(low_water_mark.scan_start(now + Duration::from_secs(6)), 8);
    }
}
