//! When a checkpoint is taken, what the next one adds, and how far the one under way has come.
//!
//! After every block the changed leaves, the record and the outcomes are gathered. When a checkpoint is due they are
//! frozen together with what the worker has in hand; the frozen one waits until its record is certified, goes to the
//! store, and when the store has it the log before the one before it may be forgotten: the store keeps two, so that one may
//! be damaged. There is one under way at a time.

use std::collections::VecDeque;

use fresnel_types::{
    BlockIndex, Checkpoint, Effect, EntryNumber, Outcome, Receipt, Record, ShardId, Shards, StateKey,
    Timestamp, TransactionId, WriteSet,
    checkpoint::{Extension, Restored},
    codec,
};
use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

use crate::limits::NEWS_RETAINED;

/// When checkpoints are taken. Local: it decides how long a restart takes and how long the log grows, nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Checkpointing {
    /// Blocks: one is taken after the first record at or after each multiple of this, so that the workers of a shard have
    /// the same ones for whoever needs a state. Workers that are busy with one leave it out.
    pub blocks: u64,
    /// Microseconds from one to the next at most, as long as there are new records.
    pub interval: u64,
    /// About how many bytes gathered make one due earlier.
    pub bytes_max: usize,
}

impl Default for Checkpointing {
    fn default() -> Self {
        Self { blocks: 256, interval: 6_000_000, bytes_max: 128 << 20 }
    }
}

/// What a block did that its record does not say.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub(crate) struct Outcomes {
    /// Which block.
    pub(crate) block: BlockIndex,
    /// How transactions ended that had no end before.
    pub(crate) fresh: Vec<(TransactionId, Outcome)>,
    /// Transactions whose bounces it consumed.
    pub(crate) returned: Vec<TransactionId>,
    /// The receipts that it emitted, for shards that it emitted any for, ascending.
    emitted: Vec<(ShardId, Vec<Receipt>)>,
}

impl Outcomes {
    /// Of a block that emitted `outbox`, one list per shard.
    pub(crate) fn new(
        block: BlockIndex,
        fresh: Vec<(TransactionId, Outcome)>,
        returned: Vec<TransactionId>,
        outbox: Vec<Vec<Receipt>>,
    ) -> Self {
        let shards = (0..).map(ShardId);
        let emitted = shards.zip(outbox).filter(|(_, receipts)| !receipts.is_empty()).collect();
        Self { block, fresh, returned, emitted }
    }

    /// The same without how transactions ended.
    pub(crate) fn emitted_alone(self) -> Self {
        Self { fresh: Vec::new(), returned: Vec::new(), ..self }
    }

    /// What it emitted, one list per shard.
    pub(crate) fn outbox(self, shards: Shards) -> Vec<Vec<Receipt>> {
        let mut outbox = vec![Vec::new(); shards.count()];
        for (shard, receipts) in self.emitted {
            if let Some(slice) = outbox.get_mut(shard.index()) {
                *slice = receipts;
            }
        }
        outbox
    }
}

/// The checkpoints of a worker.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    settings: Checkpointing,
    /// The number of the next entry of the log.
    next: EntryNumber,
    leaves: Changes,
    records: Sequence,
    outcomes: Sequence,
    /// Whether the next one replaces all that is stored.
    anew: bool,
    /// The last block gathered.
    block: BlockIndex,
    /// Whether that is the first one at or after a multiple of [`Checkpointing::blocks`].
    at_boundary: bool,
    /// Per record with news, oldest first: its position and how many. Together at least [`NEWS_RETAINED`], if there
    /// ever were as many.
    news: VecDeque<(u64, usize)>,
    news_count: usize,
    frozen_at: Timestamp,
    /// The first entry of the log that the last stored one does not cover: the log from there on is kept until the next
    /// one is stored too, for a start that finds that one damaged.
    covered: EntryNumber,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// None is under way.
    Idle,
    /// Taken; its record is not certified yet.
    Frozen(Box<Checkpoint>),
    /// The store has it in hand.
    Handed(BlockIndex, EntryNumber),
}

impl Checkpoints {
    /// None was taken: everything is new. `leaves` are those of the genesis.
    pub(crate) fn new(settings: Checkpointing, now: Timestamp, leaves: WriteSet) -> Self {
        let mut changes = Changes::default();
        changes.push(leaves);
        Self {
            settings,
            next: EntryNumber(0),
            leaves: changes,
            records: Sequence::default(),
            outcomes: Sequence::default(),
            anew: false,
            block: BlockIndex(0),
            at_boundary: false,
            news: VecDeque::new(),
            news_count: 0,
            frozen_at: now,
            covered: EntryNumber(0),
            stage: Stage::Idle,
        }
    }

