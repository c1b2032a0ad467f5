//! The switch: every input of a worker, to the sub-machine that it concerns; then what follows from all of them.

use std::sync::Arc;

use fresnel_crossshard::{CrossShard, Delivery};
use fresnel_executor::{
    BlockInput, BlockOutput, Executor,
    engine::{Clock, Policy},
};
use fresnel_mempool::{Batching, Candidate, Counters, Mempool};
use fresnel_state::{MultiProof, Tree};
use fresnel_types::{
    Attestation, AuthorityIndex, Batch, BatchRef, BlockIndex, ClientId, CommitIndex, Effect, Entries,
    EntryNumber, Genesis, Input, LogEntry, Machine, Message, Order, OrderedBatch, Outcome, Pair, Party,
    Receipt, ReceiptKind, Record, RejectionCode, ShardId, Shards, SignedTransaction, StateKey, StateRoot,
    Timestamp, TransactionId, Verified, WriteSet,
    ablation::Part,
    checkpoint::Restored,
    codec, decode,
    hash::Root,
    identities::{Unsigned, addresses},
    message::Offer,
    proof::{Claim, KEYS_PER_PROOF_MAX, Wanted},
    receipt::outbox_root,
    snapshot::SyncEntry,
    status::{Answer, ExecutionCauses, ExecutionCounts, Query, Unproven, WorkerCounts, WorkerStatus},
    verify::Rules,
};

use crate::{
    blocks::{Block, Blocks},
    chain::Chain,
    checkpoints::{Checkpointing, Checkpoints, Outcomes},
    limits::RECORD_BYTES_PER_ANSWER_MAX,
    proofs::{self, Early, Proofs},
    settlement::Settlement,
    sync::{Serving, Sync},
    tally::Tally,
    traces::Traces,
    undo::Undo,
};

mod portable;
mod snapshot;
mod syncing;

pub use portable::portable;

/// What a worker is and what it must know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its authority.
    pub authority: AuthorityIndex,
    /// Its shard.
    pub shard: ShardId,
    /// The chain's first state.
    pub genesis: Arc<Genesis>,
    /// The chain's rules.
    pub rules: Arc<Rules>,
    /// Local limits.
    pub batching: Batching,
    /// When checkpoints are taken.
    pub checkpointing: Checkpointing,
    /// Threads for blocks; without it the worker's own does everything. No record depends on it.
    pub execution: Option<Execution>,
}

/// How blocks are executed.
#[derive(Clone, Copy, Debug)]
pub struct Execution {
    /// How many threads, the worker's own included.
    pub threads: usize,
    /// When they speculate.
    pub policy: Policy,
    /// What the engine measures itself with.
    pub clock: Clock,
}

/// Why a log does not restore a worker.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The order in the log has a gap.
    #[error("the log holds the order of commit {found} after that of {last}")]
    Gap {
        /// The last one that follows from the genesis without a gap.
        last: CommitIndex,
        /// What comes next in the log.
        found: CommitIndex,
    },
    /// An entry that workers do not write.
    #[error("the log holds an entry of a beacon")]
    Foreign,
    /// Entries that lead from the checkpoint, or from the genesis, to the rest of the log are not there.
    #[error("the log holds the entries from {first} to before {next}; what is before {needed} is restored")]
    Apart {
        /// The first entry in the log.
        first: EntryNumber,
        /// The number after the last one.
        next: EntryNumber,
        /// The first entry that the checkpoint does not cover; 0 without one.
        needed: EntryNumber,
    },
    /// A checkpoint that is not what a worker of this shard made.
    #[error("the checkpoint is damaged: {0}")]
    Damaged(&'static str),
}

impl RecoveryError {
    /// Whether a log is whole but begins later than what is left of the state.
    pub fn is_lost_state(&self) -> bool {
        matches!(self, Self::Apart { first, needed, .. } if first > needed)
    }
}

/// A shard's worker at one authority.
pub struct Worker {
    config: Config,
    authority: AuthorityIndex,
    shard: ShardId,
    rules: Arc<Rules>,
    mempool: Mempool,
    crossshard: CrossShard,
    executor: Executor,
    tree: Tree,
    blocks: Blocks,
    chain: Chain,
    settlement: Settlement,
    proofs: Proofs,
    undo: Undo,
    /// From where on the order was last asked for.
    asked: CommitIndex,
    /// The time of the last commit.
    commit_time: Timestamp,
    /// The last block executed or passed.
    executed: BlockIndex,
    /// Per other shard: the last block whose certified bundle settlement has seen.
    settled: Vec<BlockIndex>,
    /// What the own beacon was told last, but for batches and attestations, which only add up.
    offered: Offer,
    /// Attestations since the last offer.
    attestations: Vec<Attestation>,
    checkpoints: Checkpoints,
    sync: Sync,
    serving: Serving,
    /// Whether a checkpoint may interrupt the execution of blocks, and did.
    may_pause: bool,
    paused: bool,
    traces: Traces,
    tally: Tally,
}

