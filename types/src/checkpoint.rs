//! What a worker keeps besides its log, so that a restart need not begin at the genesis and the log need not be kept for
//! ever.
//!
//! A checkpoint is taken after a block and holds the worker as it was at that instant: with the entries of the log from
//! [`Checkpoint::entry`] on it restores the worker as it is now. It is handed to the store only when the order has
//! certified the block's record, so a stored checkpoint is a certified one. What grows with the chain, the leaves and the
//! sequences, a checkpoint only adds to; what is small it holds whole.

use crate::{BlockIndex, WriteSet, log_entry::EntryNumber, write_set::StateKey};

/// What the store is to take over in one step, on top of the checkpoint before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The block after which it was taken.
    pub block: BlockIndex,
    /// The first entry of the log that it does not cover.
    pub entry: EntryNumber,
    /// Whether it replaces all that was stored before, which then has nothing to do with it.
    pub anew: bool,
    /// The changes of all leaves since the checkpoint before; for the first one, since there was nothing.
    pub leaves: WriteSet,
    /// One item per own record: the record.
    pub records: Extension,
    /// One item per own record: the outcomes of its block and what it emitted.
    pub outcomes: Extension,
    /// What the worker had in hand, one item each; replaces what was in hand before.
    pub in_hand: Vec<Vec<u8>>,
}

/// What a checkpoint adds to a sequence that the store keeps, and what the store may forget of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extension {
    /// The number of the first item added. The sequence ends just before it, or begins with it.
    pub first: u64,
    /// The items added.
    pub items: Vec<Vec<u8>>,
    /// Items with lower numbers are needed no more.
    pub oldest: u64,
}

/// The last checkpoint that a store took over, as it gives it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// As in [`Checkpoint::block`].
    pub block: BlockIndex,
    /// As in [`Checkpoint::entry`].
    pub entry: EntryNumber,
    /// All leaves, ascending by key.
    pub leaves: Vec<(StateKey, Vec<u8>)>,
    /// Consecutive records, the last one that of `block`.
    pub records: Vec<Vec<u8>>,
    /// Consecutive outcomes and outboxes, the last ones those of `block`.
    pub outcomes: Vec<Vec<u8>>,
    /// As in [`Checkpoint::in_hand`].
    pub in_hand: Vec<Vec<u8>>,
}