    /// The last one was taken after `block` and the record before position `next` and covers the log up to `covered`;
    /// `news` says of the records kept how many news they brought.
    pub(crate) fn restore(
        settings: Checkpointing,
        now: Timestamp,
        block: BlockIndex,
        covered: EntryNumber,
        next: u64,
        news: impl IntoIterator<Item = (u64, usize)>,
    ) -> Self {
        let mut checkpoints = Self::new(settings, now, WriteSet::default());
        (checkpoints.block, checkpoints.covered) = (block, covered);
        for sequence in [&mut checkpoints.records, &mut checkpoints.outcomes] {
            (sequence.first, sequence.continues) = (next, true);
        }
        news.into_iter().for_each(|(position, count)| checkpoints.note_news(position, count));
        checkpoints
    }

    /// There is no state to take one of. What the store has, if anything, covers the log up to `covered`.
    pub(crate) fn without(settings: Checkpointing, now: Timestamp, covered: EntryNumber) -> Self {
        Self { covered, ..Self::new(settings, now, WriteSet::default()) }
    }

    /// The state is given up, and what was gathered of it.
    pub(crate) fn give_up(&mut self) {
        let settings = self.settings.clone();
        let stage = match std::mem::replace(&mut self.stage, Stage::Idle) {
            Stage::Frozen(_) => Stage::Idle,
            stage => stage,
        };
        let nothing = Self::new(settings, self.frozen_at, WriteSet::default());
        *self = Self { next: self.next, covered: self.covered, stage, ..nothing };
    }

    /// From now on this is the state, after the block of `last`; the next one is due at once, and replaces what is stored.
    pub(crate) fn begin_anew(&mut self, last: &Record, restored: &Restored) {
        self.give_up();
        self.leaves.push(restored.leaves.iter().map(|(key, value)| (*key, Some(value.as_slice()))).collect());
        self.records = Sequence::of(last.position + 1, &restored.records);
        self.outcomes = Sequence::of(last.position + 1, &restored.outcomes);
        (self.block, self.anew, self.frozen_at) = (last.block, true, Timestamp(0));
    }

    /// The number of the next entry of the log.
    pub(crate) fn next(&self) -> EntryNumber {
        self.next
    }

    /// The log goes up to before this entry.
    pub(crate) fn appended(&mut self, next: EntryNumber) {
        self.next = next;
    }

    /// Gathers what a block changed. Records before position `oldest_record` and `oldest_own` are needed no more, what
    /// they emitted not before `oldest_own`.
    pub(crate) fn gather(
        &mut self,
        record: &Record,
        writes: WriteSet,
        outcomes: &Outcomes,
        oldest_record: u64,
        oldest_own: u64,
    ) {
        let multiple = |block: BlockIndex| block.0 / self.settings.blocks.max(1);
        self.at_boundary = multiple(record.block) > multiple(self.block);
        self.block = record.block;
        self.leaves.push(writes);
        self.note_news(record.position, outcomes.fresh.len());
        self.records.push(codec::encode(record));
        self.outcomes.push(codec::encode(outcomes));
        self.records.forget(oldest_record.min(oldest_own));
        let oldest_news = self.news.front().map_or(record.position, |(position, _)| *position);
        self.outcomes.forget(oldest_own.min(oldest_news));
    }

    fn note_news(&mut self, position: u64, count: usize) {
        if count == 0 {
            return;
        }
        self.news.push_back((position, count));
        self.news_count += count;
        while let Some((_, oldest)) = self.news.front()
            && self.news_count - oldest >= NEWS_RETAINED
        {
            self.news_count -= oldest;
            self.news.pop_front();
        }
    }

    /// Whether one is to be taken before anything else is executed.
    pub(crate) fn is_due_here(&self) -> bool {
        self.at_boundary && matches!(self.stage, Stage::Idle)
    }

    /// Whether one is to be taken now.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        let bytes = self.leaves.len() * LEAF_BYTES + self.records.bytes + self.outcomes.bytes;
        matches!(self.stage, Stage::Idle)
            && !self.records.items.is_empty()
            && (self.at_boundary
                || now.since(self.frozen_at) >= self.settings.interval
                || bytes >= self.settings.bytes_max)
    }

    /// Takes one, with what the worker has in hand.
    pub(crate) fn freeze(&mut self, now: Timestamp, in_hand: Vec<Vec<u8>>) {
        assert!(matches!(self.stage, Stage::Idle), "one checkpoint is under way at a time");
        (self.frozen_at, self.at_boundary) = (now, false);
        self.stage = Stage::Frozen(Box::new(Checkpoint {
            block: self.block,
            entry: self.next,
            anew: std::mem::take(&mut self.anew),
            leaves: self.leaves.take(),
            records: self.records.take(),
            outcomes: self.outcomes.take(),
            in_hand,
        }));
    }

    /// Hands the frozen one to the store once the own records up to its block are certified.
    pub(crate) fn certified(&mut self, confirmed: BlockIndex, effects: &mut Vec<Effect>) {
        self.stage = match std::mem::replace(&mut self.stage, Stage::Idle) {
            Stage::Frozen(checkpoint) if checkpoint.block <= confirmed => {
                let stage = Stage::Handed(checkpoint.block, checkpoint.entry);
                effects.push(Effect::Checkpoint(checkpoint));
                stage
            }
            stage => stage,
        };
    }

    /// The store has the checkpoint of `block`, beside the one before.
    pub(crate) fn stored(&mut self, block: BlockIndex, effects: &mut Vec<Effect>) {
        if let Stage::Handed(handed, entry) = self.stage
            && handed == block
        {
            self.stage = Stage::Idle;
            effects.push(Effect::Forget(std::mem::replace(&mut self.covered, entry)));
        }
    }
}