impl Worker {
    /// Restores a worker from its last checkpoint, if it has one, and its log; an empty log without one starts from the
    /// genesis.
    ///
    /// # Errors
    /// When the log contradicts itself or does not go with the checkpoint, or the checkpoint is damaged.
    pub fn open(
        config: Config,
        restored: Option<Restored>,
        log: Entries,
        now: Timestamp,
    ) -> Result<Self, RecoveryError> {
        let (first, next) = (log.first, log.next());
        let needed = restored.as_ref().map_or(EntryNumber(0), |restored| restored.entry);
        if first > needed || needed > next {
            return Err(RecoveryError::Apart { first, next, needed });
        }
        if let Some(begun) = syncing::begun(&log, needed) {
            return Self::open_without_state(config, restored.as_ref(), log, begun, now);
        }
        let mut covered = log.entries;
        let entries = covered.split_off((needed.0 - first.0) as usize);
        let mut worker = match restored {
            Some(restored) => Self::restore(config, restored, now)?,
            None => Self::genesis(config, now),
        };
        worker.recover(first, next, covered, needed, entries, now)?;
        Ok(worker)
    }

    /// Takes a log from entry `first` to before `next`: what is covered, and what is replayed from entry `from` on.
    fn recover(
        &mut self,
        first: EntryNumber,
        next: EntryNumber,
        covered: Vec<LogEntry>,
        from: EntryNumber,
        entries: Vec<LogEntry>,
        now: Timestamp,
    ) -> Result<(), RecoveryError> {
        self.checkpoints.appended(next);
        self.recover_covered(first, covered)?;
        self.replay(from, entries, now)?;
        self.mempool.replayed();
        self.may_pause = true;
        self.attestations = self.chain.outstanding();
        // What was executed again just now took its steps in an earlier life.
        (self.traces, self.tally) = (Traces::default(), Tally::default());
        Ok(())
    }

    fn genesis(config: Config, now: Timestamp) -> Self {
        let (executor, funding) = Executor::genesis(config.shard, &config.genesis);
        let mut tree = syncing::with_threads(Tree::new(config.rules.shards, config.shard), config.execution);
        tree.apply(&funding);
        let checkpoints = Checkpoints::new(config.checkpointing.clone(), now, funding);
        Self::new(config, executor, tree, checkpoints)
    }

    /// With these leaves and nothing else.
    fn new(config: Config, executor: Executor, tree: Tree, checkpoints: Checkpoints) -> Self {
        let Config { authority, shard, rules, batching, execution, .. } = config.clone();
        let executor = syncing::with_engine(executor, execution);
        let mempool = fresnel_mempool::Config { authority, shard, rules: rules.clone(), batching };
        Self {
            config,
            authority,
            shard,
            mempool: Mempool::new(mempool),
            crossshard: CrossShard::new(authority, shard, rules.clone()),
            executor,
            tree,
            blocks: Blocks::default(),
            chain: Chain::new(shard),
            settlement: Settlement::default(),
            proofs: Proofs::default(),
            undo: Undo::default(),
            asked: CommitIndex(0),
            commit_time: Timestamp(0),
            executed: BlockIndex(0),
            settled: vec![BlockIndex(0); rules.shards.count()],
            offered: Offer { shard, ..Offer::default() },
            attestations: Vec::new(),
            checkpoints,
            sync: Sync::new(authority, shard, rules.clone()),
            serving: Serving::new(shard, BlockIndex(0)),
            may_pause: false,
            paused: false,
            traces: Traces::default(),
            tally: Tally::default(),
            rules,
        }
    }

    /// Where it is.
    pub fn status(&self) -> WorkerStatus {
        WorkerStatus {
            shard: self.shard,
            commit: self.blocks.last(),
            executed: self.executed,
            certified: self.chain.certified(),
            pending: self.mempool.pending(),
            in_flight: self.settlement.in_flight(),
            diverged: self.chain.diverged(),
        }
    }

