//! Records: what executing a block gave, as every honest worker of the shard computes it.

use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

use crate::{
    Amount, BlockIndex, Epoch, LogDigest, RecordDigest, ShardId, StateRoot, codec,
    hash::{Domain, Root, hash},
};

/// A cumulative count of receipts with the value they carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
pub struct Tally {
    /// How many.
    pub count: u64,
    /// How much; modulo 2^64, since the same value may pass a pair any number of times.
    pub value: u64,
}

impl Tally {
    /// Counts one more of `amount`.
    pub fn add(&mut self, amount: Amount) {
        self.count += 1;
        self.value = self.value.wrapping_add(amount.0);
    }
}

/// All that ever passed between a shard and one other shard, from this shard's side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
pub struct Pair {
    /// Requests emitted towards the other shard.
    pub sent: Tally,
    /// Requests of the other shard consumed, applied or bounced.
    pub consumed: Tally,
    /// Of `consumed`, those bounced: bounces emitted towards the other shard.
    pub bounced: Tally,
    /// Bounces of the other shard consumed: own requests that came back.
    pub returned: Tally,
}

impl Pair {
    /// Receipts emitted towards the other shard: the next outgoing sequence.
    pub fn emitted(&self) -> u64 {
        self.sent.count + self.bounced.count
    }

    /// Receipts consumed from the other shard: the next incoming sequence.
    pub fn cursor(&self) -> u64 {
        self.consumed.count + self.returned.count
    }
}

/// What another shard's usable record says about this shard's requests towards it: input of a block, copied into the
/// pair leaves before anything else happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerCounters {
    /// The other shard.
    pub shard: ShardId,
    /// The block of the record.
    pub block: BlockIndex,
    /// Own requests that it consumed.
    pub consumed: Tally,
    /// Of these, the ones it bounced.
    pub bounced: Tally,
}

/// The result of a block with input. A block without input has none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
pub struct Record {
    /// The epoch of the block.
    pub epoch: Epoch,
    /// Whose block it is.
    pub shard: ShardId,
    /// Which block.
    pub block: BlockIndex,
    /// The order up to the close of the block.
    pub log: LogDigest,
    /// How many records of the shard came before.
    pub position: u64,
    /// Mountain range over the digests of the records before.
    pub earlier: Root,
    /// The shard's state after the block.
    pub state: StateRoot,
    /// Over the receipts that the block emitted, one leaf per destination.
    pub outbox: Root,
    /// Over the outcomes of the block's transactions and receipts.
    pub results: Root,
    /// Sum of all balances of the shard after the block, savings included.
    pub supply: Amount,
    /// Burned in the shard since genesis: fees, and what leaves cost that are no accounts.
    pub burned: Amount,
    /// One per shard, the own entry zero.
    pub pairs: Vec<Pair>,
}

impl Record {
    /// Its identity.
    pub fn digest(&self) -> RecordDigest {
        RecordDigest(hash(Domain::Record, &[&codec::encode(self)]))
    }
}

/// A worker's statement of a record; signed as part of its author's vertex. The first ordered per author counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, SchemaRead, SchemaWrite)]
pub struct Attestation {
    /// Whose block.
    pub shard: ShardId,
    /// Which block.
    pub block: BlockIndex,
    /// Its record.
    pub record: RecordDigest,
}
