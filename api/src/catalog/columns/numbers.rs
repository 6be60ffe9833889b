//! Dense numbers for brands and for categories: what a column holds in place of a UUID, a quarter of its width, and
//! what counts are indexed by.

use std::collections::HashMap;

use uuid::Uuid;

/// From ids to numbers, counted from 0, and back. A number is never given to another id.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    by_id: HashMap<Uuid, u32, foldhash::fast::RandomState>,
    ids: Vec<Uuid>,
}

impl Numbers {
    /// The number of an id, which gets one if it has none.
    pub(super) fn of(&mut self, id: Uuid) -> u32 {
        let next = self.ids.len() as u32;
        let number = *self.by_id.entry(id).or_insert(next);
        if number == next {
            self.ids.push(id);
        }
        number
    }

    /// The number of an id, if a product ever had it.
    pub(super) fn find(&self, id: Uuid) -> Option<u32> {
        self.by_id.get(&id).copied()
    }

    /// How many numbers there are.
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Counts by number, as counts by id, without those that are 0.
    pub(super) fn named(&self, counts: &[u32]) -> Vec<(Uuid, u32)> {
        let pairs = self.ids.iter().copied().zip(counts.iter().copied());
        pairs.filter(|(_, count)| *count > 0).collect()
    }

    pub(super) fn bytes(&self) -> usize {
        self.ids.capacity() * size_of::<Uuid>() + self.by_id.capacity() * (size_of::<(Uuid, u32)>() + 1)
    }
}