    /// What was counted, and what waits.
    pub fn counts(&self, now: Timestamp) -> WorkerCounts {
        let Counters { admitted, rejected, sealed, stored, refused, resent, requested } =
            self.mempool.counters();
        let others = self.rules.shards.iter().filter(|shard| *shard != self.shard);
        let limit = self.rules.parameters.window;
        WorkerCounts {
            admitted,
            rejected,
            batches_sealed: sealed,
            batches_stored: stored,
            batches_refused: refused,
            batches_resent: resent,
            batches_requested: requested,
            unordered: self.mempool.pending(),
            queue_age: self.mempool.age(now),
            blocks_waiting: self.blocks.waiting() as u64,
            windows: others.map(|other| (other, self.executor.pair(other).outstanding(), limit)).collect(),
            execution: self.execution_counts(),
            causes: self.execution_causes(),
            ..self.tally.counts()
        }
    }

    fn execution_counts(&self) -> ExecutionCounts {
        let Some(metrics) = self.executor.metrics() else {
            return ExecutionCounts { threads: 1, ..ExecutionCounts::default() };
        };
        ExecutionCounts {
            threads: self.executor.threads() as u64,
            serial: metrics.serial,
            speculative: metrics.speculative,
            ahead: metrics.executions_ahead,
            reexecuted: metrics.reexecuted(),
            switches: metrics.switches(),
        }
    }

    fn execution_causes(&self) -> ExecutionCauses {
        let metrics = self.executor.metrics().unwrap_or_default();
        ExecutionCauses {
            validations: metrics.validations,
            in_turn: metrics.in_turn,
            reexecuted_value: metrics.reexecuted_value,
            reexecuted_existence: metrics.reexecuted_existence,
            reexecuted_counter: metrics.reexecuted_counter,
            reexecuted_wasted: metrics.reexecuted_wasted,
            switched_cheap: metrics.switched_cheap,
            switched_dear: metrics.switched_dear,
            switched_conflicts: metrics.switched_conflicts,
            switched_slow: metrics.switched_slow,
            serial_us: metrics.serial_ns / 1_000,
            speculation_us: metrics.speculation_ns / 1_000,
        }
    }

    /// Closed blocks that were not executed yet.
    pub fn waiting_blocks(&self) -> usize {
        self.blocks.waiting()
    }

    /// Own records from `from` on, at most `limit`.
    pub fn records(&self, from: BlockIndex, limit: usize) -> Vec<Record> {
        self.chain.records(from, limit)
    }

    /// Of what a checkpoint covers, batches are kept for peers that may lack them.
    fn recover_covered(&mut self, first: EntryNumber, log: Vec<LogEntry>) -> Result<(), RecoveryError> {
        for (number, entry) in (first.0..).map(EntryNumber).zip(log) {
            match entry {
                LogEntry::Batch(bytes) => self.mempool.recover_covered(number, bytes),
                LogEntry::Bundle(_) | LogEntry::Order(_) | LogEntry::Sync(_) => {}
                LogEntry::Vertex(_)
                | LogEntry::Vote(_)
                | LogEntry::Certificate(_)
                | LogEntry::Commit(_)
                | LogEntry::Checkpoint(_)
                | LogEntry::Evidence(_)
                | LogEntry::Resumed(_) => return Err(RecoveryError::Foreign),
            }
        }
        Ok(())
    }

    /// Takes the entries as they came. In another order the bounds on what waits here would bind where they never did:
    /// the floor would drop batches that a later order names, and bundles would not be taken so far ahead of the blocks
    /// that consume them. What the replay would send again is told when the links come up.
    fn replay(
        &mut self,
        first: EntryNumber,
        log: Vec<LogEntry>,
        now: Timestamp,
    ) -> Result<(), RecoveryError> {
        let mut effects = Vec::new();
        for (number, entry) in (first.0..).map(EntryNumber).zip(log) {
            match entry {
                LogEntry::Batch(bytes) => self.mempool.recover_batch(number, bytes),
                LogEntry::Bundle(bundle) => self.crossshard.recover_bundle(bundle),
                LogEntry::Sync(SyncEntry::Begin(first)) => self.give_up_state(now, first),
                LogEntry::Sync(entry) => self.sync.replay(entry),
                LogEntry::Order(order) => {
                    let last = self.blocks.last();
                    if order.commit != last.next() {
                        return Err(RecoveryError::Gap { last, found: order.commit });
                    }
                    self.take_order(now, &order, &mut effects);
                }
                LogEntry::Vertex(_)
                | LogEntry::Vote(_)
                | LogEntry::Certificate(_)
                | LogEntry::Commit(_)
                | LogEntry::Checkpoint(_)
                | LogEntry::Evidence(_)
                | LogEntry::Resumed(_) => {
                    return Err(RecoveryError::Foreign);
                }
            }
            self.take_over(now, &mut effects);
            self.execute_ready(now, &mut effects);
            effects.clear();
        }
        Ok(())
    }

