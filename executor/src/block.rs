//! What goes into the execution of a block and what comes out.

use fresnel_types::{
    Outcome, Pair, PeerCounters, Receipt, ShardId, SignedTransaction, Timestamp, TransactionId, WriteSet,
    hash::Root, leaves::TotalsLeaf, proof::Applied,
};

/// The input of a block, the same at every worker of the shard.
#[derive(Clone, Copy, Debug)]
pub struct BlockInput<'a> {
    /// The commit time at which the block opened; what was valid until before is expired.
    pub opened: Timestamp,
    /// What usable records of other shards say about own requests.
    pub peers: &'a [PeerCounters],
    /// The source shard that comes first in the next block.
    pub next_source: ShardId,
    /// To be consumed in this order, each with its source; dense from the cursor of its pair.
    pub receipts: &'a [(ShardId, Receipt)],
    /// To be executed in this order.
    pub batches: &'a [&'a [SignedTransaction]],
}

/// The result of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockOutput {
    /// How every ordered transaction ended, in order.
    pub outcomes: Vec<(TransactionId, Outcome)>,
    /// How every receipt ended, in order.
    pub applied: Vec<Applied>,
    /// The receipts emitted, one list per shard, the own one empty.
    pub outbox: Vec<Vec<Receipt>>,
    /// Every changed leaf.
    pub writes: WriteSet,
    /// Over outcomes, then applied receipts.
    pub results: Root,
    /// The shard's totals after the block.
    pub totals: TotalsLeaf,
    /// All that ever passed between this shard and each other, the own entry zero.
    pub pairs: Vec<Pair>,
}
