//! When blocks close, and what a block knows from its start.
//!
//! A block closes after a commit whose time is at least `block_interval` past the last close, after `block_commits_max`
//! commits that put batches into it, or right after the vertex with which any shard's bytes in it reach
//! `block_bytes_max`. What is certified and usable in a block is as of the close of the block before, so a worker
//! knows it when the block opens.

use fresnel_types::{BlockIndex, Close, LogDigest, Parameters, Shards, Timestamp, commit::Certified};
use wincode::{SchemaRead, SchemaWrite};

/// The last closed block and the open one.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct Blocks {
    closed: BlockIndex,
    /// When `closed` closed; 0 before the first.
    time: Timestamp,
    /// As of the close of `closed`, per shard.
    certified: Vec<Certified>,
    /// As of the close of `closed`, per destination and source.
    usable: Vec<Vec<BlockIndex>>,
    /// Bytes of the batches in the open block, per shard.
    bytes: Vec<u64>,
    /// Batches in the open block, per shard.
    batches: Vec<u64>,
    /// Commits that put batches into the open block.
    commits: u64,
    /// Whether a block closed since a record was last certified.
    closed_since_certified: bool,
}

impl Blocks {
    /// Before the first commit: block 1 is open.
    pub fn new(shards: Shards) -> Self {
        let count = shards.count();
        Self {
            closed: BlockIndex(0),
            time: Timestamp(0),
            certified: vec![Certified::default(); count],
            usable: vec![vec![BlockIndex(0); count]; count],
            bytes: vec![0; count],
            batches: vec![0; count],
            commits: 0,
            closed_since_certified: true,
        }
    }

    /// The last closed block.
    pub fn closed(&self) -> BlockIndex {
        self.closed
    }

    /// The open block.
    pub fn open(&self) -> BlockIndex {
        self.closed.next()
    }

    /// What is usable in the open block, per destination and source.
    pub fn usable(&self) -> &[Vec<BlockIndex>] {
        &self.usable
    }

    /// The most bytes that any shard has in the open block.
    pub fn bytes(&self) -> u64 {
        self.bytes.iter().copied().max().unwrap_or(0)
    }

    /// Whether `shard` has a batch in the open block.
    pub fn has_batches(&self, shard: usize) -> bool {
        self.batches[shard] > 0
    }

    /// Whether any shard has a batch in the open block.
    pub fn has_input(&self) -> bool {
        self.batches.iter().any(|&batches| batches > 0)
    }

    /// Whether a block closed since a record was last certified.
    pub fn closed_since_certified(&self) -> bool {
        self.closed_since_certified
    }

    /// A record was certified.
    pub fn certified(&mut self) {
        self.closed_since_certified = false;
    }

    /// A batch of `shard` belongs to the open block.
    pub fn add(&mut self, shard: usize, bytes: u32) {
        self.bytes[shard] += u64::from(bytes);
        self.batches[shard] += 1;
    }

    /// A commit ended, which put batches into the open block or did not; whether the block closes now.
    pub fn end_commit(&mut self, parameters: &Parameters, time: Timestamp, has_input: bool) -> bool {
        self.commits += u64::from(has_input);
        time >= self.time.plus(parameters.block_interval) || self.commits >= parameters.block_commits_max
    }

    /// Closes the open block and opens the next, which goes by these `certified` and `usable`. What it means to each
    /// shard, ascending.
    pub fn close(
        &mut self,
        time: Timestamp,
        log: LogDigest,
        certified: Vec<Certified>,
        usable: Vec<Vec<BlockIndex>>,
    ) -> Vec<Close> {
        let (block, opened) = (self.open(), self.time);
        let known = std::mem::replace(&mut self.certified, certified);
        let closes = std::mem::replace(&mut self.usable, usable)
            .into_iter()
            .map(|usable| Close { block, time, opened, log, certified: known.clone(), usable })
            .collect();
        self.closed = block;
        self.time = time;
        self.bytes.fill(0);
        self.batches.fill(0);
        self.commits = 0;
        self.closed_since_certified = true;
        closes
    }
}