    fn message(&mut self, now: Timestamp, from: Party, message: Message, effects: &mut Vec<Effect>) {
        match message {
            Message::Order(order) => self.order(now, order, effects),
            Message::Batch(_)
            | Message::BatchStored(_)
            | Message::BatchRequest(_)
            | Message::Require { .. }
            | Message::Proposing(_) => self.mempool.handle(now, from, message, effects),
            // Without a state there is nothing to tell and nothing to compare with.
            Message::Bundle(_) | Message::BundleRequest { .. } if self.sync.is_fetching() => {}
            Message::Bundle(_) | Message::BundleRequest { .. } => {
                self.crossshard.handle(now, from, message, effects)
            }
            Message::Query { request, query } => self.query(now, from, request, &query, effects),
            Message::OrderGone(first) if first > self.blocks.last().next() => {
                self.begin_sync(now, first, effects)
            }
            Message::SnapshotRequest(request) => self.snapshot_request(now, from, request, effects),
            Message::Snapshot(answer) => self.snapshot_answer(now, from, answer, effects),
            // Whatever else passes the link is for beacons or clients, and says nothing to a worker.
            _ => {}
        }
    }

    fn order(&mut self, now: Timestamp, order: Order, effects: &mut Vec<Effect>) {
        let next = self.blocks.last().next();
        if order.commit > next {
            // Asked once: many orders follow a lost one, and each request has as many sent again. If the request is
            // lost too, the beacon sends the first order that was not stored after a while.
            if self.asked != next {
                self.ask_order(effects);
            }
        } else if order.commit == next {
            effects.push(Effect::Persist(LogEntry::Order(order.clone())));
            self.take_order(now, &order, effects);
            self.tell_beacon(Message::OrderStored(order.commit), effects);
        }
    }

    fn ask_order(&mut self, effects: &mut Vec<Effect>) {
        self.asked = self.blocks.last().next();
        self.tell_beacon(Message::OrderRequest(self.asked), effects);
    }

    fn take_order(&mut self, now: Timestamp, order: &Order, effects: &mut Vec<Effect>) {
        self.commit_time = order.time;
        if self.sync.take_order(order) {
            return self.blocks.pass_over(order.commit);
        }
        assert!(self.blocks.take(order), "the caller checked that commit {} is the next", order.commit);
        for transaction in self.mempool.order(now, order, effects) {
            self.settlement.ordered(&transaction);
        }
        self.crossshard.certified(now, &order.certified, effects);
        self.chain.certify(order.certified[self.shard.index()], self.executed);
        self.settlement.certified(self.chain.confirmed());
    }

    /// Executes every closed block whose batches and receipts are here.
    fn execute_ready(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        if !self.is_placed(now, effects) {
            return;
        }
        loop {
            if self.chain.diverged().is_some() {
                return self.pass_ready();
            }
            self.settle_consumed();
            let Some(block) = self.blocks.front() else { return };
            let absent: Vec<OrderedBatch> = block
                .batches
                .iter()
                .filter(|ordered| self.mempool.batch(&ordered.batch.id).is_none())
                .copied()
                .collect();
            for ordered in &absent {
                self.mempool.want(now, ordered.author, ordered.batch, effects);
            }
            let executor = &self.executor;
            let delivery = self.crossshard.deliver(
                now,
                &block.close,
                &|other| executor.pair(other),
                executor.totals().next_source,
                effects,
            );
            let Delivery::Ready { receipts, peers, next_source } = delivery else { return };
            if !absent.is_empty() {
                return;
            }
            if !self.knows_usable() {
                return self.refute(now, effects);
            }
            let block = self.blocks.pop().expect("the front was looked at above");
            self.executed = block.close.block;
            if block.batches.is_empty() && receipts.is_empty() {
                self.chain.pass(block.close.block);
                continue;
            }
            let batches = self.transactions(&block);
            let output = if self.rules.leaves_out(Part::Execution) {
                unexecuted(self.rules.shards, &self.executor, &batches)
            } else {
                self.executor.execute(&BlockInput {
                    opened: block.close.opened,
                    peers: &peers,
                    next_source,
                    receipts: &receipts,
                    batches: &batches.iter().map(Vec::as_slice).collect::<Vec<_>>(),
                })
            };
            self.conclude(now, &block, output, &receipts, effects);
            if self.may_pause && self.checkpoints.is_due_here() {
                self.paused = true;
                return;
            }
        }
    }

