//! What the beacon decides: commits, and what a commit means to one shard.

use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

use crate::{
    AuthorityIndex, BatchId, BatchRef, BlockIndex, CommitDigest, CommitIndex, LogDigest, RecordDigest, Round,
    ShardId, Timestamp, VertexRef, codec,
    hash::{Domain, Root, hash},
};

/// A point in the order, named in vertex heads: equal votes of a quorum certify the order up to it.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    SchemaRead,
    SchemaWrite,
)]
pub struct CommitVote {
    /// A multiple of [`COMMITS_PER_CHECKPOINT`](crate::limits::COMMITS_PER_CHECKPOINT).
    pub index: CommitIndex,
    /// The digest of that commit; all zero for index 0.
    pub digest: CommitDigest,
}

/// The vertices that the anchors of one round order, with the time they give.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct Commit {
    /// Dense, from 1.
    pub index: CommitIndex,
    /// The digest of the commit before, all zero for the first.
    pub previous: CommitDigest,
    /// The last anchor of the commit.
    pub anchor: VertexRef,
    /// Lower stake-weighted median of the times of the anchor's parents, never before the last commit's time.
    pub time: Timestamp,
    /// After this commit nothing at or below this round is inserted, counted or ordered.
    pub floor: Round,
    /// What it orders, in order; the anchor comes last.
    pub vertices: Vec<VertexRef>,
    /// After a multiple of [`COMMITS_PER_CHECKPOINT`](crate::limits::COMMITS_PER_CHECKPOINT): the hash of the
    /// canonical state of the beacon including this commit's effects. Otherwise zero.
    pub state: Root,
}

impl Commit {
    /// Its chained digest.
    pub fn digest(&self) -> CommitDigest {
        CommitDigest(hash(Domain::Commit, &[&codec::encode(self)]))
    }
}

impl LogDigest {
    /// The order up to and including `vertices`, the first ones of the commit at `time` that follows `previous`.
    pub fn of(previous: CommitDigest, time: Timestamp, vertices: &[VertexRef]) -> Self {
        let mut bytes = codec::encode(&time);
        for vertex in vertices {
            bytes.extend(vertex.id.0);
        }
        Self(hash(Domain::Log, &[&previous.0, &bytes]))
    }
}

/// The highest certified record of a shard; block 0 and a zero digest before the first.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    SchemaRead,
    SchemaWrite,
)]
pub struct Certified {
    /// Its block.
    pub block: BlockIndex,
    /// The digest that a quorum attested. Earlier records of the shard follow, since it commits to them.
    pub record: RecordDigest,
}

/// A batch with its place in the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct OrderedBatch {
    /// Whose vertex named it.
    pub author: AuthorityIndex,
    /// Which batch.
    pub batch: BatchRef,
}

/// The end of a block, the same for all shards but for `usable`.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct Close {
    /// Which block ends.
    pub block: BlockIndex,
    /// The time of the commit that closes it.
    pub time: Timestamp,
    /// The time at which the block before closed: transactions valid until earlier are void.
    pub opened: Timestamp,
    /// The order up to here.
    pub log: LogDigest,
    /// Per shard, what was certified when the block before closed.
    pub certified: Vec<Certified>,
    /// Per source shard: receipts of its records up to this block are deliverable in this block. As of the close of
    /// the block before: the lesser of `certified` and what f + 1 authorities hold.
    pub usable: Vec<BlockIndex>,
}

/// One step of the order as a shard sees it.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum OrderEvent {
    /// The batch belongs to the open block.
    Batch(OrderedBatch),
    /// The batch was named in vain, since the shard's certification lags; it may be named again.
    Void(BatchId),
    /// The open block ends here.
    Close(Close),
}

/// What a commit means to one shard. Every commit has one, so a worker sees gaps.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct Order {
    /// Whose order it is.
    pub shard: ShardId,
    /// The commit.
    pub commit: CommitIndex,
    /// Its time.
    pub time: Timestamp,
    /// Its floor.
    pub floor: Round,
    /// What happens, in order.
    pub events: Vec<OrderEvent>,
    /// Per shard, what is certified after this commit.
    pub certified: Vec<Certified>,
    /// Blocks with batches of this shard that are closed and not certified: at half of the genesis' lag limit the
    /// worker stops offering batches.
    pub lag: u64,
}
