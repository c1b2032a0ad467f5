//! What a client hears about its transactions, and what it may ask.

use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

use crate::{
    Address, BlockIndex, Commit, CommitDigest, CommitIndex, Outcome, Record, RecordDigest, Round, ShardId,
    TransactionId, commit::Certified, leaves::Account, mmr::Mmr,
};

/// How far a transaction has come at the asked authority. Levels only rise.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, SchemaRead, SchemaWrite,
)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// In one worker's memory; survives no crash of it.
    Admitted,
    /// In a commit.
    Ordered,
    /// Executed by the asked authority.
    Executed,
    /// Its record is certified.
    Final,
    /// All its receipts are consumed, bounces included, in certified records.
    Settled,
}

/// News about one transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
pub struct Progress {
    /// Which.
    pub transaction: TransactionId,
    /// Where it is now.
    pub level: Level,
    /// How it ended, from [`Level::Executed`] on.
    pub outcome: Option<Outcome>,
    /// The block that holds it, from [`Level::Executed`] on.
    pub block: BlockIndex,
    /// Whether a receipt of it came back, at [`Level::Settled`].
    pub bounced: bool,
}

/// A question to a worker or beacon.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum Query {
    /// The account of an address, after the last executed block. To a worker.
    Account(Address),
    /// The last news about a transaction. To a worker.
    Transaction(TransactionId),
    /// Own records from a block on, as many as fit a reply. To a worker.
    Records(BlockIndex),
    /// Commit digests from an index on, as many as fit a reply. To a beacon.
    Commits(CommitIndex),
    /// Where the machine is.
    Status,
    /// The last news about a transaction, and from now on what follows, as if it had been submitted on this connection.
    /// To a worker.
    Follow(TransactionId),
    /// The account of an address after the last executed block, with the proof. To a worker, which answers once the
    /// record of that block is certified.
    Proof(Address),
    /// One commit. To a beacon.
    Commit(CommitIndex),
}

/// An answer to the [`Query`] of the same name.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum Answer {
    /// The account, if it exists, after this executed block.
    Account {
        /// The last executed block.
        block: BlockIndex,
        /// The account after it.
        account: Option<Account>,
    },
    /// The last news, if the transaction is known.
    Transaction(Option<Progress>),
    /// Records, ascending.
    Records(Vec<Record>),
    /// Index and digest, ascending.
    Commits(Vec<(CommitIndex, CommitDigest)>),
    /// A worker's position.
    Worker(WorkerStatus),
    /// A beacon's position.
    Beacon(BeaconStatus),
    /// The asked machine cannot answer this question.
    Unsupported,
    /// The account with its proof.
    Proof(Box<AccountProof>),
    /// The commit, if it is made and still kept.
    Commit(Option<Box<Commit>>),
    /// The worker has no proof to give.
    Unproven(Unproven),
}

/// An account after a block, with all that ties it to a certified record. `fresnel_client::check_account` checks it.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct AccountProof {
    /// The account after the block of `record`, if it exists.
    pub account: Option<Account>,
    /// The way to its leaf in the state of `record`: an encoded `fresnel_state::Proof`.
    pub path: Vec<u8>,
    /// The record of the block.
    pub record: Record,
    /// The mountain range over the records before `record`.
    pub range: Mmr,
    /// The digests of the records between `record` and `head`.
    pub between: Vec<RecordDigest>,
    /// The record that a quorum attested, when that is a later one than `record`; it commits to all before.
    pub head: Option<Record>,
}

impl AccountProof {
    /// The record that a quorum attested.
    pub fn certified(&self) -> Certified {
        let head = self.head.as_ref().unwrap_or(&self.record);
        Certified { block: head.block, record: head.digest() }
    }
}

/// Why there is no proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "snake_case")]
pub enum Unproven {
    /// Since the worker started, its shard executed no block.
    NoRecord,
    /// Too many wait for theirs, or certification is too far behind.
    Busy,
    /// The worker's own record differs from the certified one.
    Diverged,
}

/// Where a worker is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
pub struct WorkerStatus {
    /// Its shard.
    pub shard: ShardId,
    /// The last commit it stored.
    pub commit: CommitIndex,
    /// The last block it executed.
    pub executed: BlockIndex,
    /// The last record of its shard that it knows certified.
    pub certified: Certified,
    /// Transactions admitted here and not final.
    pub pending: u64,
    /// Receipts that this shard emitted and whose end it has not seen, over all destinations.
    pub in_flight: u64,
    /// Why it stopped executing, if it did: its own record differs from the certified one.
    pub diverged: Option<BlockIndex>,
}

/// Where a beacon is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
pub struct BeaconStatus {
    /// The round of its last vertex.
    pub round: Round,
    /// Its last commit.
    pub commit: CommitIndex,
    /// The digest of that commit.
    pub digest: CommitDigest,
    /// The floor after it.
    pub floor: Round,
}