    /// Lets go of closed blocks that will not be executed, so that they and their batches do not pile up. As long as
    /// there is room, the batches stay for peers.
    fn pass_ready(&mut self) {
        while let Some(block) = self.blocks.front()
            && block.batches.iter().all(|ordered| self.mempool.holds(&ordered.batch.id))
        {
            block.batches.iter().for_each(|ordered| self.mempool.executed(&ordered.batch.id));
            self.blocks.pop();
        }
    }

    /// The transactions of the block's batches, whoever named them: an id takes effect once, so if another's naming
    /// made a batch void, that would cost its author the batch and its clients their transactions.
    fn transactions(&self, block: &Block) -> Vec<Vec<SignedTransaction>> {
        block
            .batches
            .iter()
            .map(|ordered| {
                let bytes = self.mempool.batch(&ordered.batch.id).expect("looked for before");
                let batch: Batch = decode(bytes).expect("the mempool keeps only batches that were verified");
                assert_eq!(batch.shard, self.shard, "the mempool takes only batches of its own shard");
                batch.transactions
            })
            .collect()
    }

    /// Tree, record, attestation, bundles and news of an executed block.
    fn conclude(
        &mut self,
        now: Timestamp,
        block: &Block,
        output: BlockOutput,
        receipts: &[(ShardId, Receipt)],
        effects: &mut Vec<Effect>,
    ) {
        let (position, earlier) = self.chain.head();
        let record = Record {
            epoch: self.rules.epoch,
            shard: self.shard,
            block: block.close.block,
            log: block.close.log,
            position,
            earlier,
            state: if self.rules.leaves_out(Part::Tree) {
                StateRoot::default()
            } else {
                let (state, before) = self.tree.apply_undoable(&output.writes);
                self.undo.executed(now, block.close.block, before);
                state
            },
            outbox: outbox_root(&output.outbox),
            results: output.results,
            supply: output.totals.supply,
            burned: output.totals.burned,
            pairs: output.pairs,
        };
        self.attestations.push(self.chain.append(record.clone()));
        let returned = receipts.iter().filter_map(|(_, receipt)| match receipt.kind {
            ReceiptKind::Bounce { .. } => Some(receipt.transaction),
            ReceiptKind::Request { .. } => None,
        });
        let returned: Vec<_> = returned.collect();
        self.tally.executed(&output.outcomes, &output.applied);
        let counts = block.batches.iter().map(|ordered| (ordered.batch.id, ordered.batch.count));
        self.traces.executed(now, record.block, counts, &output.outcomes, receipts);
        let fresh = self.settlement.executed(
            record.block,
            &output.outcomes,
            &output.outbox,
            returned.iter().copied(),
        );
        self.settlement.certified(self.chain.confirmed());
        self.proofs.executed(record.block, output.outcomes, output.applied);
        let outcomes = Outcomes::new(record.block, fresh, returned, output.outbox);
        let oldest = (self.chain.oldest(), self.crossshard.oldest_own().unwrap_or(record.position));
        self.checkpoints.gather(&record, output.writes, &outcomes, oldest.0, oldest.1);
        self.crossshard.emit(&record, outcomes.outbox(self.rules.shards), effects);
        block.batches.iter().for_each(|ordered| self.mempool.executed(&ordered.batch.id));
    }

    /// Shows settlement the bundles that became certified.
    fn settle_consumed(&mut self) {
        for source in self.rules.shards.iter().filter(|source| *source != self.shard) {
            let seen = &mut self.settled[source.index()];
            let consumed = self.executor.pair(source).own.cursor();
            for bundle in self.crossshard.verified(source, *seen) {
                self.settlement.consumed(self.shard, bundle, consumed);
                *seen = bundle.record.block;
            }
        }
    }

