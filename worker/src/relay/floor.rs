//! From where on the relay looks: so that it doesn't walk what it has deleted.
//!
//! A deleted row stays in the index until vacuum may remove it, and while an old snapshot is open (a backup) that is none
//! of them. Each window would step over all that were deleted since. So the relay remembers up to where there is nothing
//! any more.
//!
//! Ids are taken when a row is inserted, and rows are seen when their transaction commits: one with a low id may come late.
//! So what was seen counts only when every transaction that ran at that time has ended. One that takes longer than
//! [`PATIENCE`], such as an import, isn't waited for; its rows, those that were held back, and those that another relay left
//! are found by a full look, now and then.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// A transaction that writes an event and is open for longer than this has it found by the next full look.
const PATIENCE: Duration = Duration::from_secs(2);

/// A mark for each window would be thousands.
const BETWEEN_MARKS: Duration = Duration::from_millis(100);

/// What one claim has seen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    /// The last row that it got.
    pub(super) last_id: i64,
    /// Whether there were no more.
    pub(super) is_all: bool,
    /// Of its snapshot: transactions below it had ended.
    pub(super) xmin: i64,
    /// Of its snapshot: transactions from it on had not begun.
    pub(super) xmax: i64,
    pub(super) at: Instant,
}

/// An id below which there will be nothing once a transaction's number is below all that run.
#[derive(Debug, Clone, Copy)]
struct Mark {
    id: i64,
    xmax: i64,
    at: Instant,
}

#[derive(Debug)]
pub(super) struct Floor {
    floor: i64,
    /// The oldest first.
    marks: VecDeque<Mark>,
    full_look: Duration,
    last_full_look: Option<Instant>,
}

impl Floor {
    /// With so much time between two full looks. The first is at once.
    pub(super) fn new(full_look: Duration) -> Self {
        Self {
            floor: 0,
            marks: VecDeque::new(),
            full_look,
            last_full_look: None,
        }
    }

    /// The lowest id that the next claim looks at.
    pub(super) fn from(&mut self, now: Instant) -> i64 {
        let is_due = self
            .last_full_look
            .is_none_or(|last| now.duration_since(last) >= self.full_look);
        if is_due {
            self.last_full_look = Some(now);
            return 0;
        }
        while let Some(mark) = self.marks.front()
            && now.duration_since(mark.at) > PATIENCE
        {
            self.floor = self.floor.max(mark.id);
            self.marks.pop_front();
        }
        self.floor
    }

    /// A claim got rows.
    pub(super) fn claimed(&mut self, seen: Seen) {
        let Seen { last_id, .. } = seen;
        // This snapshot has what came late to those marks, and so did this claim, up to its last row.
        while let Some(mark) = self.marks.front()
            && mark.xmax <= seen.xmin
        {
            let up_to = if seen.is_all {
                mark.id
            } else {
                mark.id.min(last_id + 1)
            };
            self.floor = self.floor.max(up_to);
            self.marks.pop_front();
        }
        let mark = Mark {
            id: last_id + 1,
            xmax: seen.xmax,
            at: seen.at,
        };
        let is_crowded = self
            .marks
            .back()
            .is_some_and(|mark| seen.at.duration_since(mark.at) < BETWEEN_MARKS);
        // The first always stays, so that the floor rises under any load.
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

    fn seen(last_id: i64, xmin: i64, xmax: i64, at: Instant) -> Seen {
        Seen {
            last_id,
            is_all: true,
            xmin,
            xmax,
            at,
        }
    }

    #[test]
    fn the_floor_rises_when_all_that_ran_have_ended() {
        let now = Instant::now();
        let later = now + Duration::from_millis(200);
        let mut floor = Floor::new(NEVER);
        assert_eq!(floor.from(now), 0);
        // Transaction 90 runs: it may have taken an id below 8.
        floor.claimed(seen(7, 90, 100, now));
        assert_eq!(floor.from(now), 0);
        floor.claimed(seen(20, 95, 110, later));
        assert_eq!(floor.from(later), 0, "95 runs, which is below 100");
        floor.claimed(seen(30, 100, 120, later));
        assert_eq!(floor.from(later), 8);
    }

    #[test]
    fn a_window_that_was_cut_at_its_size_raises_the_floor_no_higher_than_its_last_row() {
        let now = Instant::now();
        let mut floor = Floor::new(NEVER);
        floor.from(now);
        floor.claimed(seen(50, 90, 100, now));
        // What came late filled the whole window.
        let cut = Seen {
            is_all: false,
            ..seen(30, 100, 120, now)
        };
        floor.claimed(cut);
        assert_eq!(floor.from(now), 31);
    }

    #[test]
    fn a_transaction_that_stays_open_is_waited_for_a_while_and_then_found_by_a_full_look() {
        let now = Instant::now();
        let mut floor = Floor::new(Duration::from_secs(5));
        assert_eq!(floor.from(now), 0);
        floor.claimed(seen(7, 90, 100, now));
        assert_eq!(floor.from(now + Duration::from_secs(1)), 0);
        assert_eq!(floor.from(now + Duration::from_secs(3)), 8);
        assert_eq!(floor.from(now + Duration::from_secs(5)), 0);
        assert_eq!(floor.from(now + Duration::from_secs(6)), 8);
    }
}
