//! Receipts: what a source shard owes a destination, and the bundles in which they travel.

use wincode::{SchemaRead, SchemaWrite};

use crate::{
    Address, Amount, FailureCode, Record, Sequence, ShardId, TransactionId,
    action::Asset,
    hash::Root,
    merkle::{self, Path},
};

/// An obligation from one shard to another. Source and destination are those of the bundle that holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct Receipt {
    /// Dense per ordered pair of shards, requests and bounces alike.
    pub sequence: Sequence,
    /// The transaction that caused it.
    pub transaction: TransactionId,
    /// What is owed.
    pub kind: ReceiptKind,
}

/// What is owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum ReceiptKind {
    /// Credit `recipient`, or give the amount back to `sender` by a bounce.
    Request {
        /// Who was debited, in the source shard.
        sender: Address,
        /// Who is to be credited, in the destination shard.
        recipient: Address,
        /// How much.
        amount: Amount,
        /// Of what.
        asset: Asset,
    },
    /// A request that could not be applied comes back. A bounce is never bounced.
    Bounce {
        /// Who sent the request and gets the amount back.
        recipient: Address,
        /// How much.
        amount: Amount,
        /// Of what.
        asset: Asset,
        /// Why it came back.
        code: FailureCode,
    },
}

impl ReceiptKind {
    /// The value in flight: what it carries of the native asset.
    pub fn value(&self) -> Amount {
        match *self {
            Self::Request { amount, asset: Asset::Native, .. }
            | Self::Bounce { amount, asset: Asset::Native, .. } => amount,
            Self::Request { .. } | Self::Bounce { .. } => Amount(0),
        }
    }
}

/// The receipts of one record for one destination, with the proof that they are all of them.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct Bundle {
    /// For whom.
    pub destination: ShardId,
    /// The source's record; its shard is the source.
    pub record: Record,
    /// Ascending by sequence, maybe empty.
    pub receipts: Vec<Receipt>,
    /// From the destination's slice to `record.outbox`.
    pub path: Path,
}

impl Bundle {
    /// Whether the receipts are what the record's outbox holds for the destination.
    pub fn is_consistent(&self) -> bool {
        self.path.index == u64::from(self.destination.0)
            && self.path.count == self.record.pairs.len() as u64
            && self.path.root(slice_leaf(self.destination, &self.receipts)) == Some(self.record.outbox)
    }
}

/// The leaf of one destination's receipts in an outbox tree.
pub fn slice_leaf(destination: ShardId, receipts: &[Receipt]) -> [u8; 32] {
    let receipts = merkle::root(merkle::leaves(receipts));
    merkle::leaf(&(destination, receipts))
}

/// The root of an outbox: one slice per shard, ascending, the own one empty.
pub fn outbox_root(slices: &[Vec<Receipt>]) -> Root {
    merkle::root(slice_leaves(slices))
}

/// The leaves of an outbox tree.
pub fn slice_leaves(slices: &[Vec<Receipt>]) -> Vec<[u8; 32]> {
    slices.iter().enumerate().map(|(shard, receipts)| slice_leaf(ShardId(shard as u16), receipts)).collect()
}