    fn submit(
        &mut self,
        now: Timestamp,
        client: ClientId,
        request: u64,
        transactions: Vec<Result<Verified<SignedTransaction>, RejectionCode>>,
        effects: &mut Vec<Effect>,
    ) {
        let checked = || transactions.iter().flatten().map(|signed| &signed.transaction);
        let hashed = Unsigned::of(checked()).ids();
        let senders = addresses(checked().map(|transaction| &transaction.sender));
        let accounts = self.executor.accounts(&senders);
        let mut found = hashed.into_iter().zip(senders).zip(accounts);
        let mut ids = Vec::with_capacity(transactions.len());
        let stateless = self.sync.is_under_way();
        let judge = |checked: Result<_, RejectionCode>| {
            let known = checked.is_ok().then(|| found.next()).flatten();
            ids.push(known.as_ref().map(|((id, _), _)| *id));
            let signed = checked?;
            // Without a state nothing can be said of any account: others can.
            if stateless {
                return Err(RejectionCode::Overloaded);
            }
            let ((id, sender), account) = known.expect("what was checked was hashed and looked for");
            if self.settlement.is_executed(&id) {
                return Err(RejectionCode::Duplicate);
            }
            Ok(Candidate { id, sender, account, signed })
        };
        let candidates = transactions.into_iter().map(judge).collect();
        let submission = self.mempool.submit(now, client, candidates, self.commit_time, effects);
        for (id, result) in ids.iter().zip(&submission.results) {
            if let (Some(id), None | Some(RejectionCode::Duplicate)) = (id, result) {
                self.settlement.listen(client, *id);
                if result.is_none() {
                    self.traces.admitted(now, *id);
                }
            }
        }
        effects.push(Effect::Send {
            to: vec![Party::Client(client)],
            message: Message::Admission {
                request,
                results: submission.results,
                retry_after: submission.retry_after,
            },
        });
    }

    fn query(&mut self, now: Timestamp, from: Party, request: u64, query: &Query, effects: &mut Vec<Effect>) {
        let account = |owner| Answer::Account { block: self.executed, account: self.executor.account(owner) };
        let answer = match (query, from) {
            (Query::Account(owner), _) => account(owner),
            (Query::AccountFrom(_, block), _) if self.executed < *block => Answer::Behind(self.executed),
            (Query::AccountFrom(owner, _), _) => account(owner),
            (Query::Leaf(key), _) => Answer::Leaf { block: self.executed, value: self.executor.leaf(key) },
            (Query::Transaction(id), _) => Answer::Transaction(self.settlement.progress(id)),
            (Query::Follow(id), Party::Client(client)) => {
                Answer::Transaction(self.settlement.follow(client, *id))
            }
            (Query::Proof(wanted), Party::Client(client)) => {
                return self.prove(Early::new(now, client, request, wanted.clone()), effects);
            }
            (Query::Trace(id), _) => Answer::Trace(self.traces.get(id).cloned().map(Box::new)),
            (Query::Traces, _) => Answer::Traces(self.traces.newest()),
            (Query::Counts, _) => Answer::Counts(Box::new(self.counts(now))),
            (Query::Records(from), _) => Answer::Records(self.records_of_an_answer(*from)),
            (Query::Status, _) => Answer::Worker(self.status()),
            (
                Query::Commits(_)
                | Query::Commit(_)
                | Query::Attested(_)
                | Query::Evidence
                | Query::Dag(_)
                | Query::Follow(_)
                | Query::Proof(_),
                _,
            ) => Answer::Unsupported,
        };
        effects.push(Effect::Send { to: vec![from], message: Message::Answer { request, answer } });
    }

    /// Answers a question for a proof now, or when what it is about has happened.
    fn prove(&mut self, asked: Early, effects: &mut Vec<Effect>) {
        let claim = match (self.is_to_come(&asked.wanted), self.chain.diverged()) {
            (true, None) => return self.proofs.keep(asked, effects),
            (true, Some(_)) => Err(Unproven::Diverged),
            (false, _) => self.claim(&asked.wanted),
        };
        self.proofs.ask(asked.client, asked.request, claim, &self.chain, effects);
    }

    /// Asks again what was asked too early.
    fn prove_early(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        for early in self.proofs.take_early(now, effects) {
            self.prove(early, effects);
        }
    }

    /// Whether something has not happened yet and may be expected to: the end of a transaction that was admitted or
    /// ordered here, or the consumption of a receipt that the window has room for.
    fn is_to_come(&self, wanted: &Wanted) -> bool {
        match wanted {
            Wanted::State(_) | Wanted::Past { .. } => false,
            Wanted::Outcome(transaction) | Wanted::Emitted(transaction) => {
                self.settlement.progress(transaction).is_some_and(|progress| progress.outcome.is_none())
            }
            Wanted::Applied { source, sequence } => {
                let is_other = *source != self.shard && self.rules.shards.contains(*source);
                is_other && {
                    let cursor = self.executor.pair(*source).own.cursor();
                    // As many requests of theirs and bounces of ours.
                    let end = cursor.saturating_add(2 * self.rules.parameters.window);
                    (cursor..end).contains(&sequence.0)
                }
            }
        }
    }

