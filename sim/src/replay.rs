//! The log once more: one thread, all shards in one, no tree but the reference, no cross-shard machinery but lists.
//!
//! It takes the orders that beacons gave their workers and the batches that became durable, and replays a shard's next block
//! whenever some worker has the record of one. The two must be the same to the last bit: every balance and cursor by the root
//! of the state, every outcome by the root of the results, every receipt by that of the outbox. What clients were told is
//! compared as well. It shares with the workers the formats of `types` and nothing else.

use std::collections::{BTreeMap, VecDeque};

use fresnel_executor::reference::Reference;
use fresnel_state::tree::reference::ReferenceTree;
use fresnel_types::{
    Batch, BatchId, BlockIndex, Close, CommitIndex, Genesis, Order, OrderEvent, Outcome, Receipt,
    ReceiptKind, Record, Sequence, ShardId, SignedTransaction, StateKey, TransactionId, WriteSet,
    action::Payment,
    decode,
    leaves::{PairLeaf, TotalsLeaf},
    merkle,
    mmr::Mmr,
    proof::{Applied, results_leaves},
    receipt::outbox_root,
};

use crate::invariants::{Broken, hold};

/// All shards of a chain.
pub(crate) struct Replay {
    genesis: Genesis,
    state: Reference,
    lanes: Vec<Lane>,
    batches: BTreeMap<BatchId, Vec<SignedTransaction>>,
    /// How transactions ended that executed.
    outcomes: BTreeMap<TransactionId, Outcome>,
}

/// One shard.
struct Lane {
    /// Not taken yet.
    orders: BTreeMap<CommitIndex, Order>,
    /// The last one taken.
    commit: CommitIndex,
    /// Ordered behind the last close.
    open: Vec<BatchId>,
    /// Closed and not replayed.
    blocks: VecDeque<(Close, Vec<BatchId>)>,
    /// With every shard; that with itself stays empty.
    pairs: Vec<PairLeaf>,
    next_source: ShardId,
    leaves: BTreeMap<StateKey, Vec<u8>>,
    tree: ReferenceTree,
    range: Mmr,
    records: Vec<Record>,
    /// Everything ever emitted, by destination, with its block.
    emitted: Vec<Vec<(BlockIndex, Receipt)>>,
}

impl Replay {
    /// The start of a chain.
    pub(crate) fn new(genesis: &Genesis) -> Self {
        let shards = genesis.shards;
        let mut state = Reference::new(shards, genesis.parameters.account_minimum);
        genesis.accounts.iter().for_each(|account| state.fund(account.address, account.amount));
        let lane = |shard| Lane {
            orders: BTreeMap::new(),
            commit: CommitIndex(0),
            open: Vec::new(),
            blocks: VecDeque::new(),
            pairs: vec![PairLeaf::default(); shards.count()],
            next_source: ShardId(0),
            leaves: BTreeMap::new(),
            tree: ReferenceTree::new(shards, shard),
            range: Mmr::default(),
            records: Vec::new(),
            emitted: vec![Vec::new(); shards.count()],
        };
        let lanes = shards.iter().map(lane).collect();
        let genesis = genesis.clone();
        let mut replay = Self { genesis, state, lanes, batches: BTreeMap::new(), outcomes: BTreeMap::new() };
        for shard in shards.iter() {
            let removed = replay.write(shard);
            assert!(removed.is_none(), "there was nothing before");
        }
        replay
    }

    /// A batch that honest workers keep.
    pub(crate) fn batch(&mut self, id: BatchId, bytes: &[u8]) {
        self.batches.entry(id).or_insert_with(|| {
            let batch: Batch = decode(bytes).expect("machines keep only verified batches");
            batch.transactions
        });
    }

    /// What an honest beacon told its worker.
    pub(crate) fn order(&mut self, order: &Order) {
        self.lanes[order.shard.index()].orders.insert(order.commit, order.clone());
    }

    /// A worker computed its shard's next record.
    pub(crate) fn compare(&mut self, record: &Record) -> Result<(), Broken> {
        let (shard, block) = (record.shard, record.block);
        loop {
            let Some((close, batches)) = self.lanes[shard.index()].next_block() else {
                return broken(format!("({shard}, {block}) has a record before its order left a beacon"));
            };
            hold!("E1", close.block <= block, "({shard}, {}) has no record", close.block);
            if let Some(replayed) = self.execute(shard, &close, &batches)? {
                let difference = difference(record, &replayed);
                hold!(
                    "E1",
                    difference.is_empty(),
                    "record ({shard}, {block}) is not that of the reference: {difference}"
                );
                return Ok(());
            }
            hold!("E1", close.block < block, "({shard}, {block}) has a record and no input");
        }
    }

