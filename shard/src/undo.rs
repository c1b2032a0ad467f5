//! What takes back the last blocks' changes of the state, so that states which are certified by now can be proven.
//!
//! The tree knows its newest state only. For a proof of an older one the changes since are taken back, the ways are read,
//! and the changes are made again: no hash is kept for it, only the values that blocks replaced. That costs the tree as
//! much as the blocks did, twice; so no more may be taken back than blocks have changed meanwhile, whoever asks.

use std::collections::{BTreeMap, VecDeque};

use fresnel_types::{BlockIndex, StateKey, Timestamp, WriteSet};

use crate::limits::{PROVABLE_MICROS, UNDO_CHANGES_MAX, UNDONE_AT_ONCE_MAX};

/// The undo lists of the last blocks with a record.
#[derive(Debug, Default)]
pub(crate) struct Undo {
    /// Ascending by block.
    blocks: VecDeque<Taken>,
    /// The changes of all of them.
    changes: usize,
    /// The last block whose changes cannot be taken back any more, but as they were after it the leaves are known.
    oldest: BlockIndex,
    /// How many changes may be taken back now.
    allowed: usize,
}

#[derive(Debug)]
struct Taken {
    block: BlockIndex,
    at: Timestamp,
    before: WriteSet,
}

impl Undo {
    /// A block was executed; `before` takes its changes back.
    pub(crate) fn executed(&mut self, now: Timestamp, block: BlockIndex, before: WriteSet) {
        self.changes += before.len();
        self.allowed = (self.allowed + before.len()).min(UNDONE_AT_ONCE_MAX);
        self.blocks.push_back(Taken { block, at: now, before });
        while self
            .blocks
            .front()
            .is_some_and(|first| self.changes > UNDO_CHANGES_MAX || now.since(first.at) > PROVABLE_MICROS)
            && let Some(first) = self.blocks.pop_front()
        {
            self.changes -= first.before.len();
            self.oldest = first.block;
        }
    }

    /// Before the next block, the leaves are as they are after this one.
    pub(crate) fn starts_after(&mut self, block: BlockIndex) {
        *self = Self { oldest: block, ..Self::default() };
    }

    /// The changes that lead back to the state after `block`, if they are still known and may be made now.
    pub(crate) fn back_to(&mut self, block: BlockIndex) -> Option<WriteSet> {
        if block < self.oldest {
            return None;
        }
        let first = self.blocks.partition_point(|taken| taken.block <= block);
        let count = self.blocks.range(first..).map(|taken| taken.before.len()).sum::<usize>();
        self.allowed = self.allowed.checked_sub(count)?;
        // What a key had before the earliest of these blocks that changed it.
        let mut back: BTreeMap<&StateKey, Option<&[u8]>> = BTreeMap::new();
        for taken in self.blocks.range(first..) {
            for (key, value) in taken.before.iter() {
                back.entry(key).or_insert(value);
            }
        }
        Some(back.into_iter().map(|(key, value)| (*key, value)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn key(number: u8) -> StateKey {
        StateKey([number; 32])
    }

    fn before(changes: &[(u8, Option<&[u8]>)]) -> WriteSet {
        changes.iter().map(|(number, value)| (key(*number), *value)).collect()
    }

    fn second(second: u64) -> Timestamp {
        Timestamp(second * SECOND)
    }

    #[test]
    fn the_earliest_block_that_changed_a_key_says_what_it_had() {
        let mut undo = Undo::default();
        undo.starts_after(BlockIndex(2));
        undo.executed(second(1), BlockIndex(3), before(&[(1, Some(b"a")), (2, None)]));
        undo.executed(second(2), BlockIndex(5), before(&[(1, Some(b"b")), (3, Some(b"c"))]));
        assert_eq!(undo.back_to(BlockIndex(2)), Some(before(&[(1, Some(b"a")), (2, None), (3, Some(b"c"))])));
        undo.executed(second(3), BlockIndex(6), before(&[(4, None), (5, None)]));
        assert_eq!(undo.back_to(BlockIndex(5)), Some(before(&[(4, None), (5, None)])));
        assert_eq!(undo.back_to(BlockIndex(6)), Some(before(&[])), "nothing came after it");
        assert_eq!(undo.back_to(BlockIndex(1)), None, "not known");
    }

    #[test]
    fn no_more_is_taken_back_than_blocks_changed() {
        let mut undo = Undo::default();
        undo.executed(second(1), BlockIndex(1), before(&[(1, None), (2, None)]));
        assert!(undo.back_to(BlockIndex(0)).is_some());
        assert_eq!(undo.back_to(BlockIndex(0)), None, "it was taken back once");
        undo.executed(second(1), BlockIndex(2), before(&[(3, None)]));
        assert!(undo.back_to(BlockIndex(1)).is_some());
    }

    #[test]
    fn what_is_kept_is_bounded_by_time_and_number() {
        let mut undo = Undo::default();
        undo.executed(second(1), BlockIndex(1), before(&[(1, None)]));
        undo.executed(second(70), BlockIndex(2), before(&[(2, None)]));
        assert_eq!((undo.blocks.len(), undo.oldest), (1, BlockIndex(1)));
        let many: WriteSet = (0..UNDO_CHANGES_MAX as u64)
            .map(|number| {
                let mut key = [0; 32];
                key[..8].copy_from_slice(&number.to_be_bytes());
                (StateKey(key), None)
            })
            .collect();
        undo.executed(second(71), BlockIndex(3), many);
        assert_eq!((undo.blocks.len(), undo.oldest, undo.changes), (1, BlockIndex(2), UNDO_CHANGES_MAX));
    }
}