    /// What is wanted, as a claim about the record that says so.
    fn claim(&mut self, wanted: &Wanted) -> Result<(Record, Claim), Unproven> {
        let shards = self.rules.shards;
        let (block, claim) = match wanted {
            Wanted::State(keys) => return self.state_claim(keys, self.chain.confirmed(), true),
            Wanted::Past { block, keys } => return self.state_claim(keys, *block, false),
            Wanted::Outcome(transaction) => {
                let block = self.block_of(transaction)?;
                (block, self.proofs.outcome(block, transaction))
            }
            Wanted::Emitted(transaction) => {
                let block = self.block_of(transaction)?;
                let mut bundles = shards.iter().filter_map(|shard| self.crossshard.own_bundle(shard, block));
                (block, bundles.find_map(|bundle| proofs::emitted(&bundle, transaction)))
            }
            Wanted::Applied { source, sequence } => {
                let (block, claim) = self.proofs.applied(*source, *sequence).ok_or(Unproven::Unknown)?;
                (block, Some(claim))
            }
        };
        let record = self.chain.record(block).ok_or(Unproven::Unknown)?;
        Ok((record.clone(), claim.ok_or(Unproven::Unknown)?))
    }

    /// What keys held after `block`; or, where that costs too much and `or_newest`, what they hold now.
    fn state_claim(
        &mut self,
        keys: &[StateKey],
        block: BlockIndex,
        or_newest: bool,
    ) -> Result<(Record, Claim), Unproven> {
        let shards = self.rules.shards;
        let sound = (1..=KEYS_PER_PROOF_MAX).contains(&keys.len())
            && keys.is_sorted_by(|before, after| before < after)
            && keys.iter().all(|key| key.shard(shards) == self.shard);
        if !sound || self.rules.leaves_out(Part::Tree) {
            return Err(Unproven::Unknown);
        }
        let newest = self.chain.newest().ok_or(Unproven::NoRecord)?.clone();
        let past = self.chain.record_up_to(block).filter(|past| past.block < newest.block).cloned();
        let back = past.and_then(|past| Some((self.undo.back_to(past.block)?, past)));
        let Some((back, past)) = back else {
            let is_newest = block >= newest.block && block <= self.executed;
            return if or_newest || is_newest {
                Ok((newest, self.state_now(keys)))
            } else {
                Err(if block > self.executed { Unproven::Unknown } else { Unproven::Busy })
            };
        };
        let (state, again) = self.tree.apply_undoable(&back);
        assert_eq!(state, past.state, "taking blocks back leads to the state after block {}", past.block);
        let claim = self.state_now(keys);
        let state = self.tree.apply(&again);
        assert_eq!(
            state, newest.state,
            "making blocks again leads to the state after block {}",
            newest.block
        );
        Ok((past, claim))
    }

    /// What keys hold in the tree as it is.
    fn state_now(&self, keys: &[StateKey]) -> Claim {
        let ways: Vec<_> = keys.iter().map(|key| (*key, self.tree.prove(key))).collect();
        let tree = codec::encode(&MultiProof::join(self.rules.shards, &ways));
        let held = |key: &StateKey| (*key, self.tree.get(key).map(<[u8]>::to_vec));
        Claim::State { leaves: keys.iter().map(held).collect(), tree }
    }

    /// The block in which a transaction of this shard ended.
    fn block_of(&self, transaction: &TransactionId) -> Result<BlockIndex, Unproven> {
        let ended = self.settlement.progress(transaction).filter(|progress| progress.outcome.is_some());
        ended.map(|progress| progress.block).ok_or(Unproven::Unknown)
    }

    /// As many records as fit an answer. All records of a chain have the same length.
    fn records_of_an_answer(&self, from: BlockIndex) -> Vec<Record> {
        let length = self.chain.records(from, 1).first().map_or(1, codec::encoded_len);
        self.chain.records(from, RECORD_BYTES_PER_ANSWER_MAX / length)
    }

