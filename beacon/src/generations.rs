//! A set of batch ids that forgets: two generations, the older dropped when the younger is full.

use std::collections::BTreeSet;

use fresnel_types::BatchId;
use wincode::{SchemaRead, SchemaWrite};

use crate::limits::BATCH_IDS_PER_GENERATION;

/// Recent batch ids, at most two generations of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub(crate) struct Generations {
    young: BTreeSet<BatchId>,
    old: BTreeSet<BatchId>,
}

impl Generations {
    /// Adds an id.
    pub(crate) fn insert(&mut self, id: BatchId) {
        if self.young.len() >= BATCH_IDS_PER_GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(id);
    }

    /// Whether the id was added recently.
    pub(crate) fn contains(&self, id: &BatchId) -> bool {
        self.young.contains(id) || self.old.contains(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten_and_the_number_is_bounded() {
        let id = |n: usize| BatchId::of(&n.to_le_bytes());
        let mut ids = Generations::default();
        for n in 0..3 * BATCH_IDS_PER_GENERATION {
            ids.insert(id(n));
            assert!(ids.contains(&id(n)));
        }
        assert!(!ids.contains(&id(0)));
        assert!(ids.contains(&id(2 * BATCH_IDS_PER_GENERATION - 1)));
        assert!(ids.young.len() + ids.old.len() <= 2 * BATCH_IDS_PER_GENERATION);
    }
}