    /// A client was told how its transaction ended.
    pub(crate) fn ended(&self, transaction: &TransactionId, outcome: Outcome) -> Result<(), Broken> {
        if matches!(outcome, Outcome::Void(_)) {
            return Ok(());
        }
        let replayed = self.outcomes.get(transaction);
        hold!("E3", replayed == Some(&outcome), "{transaction} ended as {outcome:?}, replayed {replayed:?}");
        Ok(())
    }

    /// Replays a block; none without input.
    fn execute(
        &mut self,
        shard: ShardId,
        close: &Close,
        batches: &[BatchId],
    ) -> Result<Option<Record>, Broken> {
        let shards = self.genesis.shards;
        let (receipts, next_source) = self.due(shard, close);
        if batches.is_empty() && receipts.is_empty() {
            return Ok(None);
        }
        self.note_peers(shard, close);
        let lane = &mut self.lanes[shard.index()];
        let mut outbox = vec![Vec::new(); shards.count()];
        let mut applied = Vec::new();
        for (source, receipt) in receipts {
            let pair = &mut lane.pairs[source.index()].own;
            let (value, mut bounced) = (receipt.kind.value(), None);
            match receipt.kind {
                ReceiptKind::Request { sender, recipient, amount, asset } => {
                    pair.consumed.add(value);
                    if let Err(code) = self.state.receive(recipient, amount, asset) {
                        let kind = ReceiptKind::Bounce { recipient: sender, amount, asset, code };
                        let (sequence, transaction) = (Sequence(pair.emitted()), receipt.transaction);
                        outbox[source.index()].push(Receipt { sequence, transaction, kind });
                        pair.bounced.add(value);
                        bounced = Some(code);
                    }
                }
                ReceiptKind::Bounce { recipient, amount, asset, .. } => {
                    pair.returned.add(value);
                    self.state.give_back(recipient, amount, asset);
                }
            }
            let Receipt { sequence, transaction, .. } = receipt;
            applied.push(Applied { source, sequence, transaction, bounced });
        }
        let window = self.genesis.parameters.window;
        self.state.enter(shard, lane.pairs.iter().map(|pair| window - pair.outstanding()).collect());
        let mut outcomes = Vec::new();
        for id in batches {
            let Some(transactions) = self.batches.get(id) else {
                return broken(format!("batch {id} is executed and no honest worker keeps it"));
            };
            for signed in transactions {
                let (transaction, id) = (&signed.transaction, signed.transaction.id());
                let outcome = self.state.execute(signed, close.opened);
                outcomes.push((id, outcome));
                if !matches!(outcome, Outcome::Void(_)) {
                    let again = self.outcomes.insert(id, outcome);
                    hold!("E3", again.is_none(), "{id} executes twice: {again:?} and {outcome:?}");
                }
                let Some(Payment { recipient, asset, amount }) = transaction.action.payment() else {
                    continue;
                };
                let destination = shards.of_prefix(recipient.prefix());
                if outcome == Outcome::Success && destination != shard {
                    let pair = &mut lane.pairs[destination.index()].own;
                    let sender = transaction.sender.address();
                    let kind = ReceiptKind::Request { sender, recipient, amount, asset };
                    let sequence = Sequence(pair.emitted());
                    outbox[destination.index()].push(Receipt { sequence, transaction: id, kind });
                    pair.sent.add(kind.value());
                }
            }
        }
        lane.next_source = next_source;
        for (emitted, receipts) in lane.emitted.iter_mut().zip(&outbox) {
            emitted.extend(receipts.iter().map(|receipt| (close.block, *receipt)));
        }
        if let Some(key) = self.write(shard) {
            return broken(format!("block ({shard}, {}) removes the leaf {key}", close.block));
        }
        let lane = &mut self.lanes[shard.index()];
        let record = Record {
            epoch: self.genesis.epoch(),
            shard,
            block: close.block,
            log: close.log,
            position: lane.range.count(),
            earlier: lane.range.root(),
            state: lane.tree.root(),
            outbox: outbox_root(&outbox),
            results: merkle::root(results_leaves(&outcomes, &applied)),
            supply: self.state.supply(shard),
            burned: self.state.burned(shard),
            pairs: lane.pairs.iter().map(|pair| pair.own).collect(),
        };
        lane.range.append_record(&record.digest());
        lane.records.push(record.clone());
        Ok(Some(record))
    }

