//! A worker that gives up its state, and one that takes over what it got from its peers.
//!
//! While it has none it goes on storing and serving batches, and keeps the order; nothing is executed and nothing attested.

use std::num::NonZeroUsize;

use fresnel_crossshard::{CrossShard, Delivery};
use fresnel_executor::{Engine, Executor};
use fresnel_state::Tree;
use fresnel_types::{
    BlockIndex, CommitIndex, Effect, Entries, EntryNumber, LogEntry, Party, Timestamp,
    checkpoint::Restored,
    snapshot::{SnapshotAnswer, SnapshotRequest, SnapshotResult, SyncEntry},
};

use super::{
    Config, Execution, RecoveryError, Worker,
    portable::Portable,
    snapshot::{Sequences, own_records, tree},
};
use crate::{
    blocks::{Block, Blocks},
    chain::{self, Chain},
    checkpoints::Checkpoints,
    proofs::Proofs,
    settlement::Settlement,
    sync::Fetched,
    undo::Undo,
};

impl Worker {
    /// A worker of which nothing is left but its log, or a part of it: it gets its state from its peers.
    ///
    /// # Errors
    /// When the log is none of a worker.
    pub fn open_lost(config: Config, log: Entries, now: Timestamp) -> Result<Self, RecoveryError> {
        let last = last_order(&log);
        let begun = begun(&log, EntryNumber(0));
        let from = begun.unwrap_or(log.next());
        let mut worker = Self::open_without_state(config, None, log, from, now)?;
        if begun.is_none() {
            worker.sync.lost(last.next());
        }
        Ok(worker)
    }

    /// Of a worker that gave up its state: what comes before `from` in the log is kept for peers.
    pub(super) fn open_without_state(
        config: Config,
        stored: Option<&Restored>,
        log: Entries,
        from: EntryNumber,
        now: Timestamp,
    ) -> Result<Self, RecoveryError> {
        let (first, next) = (log.first, log.next());
        let mut covered = log.entries;
        let entries = covered.split_off((from.0 - first.0) as usize);
        let covers = stored.map_or(first, |stored| stored.entry);
        let checkpoints = Checkpoints::without(config.checkpointing.clone(), now, covers);
        let (executor, tree) = nothing(&config);
        let mut worker = Self::new(config, executor, tree, checkpoints);
        worker.recover(first, next, covered, from, entries, now)?;
        Ok(worker)
    }

    /// Gives up the state, and takes the order from `first` on, until there is another one.
    pub(super) fn begin_sync(&mut self, now: Timestamp, first: CommitIndex, effects: &mut Vec<Effect>) {
        effects.push(Effect::Persist(LogEntry::Sync(SyncEntry::Begin(first))));
        self.give_up_state(now, first);
        self.ask_order(effects);
    }

    pub(super) fn give_up_state(&mut self, now: Timestamp, first: CommitIndex) {
        self.sync.begin(now);
        let (executor, tree) = nothing(&self.config);
        (self.executor, self.tree) = (executor, tree);
        // Blocks that were to be executed are not any more: their batches stay for peers.
        self.blocks.batches().for_each(|ordered| self.mempool.executed(&ordered.batch.id));
        self.blocks = Blocks::restore(CommitIndex(first.0.saturating_sub(1)), Vec::new(), Default::default());
        self.chain = Chain::new(self.shard);
        self.crossshard = CrossShard::new(self.authority, self.shard, self.rules.clone());
        self.checkpoints.give_up();
        self.forget_results();
        self.executed = BlockIndex(0);
    }

    /// What is remembered of blocks executed here.
    fn forget_results(&mut self) {
        (self.settlement, self.proofs, self.undo) =
            (Settlement::default(), Proofs::default(), Undo::default());
        self.settled.fill(BlockIndex(0));
        self.attestations.clear();
    }

    /// A peer asks for a state.
    pub(super) fn snapshot_request(
        &mut self,
        now: Timestamp,
        from: Party,
        request: SnapshotRequest,
        effects: &mut Vec<Effect>,
    ) {
        let Party::Worker(peer, shard) = from else { return };
        if shard == self.shard && peer != self.authority {
            let chain =
                Some(&self.chain).filter(|chain| !self.sync.is_under_way() && chain.diverged().is_none());
            self.serving.request(now, peer, request, chain, effects);
        }
    }

    /// What came of what was asked of the store.
    pub(super) fn snapshot_result(&mut self, result: SnapshotResult, effects: &mut Vec<Effect>) {
        let chain = Some(&self.chain).filter(|chain| !self.sync.is_under_way() && chain.diverged().is_none());
        self.serving.result(result, chain, effects);
    }

    /// An answer of a peer that was asked for a state.
    pub(super) fn snapshot_answer(
        &mut self,
        now: Timestamp,
        from: Party,
        answer: SnapshotAnswer,
        effects: &mut Vec<Effect>,
    ) {
        let Party::Worker(peer, shard) = from else { return };
        if shard == self.shard && self.sync.answer(now, peer, answer, effects) {
            self.begin_sync(now, self.blocks.last().next(), effects);
        }
    }

    /// Does what is due on the way to a state, and takes it over once it is here.
    pub(super) fn advance_sync(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        if let Some(first) = self.sync.is_lost() {
            self.begin_sync(now, first, effects);
        }
        let waits = self.blocks.front().is_some()
            && self.chain.certified().block > self.executed
            && self.chain.diverged().is_none();
        self.sync.advance(now, self.executed, waits, effects);
        self.take_over(now, effects);
        if self.crossshard.is_refuted() {
            self.refute(now, effects);
        }
    }