    fn connected(&mut self, now: Timestamp, party: Party, effects: &mut Vec<Effect>) {
        if party == Party::Beacon(self.authority) {
            self.ask_order(effects);
            self.attestations = self.chain.outstanding();
            let batches = self.mempool.outstanding();
            self.offer(batches, true, effects);
        }
        self.mempool.connected(now, party, effects);
        if !self.sync.is_fetching() {
            self.crossshard.connected(now, party, effects);
        }
    }

    /// Tells the own beacon what is new, if anything is.
    fn offer(&mut self, batches: Vec<BatchRef>, again: bool, effects: &mut Vec<Effect>) {
        let attestations = std::mem::take(&mut self.attestations);
        let held = self.crossshard.held();
        let pending = self.mempool.pending() > 0
            || self.blocks.has_input()
            || self.settlement.is_open()
            || self.crossshard.has_undelivered(&|other| self.executor.pair(other));
        let told = &mut self.offered;
        if !again
            && batches.is_empty()
            && attestations.is_empty()
            && told.held == held
            && told.pending == pending
        {
            return;
        }
        told.held.clone_from(&held);
        told.pending = pending;
        let offer = Offer { shard: self.shard, batches, attestations, held, pending };
        self.tell_beacon(Message::Offer(offer), effects);
    }

    fn tell_beacon(&self, message: Message, effects: &mut Vec<Effect>) {
        effects.push(Effect::Send { to: vec![Party::Beacon(self.authority)], message });
    }
}

/// What a block gives where a benchmark leaves execution out: every transaction succeeds and changes nothing.
fn unexecuted(shards: Shards, executor: &Executor, batches: &[Vec<SignedTransaction>]) -> BlockOutput {
    let transactions = batches.iter().flatten();
    BlockOutput {
        outcomes: transactions.map(|signed| (signed.transaction.id(), Outcome::Success)).collect(),
        applied: Vec::new(),
        outbox: vec![Vec::new(); shards.count()],
        writes: WriteSet::default(),
        results: Root::default(),
        totals: executor.totals(),
        pairs: vec![Pair::default(); shards.count()],
    }
}

impl Machine for Worker {
    fn handle(&mut self, now: Timestamp, input: Input, effects: &mut Vec<Effect>) {
        let before = effects.len();
        self.paused = false;
        match input {
            Input::Tick => {
                self.mempool.tick(now, effects);
                self.crossshard.tick(now, effects);
            }
            Input::Connected(party) => self.connected(now, party, effects),
            Input::Message { from, message } => self.message(now, from, message.into_inner(), effects),
            Input::Submit { client, request, transactions } => {
                self.submit(now, client, request, transactions, effects);
            }
            Input::Disconnected(client) => {
                self.settlement.forget_client(client);
                self.proofs.forget_client(client);
            }
            Input::Checkpointed(block) => {
                self.serving.stored(block);
                self.checkpoints.stored(block, effects);
            }
            Input::Snapshot(result) => self.snapshot_result(result, effects),
            Input::Recalled(number, entry) => {
                let bytes = entry.and_then(|entry| match *entry {
                    LogEntry::Batch(bytes) => Some(bytes),
                    _ => None,
                });
                self.mempool.recalled(number, bytes, effects);
            }
        }
        // An order may be executed right away.
        self.traces.observe(now, &effects[before..]);
        let observed = effects.len();
        let executed = self.executed;
        self.advance_sync(now, effects);
        self.execute_ready(now, effects);
        if self.executed > executed || self.chain.diverged().is_some() {
            self.prove_early(now, effects);
        }
        self.proofs.release(&self.chain, effects);
        let batches = self.mempool.take_offers();
        self.offer(batches, false, effects);
        self.traces.observe(now, &effects[observed..]);
        self.tally.observe(&effects[before..]);
        self.traces.certified(now, self.chain.confirmed(), &|id| self.settlement.progress(id));
        self.settlement.flush(effects);
        let mut number = self.checkpoints.next();
        for effect in &effects[before..] {
            if let Effect::Persist(entry) = effect {
                if matches!(entry, LogEntry::Batch(_)) {
                    self.mempool.logged(number);
                }
                number.0 += 1;
            }
        }
        self.checkpoints.appended(number);
        self.take_checkpoint(now, effects);
    }

    fn deadline(&self) -> Option<Timestamp> {
        let paused = self.paused.then_some(Timestamp(0));
        let deadlines = [paused, self.mempool.deadline(), self.crossshard.deadline(), self.sync.deadline()];
        deadlines.into_iter().flatten().min()
    }
}