/// What a sequence that the store keeps grows by.
#[derive(Debug, Default)]
struct Sequence {
    /// The number of the first item.
    first: u64,
    items: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Items below are needed no more, here and in the store.
    oldest: u64,
    /// How many items are left empty, since they are needed no more but have their place.
    emptied: usize,
    /// Whether the store has items, which these have to continue.
    continues: bool,
}

impl Sequence {
    /// All items before number `next`.
    fn of(next: u64, items: &[Vec<u8>]) -> Self {
        let first = next - items.len() as u64;
        let bytes = items.iter().map(Vec::len).sum();
        Self {
            first,
            items: items.iter().cloned().collect(),
            bytes,
            oldest: first,
            emptied: 0,
            continues: false,
        }
    }

    fn push(&mut self, item: Vec<u8>) {
        self.bytes += item.len();
        self.items.push_back(item);
    }

    /// So that memory is bounded also while no checkpoint can be taken.
    fn forget(&mut self, oldest: u64) {
        self.oldest = self.oldest.max(oldest);
        let old = self.oldest.saturating_sub(self.first).min(self.items.len() as u64) as usize;
        for item in self.items.range_mut(self.emptied.min(old)..old) {
            self.bytes -= std::mem::take(item).len();
        }
        self.emptied = old;
        if !self.continues {
            self.items.drain(..old);
            self.first += old as u64;
            self.emptied = 0;
        }
    }

    fn take(&mut self) -> Extension {
        let items: Vec<_> = std::mem::take(&mut self.items).into();
        let first = self.first;
        self.first += items.len() as u64;
        (self.bytes, self.emptied, self.continues) = (0, 0, true);
        Extension { first, items, oldest: self.oldest }
    }
}

/// Changes of leaves. They lie as they came until there are as many as were merged before, and are merged then, so that each
/// is moved a few times and what is changed again and again takes no room for long.
#[derive(Debug, Default)]
struct Changes {
    merged: WriteSet,
    /// Since then, oldest first.
    fresh: Vec<WriteSet>,
    fresh_count: usize,
}

impl Changes {
    fn push(&mut self, writes: WriteSet) {
        self.fresh_count += writes.len();
        self.fresh.push(writes);
        if self.fresh_count >= self.merged.len().max(FRESH_CHANGES_MIN) {
            self.merge();
        }
    }

    fn merge(&mut self) {
        let mut changes = Vec::with_capacity(self.merged.len() + self.fresh_count);
        std::iter::once(&self.merged).chain(&self.fresh).for_each(|writes| changes.extend(writes.iter()));
        // Moving small things is cheaper than moving keys, and most keys differ in their first bytes.
        let first = |key: &StateKey| u64::from_be_bytes(*key.0.first_chunk().expect("a key has 32 bytes"));
        let mut order: Vec<(u64, u32)> =
            (0..).zip(&changes).map(|(place, (key, _))| (first(key), place)).collect();
        let change = |place: u32| changes[place as usize];
        order.sort_unstable_by(|left, right| {
            let whole = || change(left.1).0.cmp(change(right.1).0);
            left.0.cmp(&right.0).then_with(whole).then(left.1.cmp(&right.1))
        });
        let mut merged = WriteSet::default();
        for (place, (_, now)) in order.iter().enumerate() {
            let (key, value) = change(*now);
            // Of one leaf the last change counts.
            if order.get(place + 1).is_none_or(|(_, next)| change(*next).0 != key) {
                merged.push(*key, value);
            }
        }
        (self.merged, self.fresh_count) = (merged, 0);
        self.fresh.clear();
    }

    /// How many are held, of which some may be of the same leaf.
    fn len(&self) -> usize {
        self.merged.len() + self.fresh_count
    }

    fn take(&mut self) -> WriteSet {
        if !self.fresh.is_empty() {
            self.merge();
        }
        std::mem::take(&mut self.merged)
    }
}

/// About what a changed leaf takes: key, value, and where it ends.
const LEAF_BYTES: usize = 80;

/// So few changes are never merged but for a checkpoint.
const FRESH_CHANGES_MIN: usize = 65_536;

#[cfg(test)]
mod tests;
