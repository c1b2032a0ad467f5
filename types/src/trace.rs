//! The way of one transaction through the machines, as instants. All machines sample the same ones, by their ids, so that
//! the answers of all of them put together tell the whole way.

use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

use crate::{BlockIndex, Timestamp, TransactionId};

/// A step on the way. At the authority that admitted it a transaction takes all of them but those of the other shard.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, SchemaRead, SchemaWrite,
)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Admitted here.
    Admitted,
    /// Its batch was sealed here, or came, and is durable.
    Stored,
    /// A quorum holds its batch, and the own beacon may name it.
    Offered,
    /// The order of its batch came from the own beacon.
    Ordered,
    /// Its block was executed here.
    Executed,
    /// The record of that block is certified.
    Final,
    /// In the other shard: its receipt was consumed by a block executed here.
    Applied,
    /// In the other shard: the record of that block is certified.
    AppliedFinal,
    /// All its receipts are consumed in certified records.
    Settled,
}

/// What one worker knows of a sampled transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
pub struct Trace {
    /// Which.
    pub transaction: TransactionId,
    /// The block that executed it, or consumed its receipt.
    pub block: Option<BlockIndex>,
    /// Steps with their instants by the clock of the worker's process, in the order in which they were taken.
    pub steps: Vec<(Step, Timestamp)>,
}

/// Whether the transaction is one of those whose way is kept: one in 1,024.
pub fn is_sampled(transaction: &TransactionId) -> bool {
    // The first bytes decide too much else: a block's order in maps, and what people compare by eye.
    transaction.0[31] == 0 && transaction.0[30] & 0b11 == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_1024_is_sampled() {
        let id = |number: u32| TransactionId(*blake3::hash(&number.to_le_bytes()).as_bytes());
        let sampled = (0..1_024 * 100).filter(|number| is_sampled(&id(*number))).count();
        assert!((70..130).contains(&sampled), "{sampled} of about 100");
    }
}