    /// The receipts that a block delivers, and whose turn is next: sources give up to [`TURN`] in turns, from that one on
    /// whose turn it is, until the budget is spent or all have given what is usable.
    fn due(&self, shard: ShardId, close: &Close) -> (Vec<(ShardId, Receipt)>, ShardId) {
        let own = &self.lanes[shard.index()];
        let count = self.lanes.len();
        let mut turns: VecDeque<(ShardId, VecDeque<Receipt>)> = (0..count)
            .map(|step| ShardId(((own.next_source.index() + step) % count) as u16))
            .filter(|source| *source != shard)
            .map(|source| {
                let usable = close.usable[source.index()];
                let cursor = own.pairs[source.index()].own.cursor() as usize;
                let emitted = &self.lanes[source.index()].emitted[shard.index()];
                let waiting = emitted.iter().skip(cursor).take_while(|(block, _)| *block <= usable);
                (source, waiting.map(|(_, receipt)| *receipt).collect())
            })
            .collect();
        let (mut due, mut next) = (Vec::new(), own.next_source);
        let mut budget = self.genesis.parameters.delivery_max as usize;
        while budget > 0
            && let Some((source, mut waiting)) = turns.pop_front()
        {
            let turn = TURN.min(budget).min(waiting.len());
            if turn == 0 {
                continue;
            }
            due.extend(waiting.drain(..turn).map(|receipt| (source, receipt)));
            next = ShardId(((source.index() + 1) % count) as u16);
            budget -= turn;
            turns.push_back((source, waiting));
        }
        (due, next)
    }

    /// Copies what the usable records of others say about the shard.
    fn note_peers(&mut self, shard: ShardId, close: &Close) {
        for source in self.genesis.shards.iter().filter(|source| *source != shard) {
            let usable = close.usable[source.index()];
            let records = &self.lanes[source.index()].records;
            // Who says falsely what it holds may make anything usable that is below what is.
            let Some(record) = records.iter().rfind(|record| record.block <= usable) else { continue };
            let (block, theirs) = (record.block, record.pairs[shard.index()]);
            let pair = &mut self.lanes[shard.index()].pairs[source.index()];
            if block > pair.peer_block {
                (pair.peer_block, pair.peer_consumed, pair.peer_bounced) =
                    (block, theirs.consumed, theirs.bounced);
            }
        }
    }

    /// Brings a shard's tree up to date. A leaf that is gone, which no program can bring about: so whoever sent something is
    /// there when it comes back, and no bounce is without a place.
    fn write(&mut self, shard: ShardId) -> Option<StateKey> {
        let shards = self.genesis.shards;
        let lane = &mut self.lanes[shard.index()];
        let mut leaves = self.state.leaves(shard);
        let totals = TotalsLeaf {
            supply: self.state.supply(shard),
            burned: self.state.burned(shard),
            next_source: lane.next_source,
        };
        leaves.insert(TotalsLeaf::key(shards, shard), totals.to_bytes());
        for (other, pair) in shards.iter().zip(&lane.pairs) {
            // A pair that nothing has passed is not there.
            if *pair != PairLeaf::default() {
                leaves.insert(PairLeaf::key(shards, shard, other), pair.to_bytes());
            }
        }
        let mut writes = WriteSet::default();
        for (key, leaf) in leaves.iter().filter(|(key, leaf)| lane.leaves.get(key) != Some(*leaf)) {
            writes.push(*key, Some(leaf));
        }
        let removed = lane.leaves.keys().find(|key| !leaves.contains_key(key)).copied();
        lane.tree.apply(&writes);
        lane.leaves = leaves;
        removed
    }
}

impl Lane {
    /// The next block that the orders so far close.
    fn next_block(&mut self) -> Option<(Close, Vec<BatchId>)> {
        while self.blocks.is_empty() {
            let order = self.orders.remove(&self.commit.next())?;
            self.commit = order.commit;
            for event in order.events {
                match event {
                    OrderEvent::Batch(ordered) => self.open.push(ordered.batch.id),
                    OrderEvent::Void(_) => {}
                    OrderEvent::Close(close) => {
                        self.blocks.push_back((close, std::mem::take(&mut self.open)));
                    }
                }
            }
        }
        self.blocks.pop_front()
    }
}

/// The fields in which two records differ.
fn difference(record: &Record, replayed: &Record) -> String {
    let fields = |record: &Record| {
        let Record { epoch, shard, block, log, position, earlier, state, outbox, results, .. } = record;
        let Record { supply, burned, pairs, .. } = record;
        [
            format!("epoch {epoch}, shard {shard}, block {block}"),
            format!("log {log}"),
            format!("position {position}, earlier {earlier:?}"),
            format!("state {state}"),
            format!("outbox {outbox:?}"),
            format!("results {results:?}"),
            format!("supply {supply}, burned {burned}"),
            format!("pairs {pairs:?}"),
        ]
    };
    let both = fields(record).into_iter().zip(fields(replayed));
    let differing = both.filter(|(one, other)| one != other);
    differing.map(|(one, other)| format!("\n  {one}\n  replayed: {other}")).collect()
}

fn broken<T>(what: String) -> Result<T, Broken> {
    Err(Broken { invariant: "E1", what })
}

/// Receipts that a source delivers in one turn.
const TURN: usize = 64;

#[cfg(test)]
mod tests;