    /// Whether the next block, if it has input, can be executed with the bundles that a peer gave.
    pub(super) fn knows_usable(&self) -> bool {
        let pairs = |other| self.executor.pair(other);
        let knows = |block: &Block| block.batches.is_empty() || self.crossshard.knows(&block.close, &pairs);
        self.blocks.front().is_none_or(knows)
    }

    /// What was taken over is not what the order certified: another peer has it.
    pub(super) fn refute(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        self.sync.refuse_adopted();
        self.begin_sync(now, self.blocks.last().next(), effects);
    }

    /// Takes over a state that is complete. One that turns out to be none is begun anew, with the order from here on.
    pub(super) fn take_over(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        if let Some(fetched) = self.sync.take_complete()
            && self.adopt(now, fetched, effects).is_err()
        {
            self.refute(now, effects);
        }
    }

    fn adopt(
        &mut self,
        now: Timestamp,
        fetched: Fetched,
        effects: &mut Vec<Effect>,
    ) -> Result<(), &'static str> {
        let Fetched { restored, record, orders, block } = fetched;
        let shards = self.rules.shards;
        let Portable { dropped, oldest_own, crossshard } = Portable::read(&restored.in_hand)?;
        let Sequences { records, outcomes } = Sequences::read(&restored, shards)?;
        let tree = tree(&restored.leaves, shards, self.shard, self.config.execution)?;
        let last = records.last().ok_or("no record is there")?.clone();
        if last.digest() != record || tree.root() != last.state {
            return Err("the leaves are not those of the certified record");
        }
        self.checkpoints.begin_anew(&last, &restored);
        let parameters = &self.config.genesis.parameters;
        let executor = Executor::restore(self.shard, shards, parameters, restored.leaves);
        self.executor = with_engine(executor, self.config.execution);
        self.tree = tree;
        self.forget_results();
        let blocks = records.iter().skip_while(|record| record.position < oldest_own);
        if !blocks.map(|record| record.block).eq(outcomes.iter().map(|(_, outcomes)| outcomes.block)) {
            return Err("what records emitted is not of their blocks");
        }
        let outboxes = self.execute_again(outcomes, oldest_own);
        let own = own_records(&records, outboxes, oldest_own)?;
        let pairs = |other| self.executor.pair(other);
        self.crossshard =
            CrossShard::adopt(self.authority, self.shard, self.rules.clone(), crossshard, own, &pairs)?;
        self.chain = Chain::restore(self.shard, chain::Head::of_last(dropped, record), records)?;
        self.undo.starts_after(last.block);
        self.executed = block;
        self.settlement.certified(self.chain.confirmed());
        let before =
            orders.front().map_or(CommitIndex(0), |order| CommitIndex(order.commit.0.saturating_sub(1)));
        self.blocks = Blocks::restore(before, Vec::new(), Default::default());
        for order in &orders {
            self.take_order(now, order, effects);
        }
        for source in shards.iter() {
            self.crossshard.connected(now, Party::Worker(self.authority, source), effects);
        }
        Ok(())
    }

    /// Whether blocks may be executed: the state is there, and it is settled where in the order it stands.
    pub(super) fn is_placed(&mut self, now: Timestamp, effects: &mut Vec<Effect>) -> bool {
        let Some(close) = self.sync.placing().cloned() else { return !self.sync.is_under_way() };
        let executor = &self.executor;
        let next_source = executor.totals().next_source;
        let pairs = |other| executor.pair(other);
        match self.crossshard.deliver(now, &close, &pairs, next_source, effects) {
            Delivery::Waiting => false,
            Delivery::Ready { receipts, .. } if receipts.is_empty() => {
                self.sync.placed();
                true
            }
            // A block before had input after all: what it gave will be certified, and a later state is to be had.
            Delivery::Ready { .. } => {
                self.begin_sync(now, self.blocks.last().next(), effects);
                false
            }
        }
    }
}

/// Where in the log the state was given up last, if that is not before `needed`.
pub(super) fn begun(log: &Entries, needed: EntryNumber) -> Option<EntryNumber> {
    let begins = |entry: &LogEntry| matches!(entry, LogEntry::Sync(SyncEntry::Begin(_)));
    let place = log.entries.iter().rposition(begins)?;
    Some(EntryNumber(log.first.0 + place as u64)).filter(|begun| *begun >= needed)
}

/// The last commit whose order is in the log.
fn last_order(log: &Entries) -> CommitIndex {
    let orders = log.entries.iter().rev().find_map(|entry| match entry {
        LogEntry::Order(order) => Some(order.commit),
        _ => None,
    });
    orders.unwrap_or_default()
}

/// An executor and a tree without any leaf.
fn nothing(config: &Config) -> (Executor, Tree) {
    let (shard, shards) = (config.shard, config.rules.shards);
    let executor = Executor::restore(shard, shards, &config.genesis.parameters, []);
    (with_engine(executor, config.execution), with_threads(Tree::new(shards, shard), config.execution))
}

/// With the threads that were configured.
pub(super) fn with_threads(mut tree: Tree, execution: Option<Execution>) -> Tree {
    if let Some(threads) = execution.and_then(|execution| NonZeroUsize::new(execution.threads)) {
        tree.set_threads(threads);
    }
    tree
}

/// The same for blocks.
pub(super) fn with_engine(mut executor: Executor, execution: Option<Execution>) -> Executor {
    if let Some(Execution { threads, policy, clock }) = execution {
        executor.set_engine(Engine::new(threads, policy, clock));
    }
    executor
}
