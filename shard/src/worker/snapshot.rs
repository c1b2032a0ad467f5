//! A worker for a checkpoint, and from one.
//!
//! The store keeps leaves, records and outcomes; in hand is everything else that the log before the checkpoint would give
//! and that does not follow from those.

use fresnel_crossshard::CrossShard;
use fresnel_executor::Executor;
use fresnel_mempool::Mempool;
use fresnel_state::Tree;
use fresnel_types::{
    BlockIndex, CommitIndex, Effect, OrderedBatch, Receipt, Record, Sequence, ShardId, Shards, StateKey,
    Timestamp, WriteSet, checkpoint::Restored, codec,
};
use wincode::{SchemaRead, SchemaWrite};

use super::{Config, Execution, RecoveryError, Worker, syncing::with_threads};
use crate::{
    blocks::{Block, Blocks},
    chain::{self, Chain},
    checkpoints::{Checkpoints, Outcomes},
};

/// An item of what is in hand.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
enum Piece {
    Worker(Head),
    /// The closed blocks that wait, in order.
    Block(Block),
    Mempool(fresnel_mempool::Piece),
    CrossShard(fresnel_crossshard::Piece),
}

#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub(super) struct Head {
    executed: BlockIndex,
    commit: CommitIndex,
    commit_time: Timestamp,
    /// The batches of the open block.
    open: Vec<OrderedBatch>,
    pub(super) chain: chain::Head,
    /// From which position on the own records are kept with what they owe.
    pub(super) oldest_own: u64,
}

/// What is in hand, taken apart.
pub(super) struct Pieces {
    pub(super) head: Head,
    blocks: Vec<Block>,
    mempool: Vec<fresnel_mempool::Piece>,
    pub(super) crossshard: Vec<fresnel_crossshard::Piece>,
}

/// What a block emitted, one list per shard.
type Outbox = Vec<Vec<Receipt>>;

/// The sequences of the store.
pub(super) struct Sequences {
    pub(super) records: Vec<Record>,
    /// With their positions.
    pub(super) outcomes: Vec<(u64, Outcomes)>,
}

impl Worker {
    /// Takes a checkpoint when one is due, and hands it out when its record is certified.
    pub(super) fn take_checkpoint(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        if self.chain.diverged().is_some() || self.sync.is_under_way() {
            return;
        }
        if self.checkpoints.is_due(now)
            && let Some(in_hand) = self.in_hand()
        {
            self.checkpoints.freeze(now, in_hand);
        }
        self.checkpoints.certified(self.chain.confirmed(), effects);
    }

    /// What is in hand. None while a part of it is in the log alone: then much waits to be executed, and when that is
    /// done there is less to store.
    fn in_hand(&self) -> Option<Vec<Vec<u8>>> {
        let waiting = self.blocks.batches().map(|ordered| ordered.batch.id).collect();
        if !self.mempool.is_whole(&waiting) {
            return None;
        }
        let head = Head {
            executed: self.executed,
            commit: self.blocks.last(),
            commit_time: self.commit_time,
            open: self.blocks.open().to_vec(),
            chain: self.chain.snapshot(),
            oldest_own: self.crossshard.oldest_own().unwrap_or(self.chain.head().0),
        };
        let pieces = std::iter::once(Piece::Worker(head))
            .chain(self.blocks.closed().cloned().map(Piece::Block))
            .chain(self.mempool.snapshot(&waiting).map(Piece::Mempool))
            .chain(self.crossshard.snapshot().map(Piece::CrossShard))
            .map(|piece| codec::encode(&piece));
        Some(pieces.collect())
    }

    /// The worker at the instant of the checkpoint, but that its record is known to be certified.
    pub(super) fn restore(config: Config, restored: Restored, now: Timestamp) -> Result<Self, RecoveryError> {
        Self::try_restore(config, restored, now).map_err(RecoveryError::Damaged)
    }

    fn try_restore(config: Config, restored: Restored, now: Timestamp) -> Result<Self, &'static str> {
        let Config { authority, shard, .. } = config;
        let shards = config.rules.shards;
        let Pieces { head, blocks, mempool, crossshard } = Pieces::read(&restored.in_hand)?;
        let Sequences { records, outcomes } = Sequences::read(&restored, shards)?;
        let last = records.last().ok_or("no record is there")?.clone();
        let tree = tree(&restored.leaves, shards, shard, config.execution)?;
        if last.block != restored.block || tree.root() != last.state {
            return Err("the leaves are not those of the last record");
        }
        let executor = Executor::restore(shard, shards, &config.genesis.parameters, restored.leaves);

        let news = outcomes.iter().map(|(position, outcomes)| (*position, outcomes.fresh.len()));
        let checkpoints = Checkpoints::restore(
            config.checkpointing.clone(),
            now,
            last.block,
            restored.entry,
            last.position + 1,
            news,
        );
        let rules = config.rules.clone();
        let batching = config.batching.clone();
        let mut worker = Self::new(config, executor, tree, checkpoints);
        worker.serving.stored(last.block);
        worker.executed = head.executed;
        worker.undo.starts_after(last.block);
        worker.commit_time = head.commit_time;
        worker.blocks = Blocks::restore(head.commit, head.open, blocks.into());
        let mempool_config = fresnel_mempool::Config { authority, shard, rules: rules.clone(), batching };
        worker.mempool = Mempool::restore(mempool_config, mempool)?;
        let outboxes = worker.execute_again(outcomes, head.oldest_own);
        let own = own_records(&records, outboxes, head.oldest_own)?;
        worker.crossshard = CrossShard::restore(authority, shard, rules, now, crossshard, own)?;
        let oldest = head.chain.oldest();
        let records = records.into_iter().filter(|record| record.position >= oldest);
        worker.chain = Chain::restore(shard, head.chain, records)?;
        worker.settle_again();

