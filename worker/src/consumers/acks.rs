//! Batched acknowledgements: one frame for many deliveries where their order allows it.
//!
//! `multiple` acknowledges a delivery and all before it, so a finished delivery waits for the unfinished ones
//! before it. The number of waiting deliveries is bounded: beyond it they are acknowledged one by one,
//! because otherwise a slow message would exhaust the prefetch and stall the queue (head-of-line blocking).

use std::collections::BTreeMap;

/// Unacknowledged deliveries.
#[derive(Debug)]
pub(super) struct Acks {
    /// Whether each delivery is done, by its delivery tag. Tags increase.
    pending: BTreeMap<u64, bool>,
    /// Deliveries that are done but not acknowledged.
    held: usize,
    max_held: usize,
}

/// An acknowledgement frame to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ack {
    /// Acknowledges this delivery and all before it.
    UpTo(u64),
    /// Acknowledges this delivery only.
    Single(u64),
}

impl Acks {
    /// At most `max_held` finished deliveries wait for slower ones.
    pub(super) fn new(max_held: usize) -> Self {
        Self {
            pending: BTreeMap::new(),
            held: 0,
            max_held,
        }
    }

    /// Registers a delivery whose message is being handled.
    pub(super) fn start(&mut self, tag: u64) {
        self.pending.insert(tag, false);
    }

    /// Marks a delivery as done, so that it may be acknowledged.
    pub(super) fn mark_done(&mut self, tag: u64) {
        if let Some(is_done) = self.pending.get_mut(&tag) {
            *is_done = true;
            self.held += 1;
        }
    }

    /// The acknowledgements to send now.
    pub(super) fn take_due(&mut self) -> Vec<Ack> {
        let mut due = Vec::new();
        let mut last = None;
        while let Some(first) = self.pending.first_entry()
            && *first.get()
        {
            last = Some(first.remove_entry().0);
            self.held -= 1;
        }
        due.extend(last.map(Ack::UpTo));
        if self.held > self.max_held {
            due.extend(self.take_held());
        }
        due
    }

    /// All remaining finished deliveries. For shutdown.
    pub(super) fn take_held(&mut self) -> Vec<Ack> {
        self.held = 0;
        let done: Vec<u64> = self
            .pending
            .iter()
            .filter_map(|(tag, is_done)| is_done.then_some(*tag))
            .collect();
        self.pending.retain(|_, is_done| !*is_done);
        done.into_iter().map(Ack::Single).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(tags: std::ops::RangeInclusive<u64>) -> Acks {
        let mut acks = Acks::new(2);
        tags.for_each(|tag| acks.start(tag));
        acks
    }

    #[test]
    fn consecutive_finished_deliveries_share_one_frame() {
        let mut acks = started(1..=4);
        for tag in [2, 1, 3] {
            acks.mark_done(tag);
        }
        assert_eq!(acks.take_due(), [Ack::UpTo(3)]);
        assert_eq!(acks.take_due(), []);
    }

    #[test]
    fn a_bounded_number_of_finished_deliveries_waits_for_a_slower_one() {
        let mut acks = started(1..=6);
        acks.mark_done(2);
        acks.mark_done(3);
        assert_eq!(acks.take_due(), []);
        acks.mark_done(5);
        assert_eq!(acks.take_due(), [Ack::Single(2), Ack::Single(3), Ack::Single(5)]);
        acks.mark_done(1);
        acks.mark_done(4);
        assert_eq!(acks.take_due(), [Ack::UpTo(4)]);
    }

    #[test]
    fn only_finished_deliveries_are_acknowledged_at_shutdown() {
        let mut acks = started(1..=3);
        acks.mark_done(3);
        assert_eq!(acks.take_held(), [Ack::Single(3)]);
        assert_eq!(acks.take_due(), []);
    }
}
