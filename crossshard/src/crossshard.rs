//! The sub-machine.

use std::sync::Arc;

use fresnel_types::{
    AuthorityIndex, BlockIndex, Bundle, Close, Effect, Message, Party, Receipt, Record, ShardId, Tally, Timestamp,
    commit::Certified, leaves::PairLeaf, verify::Rules,
};

/// What a block takes from other shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Bundles that the block needs are missing or do not match the certified record: they are being fetched. Ask
    /// again after the next message or tick.
    Waiting,
    /// The same at every worker of the shard.
    Ready {
        /// To be consumed in this order, each with its source.
        receipts: Vec<(ShardId, Receipt)>,
        /// What a block with input first copies into its pair leaves, ascending by shard.
        peers: Vec<PeerCounters>,
        /// For the totals leaf of a block with input.
        next_source: ShardId,
    },
}

/// What another shard's usable record says about own requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerCounters {
    /// The other shard.
    pub shard: ShardId,
    /// The block of its record.
    pub block: BlockIndex,
    /// Own requests that it consumed.
    pub consumed: Tally,
    /// Of these, the ones it bounced.
    pub bounced: Tally,
}

/// What happened since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Bundles accepted.
    pub accepted: u64,
    /// Bundles refused.
    pub refused: u64,
    /// Requests for missing bundles.
    pub requested: u64,
    /// Times that held bundles were not what was certified.
    pub contradicted: u64,
}

/// The receipts of a worker.
#[derive(Debug)]
pub struct CrossShard {
    authority: AuthorityIndex,
    shard: ShardId,
    rules: Arc<Rules>,
}

impl CrossShard {
    /// Nothing emitted, nothing received.
    pub fn new(authority: AuthorityIndex, shard: ShardId, rules: Arc<Rules>) -> Self {
        Self { authority, shard, rules }
    }
    /// Takes a bundle from the log.
    pub fn recover_bundle(&mut self, _bundle: Bundle) {}
    /// The own shard's next record with what it owes, one list per shard: keeps it and tells the own siblings.
    pub fn emit(&mut self, _record: &Record, _outbox: Vec<Vec<Receipt>>, _effects: &mut Vec<Effect>) {}
    /// `Bundle` and `BundleRequest`. Others are ignored.
    pub fn handle(&mut self, _now: Timestamp, _from: Party, _message: Message, _effects: &mut Vec<Effect>) {}
    /// What the log certified, after each order.
    pub fn certified(&mut self, _now: Timestamp, _certified: &[Certified], _effects: &mut Vec<Effect>) {}
    /// Per source, up to which block all bundles are here, durably once the effects so far are.
    pub fn held(&self) -> Vec<BlockIndex> {
        vec![BlockIndex(0); self.rules.shards.count()]
    }
    /// What the block that `close` ends takes. `pairs` and `next_source` are the leaves before the block. Blocks come
    /// in order; one may be asked for again.
    pub fn deliver(
        &mut self,
        _now: Timestamp,
        _close: &Close,
        _pairs: &dyn Fn(ShardId) -> PairLeaf,
        next_source: ShardId,
        _effects: &mut Vec<Effect>,
    ) -> Delivery {
        Delivery::Ready { receipts: vec![], peers: vec![], next_source }
    }
    /// The bundle of a record of `source` that is known to be certified, as long as it is kept.
    pub fn record(&self, _source: ShardId, _block: BlockIndex) -> Option<&Bundle> {
        None
    }
    /// The newest bundle of `source` whose record is known to be certified.
    pub fn newest(&self, _source: ShardId) -> Option<&Bundle> {
        None
    }
    /// A link was established (again).
    pub fn connected(&mut self, _now: Timestamp, _party: Party, _effects: &mut Vec<Effect>) {}
    /// Does what is due.
    pub fn tick(&mut self, _now: Timestamp, _effects: &mut Vec<Effect>) {}
    /// When [`Self::tick`] must be called.
    pub fn deadline(&self) -> Option<Timestamp> {
        None
    }
    /// What happened since the start.
    pub fn counters(&self) -> Counters {
        let _ = (self.authority, self.shard);
        Counters::default()
    }
}