        let mut effects = Vec::new();
        for ordered in worker.blocks.batches() {
            worker.mempool.want(now, ordered.author, ordered.batch, &mut effects);
        }
        worker.execute_ready(now, &mut effects);
        Ok(worker)
    }

    /// Tells settlement what own blocks did; gives back what those from position `oldest_own` on emitted.
    pub(super) fn execute_again(&mut self, outcomes: Vec<(u64, Outcomes)>, oldest_own: u64) -> Vec<Outbox> {
        let mut outboxes = Vec::new();
        for (position, mut outcomes) in outcomes {
            let (block, fresh) = (outcomes.block, std::mem::take(&mut outcomes.fresh));
            let returned = std::mem::take(&mut outcomes.returned);
            let outbox = outcomes.outbox(self.rules.shards);
            self.settlement.executed(block, &fresh, &outbox, returned.into_iter());
            if position >= oldest_own {
                outboxes.push(outbox);
            }
        }
        outboxes
    }

    /// Tells settlement what certified bundles say of that. Bounces that own blocks have consumed count as settled,
    /// since all own records so far are certified.
    fn settle_again(&mut self) {
        for source in self.rules.shards.iter().filter(|source| *source != self.shard) {
            let consumed = self.executor.pair(source).own.cursor();
            let bundles = || self.crossshard.verified(source, BlockIndex(0));
            let Some(newest) = bundles().last() else { continue };
            let arrived = bundles().flat_map(|bundle| &bundle.receipts);
            let arrived = arrived.filter(|receipt| receipt.sequence.0 >= consumed);
            let cursor = Sequence(newest.record.pairs[self.shard.index()].cursor());
            self.settlement.consumed_below(source, cursor, arrived);
            self.settled[source.index()] = newest.record.block;
        }
        self.settlement.certified(self.chain.confirmed());
    }
}

impl Pieces {
    pub(super) fn read(in_hand: &[Vec<u8>]) -> Result<Self, &'static str> {
        let (mut heads, mut blocks, mut mempool, mut crossshard) = (vec![], vec![], vec![], vec![]);
        for item in in_hand {
            match codec::decode(item).map_err(|_| "an item in hand is malformed")? {
                Piece::Worker(head) => heads.push(head),
                Piece::Block(block) => blocks.push(block),
                Piece::Mempool(piece) => mempool.push(piece),
                Piece::CrossShard(piece) => crossshard.push(piece),
            }
        }
        let head = heads.pop().ok_or("what the worker had in hand is missing")?;
        Ok(Self { head, blocks, mempool, crossshard })
    }
}

impl Sequences {
    pub(super) fn read(restored: &Restored, shards: Shards) -> Result<Self, &'static str> {
        let records: Result<Vec<Record>, _> =
            restored.records.iter().map(|item| codec::decode(item)).collect();
        let records = records.map_err(|_| "a record is malformed")?;
        let first = records.first().map_or(0, |record| record.position);
        let dense = (first..).zip(&records).all(|(position, record)| record.position == position);
        if !dense || records.iter().any(|record| record.pairs.len() != shards.count()) {
            return Err("the records are not consecutive ones of this chain");
        }
        let next = first + records.len() as u64;
        let first =
            next.checked_sub(restored.outcomes.len() as u64).ok_or("there are outcomes of no record")?;
        let outcomes: Result<Vec<Outcomes>, _> =
            restored.outcomes.iter().map(|item| codec::decode(item)).collect();
        let outcomes = outcomes.map_err(|_| "an outcome is malformed")?;
        Ok(Self { records, outcomes: (first..).zip(outcomes).collect() })
    }
}

/// The tree of leaves that were read from a disk.
pub(super) fn tree(
    leaves: &[(StateKey, Vec<u8>)],
    shards: Shards,
    shard: ShardId,
    execution: Option<Execution>,
) -> Result<Tree, &'static str> {
    let ascending = leaves.is_sorted_by(|(before, _), (after, _)| before < after);
    if !ascending || leaves.iter().any(|(key, _)| key.shard(shards) != shard) {
        return Err("the leaves are not ascending ones of this shard");
    }
    let writes: WriteSet = leaves.iter().map(|(key, value)| (*key, Some(value.as_slice()))).collect();
    let mut tree = with_threads(Tree::new(shards, shard), execution);
    tree.apply(&writes);
    Ok(tree)
}

/// The records from position `oldest` on with what they emitted.
pub(super) fn own_records(
    records: &[Record],
    outboxes: Vec<Outbox>,
    oldest: u64,
) -> Result<Vec<(Record, Outbox)>, &'static str> {
    let before = records.iter().take_while(|record| record.position < oldest).count();
    let own = &records[before..];
    if own.first().is_some_and(|record| record.position != oldest) || own.len() != outboxes.len() {
        return Err("what the worker owes is missing");
    }
    Ok(own.iter().cloned().zip(outboxes).collect())
}
