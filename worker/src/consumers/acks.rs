//! Acknowledgements, many in one frame where the order allows it.
//!
//! `multiple` acknowledges a delivery and all before it. So what is done waits for what was delivered before it, as long
//! as that isn't much: a message that takes long would else keep the broker from delivering others. What waits longer is
//! acknowledged singly.

use std::collections::BTreeMap;

/// Deliveries that were begun and not acknowledged.
#[derive(Debug)]
pub(super) struct Acks {
    /// By the delivery's tag, which grows; whether it is done.
    begun: BTreeMap<u64, bool>,
    /// How many of them are done.
    held: usize,
    most_held: usize,
}

/// A frame to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ack {
    /// This delivery and all before it.
    UpTo(u64),
    /// This one.
    Of(u64),
}

impl Acks {
    /// At most so many wait for others.
    pub(super) fn new(most_held: usize) -> Self {
        Self {
            begun: BTreeMap::new(),
            held: 0,
            most_held,
        }
    }

    /// A delivery is worked on.
    pub(super) fn begin(&mut self, tag: u64) {
        self.begun.insert(tag, false);
    }

    /// It is done, and may be acknowledged.
    pub(super) fn done(&mut self, tag: u64) {
        if let Some(is_done) = self.begun.get_mut(&tag) {
            *is_done = true;
            self.held += 1;
        }
    }

    /// What to send now.
    pub(super) fn due(&mut self) -> Vec<Ack> {
        let mut due = Vec::new();
        let mut last = None;
        while let Some(first) = self.begun.first_entry()
            && *first.get()
        {
            last = Some(first.remove_entry().0);
            self.held -= 1;
        }
        due.extend(last.map(Ack::UpTo));
        if self.held > self.most_held {
            due.extend(self.all_held());
        }
        due
    }

    /// What else is done: when the work ends.
    pub(super) fn all_held(&mut self) -> Vec<Ack> {
        self.held = 0;
        let done: Vec<u64> = self
            .begun
            .iter()
            .filter_map(|(tag, is_done)| is_done.then_some(*tag))
            .collect();
        self.begun.retain(|_, is_done| !*is_done);
        done.into_iter().map(Ack::Of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(tags: std::ops::RangeInclusive<u64>) -> Acks {
        let mut acks = Acks::new(2);
        tags.for_each(|tag| acks.begin(tag));
        acks
    }

    #[test]
    fn all_that_are_done_in_a_row_go_in_one_frame() {
        let mut acks = begun(1..=4);
        for tag in [2, 1, 3] {
            acks.done(tag);
        }
        assert_eq!(acks.due(), [Ack::UpTo(3)]);
        assert_eq!(acks.due(), []);
    }

    #[test]
    fn what_is_done_waits_for_a_slower_one_before_it_but_not_many() {
        let mut acks = begun(1..=6);
        acks.done(2);
        acks.done(3);
        assert_eq!(acks.due(), []);
        acks.done(5);
        assert_eq!(acks.due(), [Ack::Of(2), Ack::Of(3), Ack::Of(5)]);
        acks.done(1);
        acks.done(4);
        assert_eq!(acks.due(), [Ack::UpTo(4)]);
    }

    #[test]
    fn nothing_that_is_not_done_is_acknowledged_at_the_end() {
        let mut acks = begun(1..=3);
        acks.done(3);
        assert_eq!(acks.all_held(), [Ack::Of(3)]);
        assert_eq!(acks.due(), []);
    }
}
