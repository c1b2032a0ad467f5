//! Batches: transactions of one shard collected by one author.

use wincode::{SchemaRead, SchemaWrite};

use crate::{
    AuthorityIndex, BatchId, ShardId, SignedTransaction, codec,
    hash::{Domain, hash},
};

/// Transactions of one shard, collected by one author.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct Batch {
    /// Who collected it and gets it named. It takes effect once, whoever names it first.
    pub author: AuthorityIndex,
    /// Whose transactions they are.
    pub shard: ShardId,
    /// At least one, in the order in which they execute.
    pub transactions: Vec<SignedTransaction>,
}

/// The name of a batch in a shard header, with what limits need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, SchemaRead, SchemaWrite)]
pub struct BatchRef {
    /// Hash of its bytes.
    pub id: BatchId,
    /// Transactions in it.
    pub count: u32,
    /// Its encoded length.
    pub bytes: u32,
}

impl BatchId {
    /// The identity of a batch with these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(hash(Domain::Batch, &[bytes]))
    }
}

impl Batch {
    /// Its bytes and its name.
    pub fn seal(&self) -> (Vec<u8>, BatchRef) {
        let bytes = codec::encode(self);
        let name = BatchRef {
            id: BatchId::of(&bytes),
            count: u32::try_from(self.transactions.len()).expect("the byte limit bounds the count"),
            bytes: u32::try_from(bytes.len()).expect("the codec's limit is far below"),
        };
        (bytes, name)
    }
}
