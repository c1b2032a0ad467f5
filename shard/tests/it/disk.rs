//! What a worker finds when it comes back: its log and the last checkpoint that was stored.

use std::collections::{BTreeMap, VecDeque};

use fresnel_types::{
    BlockIndex, Checkpoint, Entries, EntryNumber, LogEntry, StateKey,
    checkpoint::{Extension, Restored},
};

/// The disk of one worker. Nothing of the log is deleted; [`Disk::log`] shows as much of it as is to be there.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    pub(crate) log: Vec<LogEntry>,
    /// Entries before it may be deleted.
    pub(crate) forgotten: EntryNumber,
    /// Handed over, not stored yet.
    pub(crate) handed: Option<Checkpoint>,
    stored: Option<Stored>,
}

#[derive(Clone, Default)]
struct Stored {
    block: BlockIndex,
    entry: EntryNumber,
    leaves: BTreeMap<StateKey, Vec<u8>>,
    records: Sequence,
    outcomes: Sequence,
    in_hand: Vec<Vec<u8>>,
}

#[derive(Clone, Default)]
struct Sequence {
    first: u64,
    items: VecDeque<Vec<u8>>,
}

impl Disk {
    pub(crate) fn hand(&mut self, checkpoint: Checkpoint) {
        assert!(self.handed.is_none(), "one checkpoint at a time");
        self.handed = Some(checkpoint);
    }

    /// Stores what was handed over: the block of the checkpoint.
    pub(crate) fn store(&mut self) -> Option<BlockIndex> {
        let Checkpoint { block, entry, anew, leaves, records, outcomes, in_hand } = self.handed.take()?;
        assert!(entry.0 <= self.log.len() as u64);
        let stored = self.stored.get_or_insert_default();
        assert!(stored.block < block && stored.entry <= entry);
        if anew {
            *stored = Default::default();
        }
        for (key, value) in leaves.iter() {
            match value {
                Some(value) => stored.leaves.insert(*key, value.to_vec()),
                None => stored.leaves.remove(key),
            };
        }
        stored.records.extend(records);
        stored.outcomes.extend(outcomes);
        (stored.block, stored.entry, stored.in_hand) = (block, entry, in_hand);
        Some(block)
    }

    pub(crate) fn checkpoint(&self) -> Option<Restored> {
        self.stored.as_ref().map(|stored| Restored {
            block: stored.block,
            entry: stored.entry,
            leaves: stored.leaves.iter().map(|(key, value)| (*key, value.clone())).collect(),
            records: stored.records.items.iter().cloned().collect(),
            outcomes: stored.outcomes.items.iter().cloned().collect(),
            in_hand: stored.in_hand.clone(),
        })
    }

    /// The log as it is when a part of what the checkpoint covers was deleted, from nothing (0) to everything (255).
    pub(crate) fn log(&self, deleted: u8) -> Entries {
        let first = self.forgotten.0 * u64::from(deleted) / 255;
        Entries { first: EntryNumber(first), entries: self.log[first as usize..].to_vec() }
    }
}

impl Sequence {
    fn extend(&mut self, extension: Extension) {
        let next = self.first + self.items.len() as u64;
        if self.items.is_empty() {
            self.first = extension.first;
        } else {
            assert_eq!(extension.first, next, "a sequence has no gaps");
        }
        self.items.extend(extension.items);
        while self.first < extension.oldest && self.items.pop_front().is_some() {
            self.first += 1;
        }
    }
}
