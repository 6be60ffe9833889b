//! Dictionary encoding of brands and categories: a column stores a dense code instead of a UUID, a quarter of its width,
//! and counts are indexed by the code.

use std::collections::HashMap;

use uuid::Uuid;

/// Maps ids to codes from 0 upwards, and back. A code is never reused for another id.
#[derive(Debug, Default)]
pub(super) struct Dictionary {
    codes: HashMap<Uuid, u32, foldhash::fast::RandomState>,
    ids: Vec<Uuid>,
}

impl Dictionary {
    /// The code of an id, assigned if necessary.
    pub(super) fn encode(&mut self, id: Uuid) -> u32 {
        let next = self.ids.len() as u32;
        let code = *self.codes.entry(id).or_insert(next);
        if code == next {
            self.ids.push(id);
        }
        code
    }

    /// The code of an id. `None` if no product ever had it.
    pub(super) fn find(&self, id: Uuid) -> Option<u32> {
        self.codes.get(&id).copied()
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Converts counts by code to counts by id, without zeros.
    pub(super) fn decode_counts(&self, counts: &[u32]) -> Vec<(Uuid, u32)> {
        let pairs = self.ids.iter().copied().zip(counts.iter().copied());
        pairs.filter(|(_, count)| *count > 0).collect()
    }

    pub(super) fn bytes(&self) -> usize {
        self.ids.capacity() * size_of::<Uuid>() + self.codes.capacity() * (size_of::<(Uuid, u32)>() + 1)
    }
}
