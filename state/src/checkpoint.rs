//! Where a worker's checkpoints are kept: what a store must do, and what it holds as a plain value. `node` keeps them in
//! RocksDB, `sim` on its disk that loses power; [`suite`] is what both must pass.

pub mod suite;

use std::{
    collections::{BTreeMap, VecDeque},
    error::Error,
};

use fresnel_types::{
    BlockIndex, EntryNumber, StateKey,
    checkpoint::{Checkpoint, Extension, Restored},
};
use wincode::{SchemaRead, SchemaWrite};

/// Keeps the checkpoints of one worker, each on top of the one before.
pub trait CheckpointStore {
    /// Why it cannot be read or written.
    type Error: Error + Send + Sync + 'static;

    /// The last checkpoint taken over, none if there was none yet.
    ///
    /// # Errors
    /// When the store cannot be read, or does not hold what was stored.
    fn load(&self) -> Result<Option<Restored>, Self::Error>;

    /// Takes over a checkpoint: as a whole or not at all, whenever the power fails, and durably when this returns.
    ///
    /// # Errors
    /// When the store cannot be written. What it holds then is known only after it is opened again.
    fn store(&mut self, checkpoint: &Checkpoint) -> Result<(), Self::Error>;
}

/// What a store holds, and the meaning of taking over a checkpoint: stores of one piece are made of it, others are
/// compared with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct Contents {
    block: BlockIndex,
    entry: EntryNumber,
    leaves: BTreeMap<StateKey, Vec<u8>>,
    records: Items,
    outcomes: Items,
    in_hand: Vec<Vec<u8>>,
}

impl Contents {
    /// What holds this checkpoint on top of what was held before.
    pub fn take_over(&mut self, checkpoint: &Checkpoint) {
        let Checkpoint { block, entry, anew, leaves, records, outcomes, in_hand } = checkpoint;
        if *anew {
            *self = Self::default();
        }
        self.block = *block;
        self.entry = *entry;
        for (key, value) in leaves.iter() {
            match value {
                Some(value) => drop(self.leaves.insert(*key, value.to_vec())),
                None => drop(self.leaves.remove(key)),
            }
        }
        self.records.extend(records);
        self.outcomes.extend(outcomes);
        self.in_hand.clone_from(in_hand);
    }

    /// The block of the last checkpoint.
    pub fn block(&self) -> BlockIndex {
        self.block
    }

    /// The first entry of the log that the last checkpoint does not cover.
    pub fn entry(&self) -> EntryNumber {
        self.entry
    }

    /// The checkpoint as a store gives it back.
    pub fn restored(self) -> Restored {
        let Self { block, entry, leaves, records, outcomes, in_hand } = self;
        Restored {
            block,
            entry,
            leaves: leaves.into_iter().collect(),
            records: records.items.into(),
            outcomes: outcomes.items.into(),
            in_hand,
        }
    }
}

/// Consecutively numbered items.
#[derive(Clone, Debug, Default, PartialEq, Eq, SchemaRead, SchemaWrite)]
struct Items {
    /// The number of the first.
    first: u64,
    items: VecDeque<Vec<u8>>,
}

impl Items {
    fn extend(&mut self, extension: &Extension) {
        let next = if self.items.is_empty() { extension.first } else { self.first + self.items.len() as u64 };
        assert_eq!(next, extension.first, "a checkpoint continues the sequences of the one before");
        if self.items.is_empty() {
            self.first = extension.first;
        }
        self.items.extend(extension.items.iter().cloned());
        let old = extension.oldest.saturating_sub(self.first).min(self.items.len() as u64);
        self.items.drain(..usize::try_from(old).expect("at most the length"));
        self.first += old;
    }
}
