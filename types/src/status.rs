//! What a client hears about its transactions, and what it may ask.

use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

use crate::{
    Address, Attestation, AuthorityIndex, BlockIndex, Commit, CommitDigest, CommitIndex, Evidence, Outcome,
    Proof, Record, Round, ShardId, StateKey, TransactionId, VertexRef,
    commit::Certified,
    leaves::Account,
    proof::{SignedAttestation, Wanted},
    trace::Trace,
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
    /// A proof, but for the attestations. To a worker, which answers once the record is certified.
    Proof(Wanted),
    /// One commit. To a beacon.
    Commit(CommitIndex),
    /// Who attested a record, as far back as it is remembered. To a beacon.
    Attested(Attestation),
    /// As [`Query::Account`], not before this block: whoever has seen a later state must not be shown an earlier one,
    /// whichever authority it asks. To a worker.
    AccountFrom(Address, BlockIndex),
    /// The way of a sampled transaction. To a worker.
    Trace(TransactionId),
    /// The ids of sampled transactions that are remembered, the newest first, as many as fit a reply. To a worker.
    Traces,
    /// What was counted since the start, and what waits. To a worker.
    Counts,
    /// The bytes under a key of the state, after the last executed block. To a worker.
    Leaf(StateKey),
    /// The evidence against authorities. To a beacon.
    Evidence,
    /// The vertices of so many rounds up to the highest, as many as fit a reply. To a beacon.
    Dag(u64),
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
    /// The proof, without attestations of its head record.
    Proof(Box<Proof>),
    /// The commit, if it is made and still kept.
    Commit(Option<Box<Commit>>),
    /// The worker has no proof to give.
    Unproven(Unproven),
    /// Attestations of the record, ascending by author; fewer than a quorum when it is forgotten or not certified.
    Attested(Vec<SignedAttestation>),
    /// The worker has executed no further than this block, which is before the one asked for.
    Behind(BlockIndex),
    /// The way, if the transaction is sampled and remembered.
    Trace(Option<Box<Trace>>),
    /// Ids, the newest first.
    Traces(Vec<TransactionId>),
    /// Counts.
    Counts(Box<WorkerCounts>),
    /// The bytes under the key, if there are any.
    Leaf {
        /// The last executed block.
        block: BlockIndex,
        /// The bytes after it.
        value: Option<Vec<u8>>,
    },
    /// One per accused authority, ascending.
    Evidence(Vec<Evidence>),
    /// The youngest part of the DAG.
    Dag(DagView),
}

/// The youngest part of a beacon's DAG.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
pub struct DagView {
    /// Authorities, also those without a vertex in it.
    pub authorities: u16,
    /// The last commit.
    pub commit: CommitIndex,
    /// The floor after it.
    pub floor: Round,
    /// Certified vertices, ascending by round and author.
    pub vertices: Vec<DagVertex>,
}

/// A vertex of a [`DagView`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
pub struct DagVertex {
    /// Which.
    pub vertex: VertexRef,
    /// Authors of its parents, ascending.
    pub parents: Vec<AuthorityIndex>,
    /// Its weak links, ascending.
    pub weak: Vec<VertexRef>,
    /// Batches that it names.
    pub batches: u32,
    /// The commit that ordered it, if one did and it is remembered.
    pub commit: Option<CommitIndex>,
    /// Whether it is an anchor of that commit.
    pub anchor: bool,
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
    /// What was asked for never happened here, or is forgotten, or is none of the shard's business.
    Unknown,
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

/// What a worker counted since its start, and what waits in it now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
pub struct WorkerCounts {
    /// Transactions admitted.
    pub admitted: u64,
    /// Transactions refused.
    pub rejected: u64,
    /// Own batches sealed.
    pub batches_sealed: u64,
    /// Own batches offered to the beacon; once more where they were void.
    pub batches_offered: u64,
    /// Transactions in those.
    pub batched: u64,
    /// Bytes of those.
    pub batch_bytes: u64,
    /// Batches of others stored.
    pub batches_stored: u64,
    /// Batches of others not taken.
    pub batches_refused: u64,
    /// Times a batch was sent again.
    pub batches_resent: u64,
    /// Requests for missing batches.
    pub batches_requested: u64,
    /// Blocks executed.
    pub blocks: u64,
    /// Transactions by how they ended, in the order in which the first of each kind did.
    pub outcomes: Vec<(Outcome, u64)>,
    /// Receipts of other shards applied.
    pub applied: u64,
    /// Receipts of other shards sent back.
    pub bounced: u64,
    /// Transactions admitted and not ordered.
    pub unordered: u64,
    /// Microseconds that the oldest of them has waited, or, by blocks, what is ordered to be certified.
    pub queue_age: u64,
    /// Closed blocks that were not executed.
    pub blocks_waiting: u64,
    /// Per other shard: requests towards it whose end this shard has not seen, and how many there may be.
    pub windows: Vec<(ShardId, u64, u64)>,
    /// How the transactions of blocks were executed.
    pub execution: ExecutionCounts,
    /// Why they were executed so.
    pub causes: ExecutionCauses,
}

/// Why a worker's executor went about its transactions as it did, and what it took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
pub struct ExecutionCauses {
    /// Executions ahead whose checks were looked at.
    pub validations: u64,
    /// Transactions that speculations executed at the frontier without any execution ahead.
    pub in_turn: u64,
    /// Second executions because the first saw another value.
    pub reexecuted_value: u64,
    /// Second executions because the first saw something exist that does not, or the reverse.
    pub reexecuted_existence: u64,
    /// Second executions because a counter has room, or not, otherwise than the first saw.
    pub reexecuted_counter: u64,
    /// Second executions because the first panicked or had no room.
    pub reexecuted_wasted: u64,
    /// Probes that found transactions too cheap to speculate.
    pub switched_cheap: u64,
    /// Probes that found them dear enough.
    pub switched_dear: u64,
    /// Speculations given up because of conflicts.
    pub switched_conflicts: u64,
    /// Speculations after which the mode changed because they were slower than serial execution.
    pub switched_slow: u64,
    /// Microseconds in serial execution.
    pub serial_us: u64,
    /// Microseconds in speculations.
    pub speculation_us: u64,
}

/// How a worker's executor went about its transactions. No outcome depends on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
pub struct ExecutionCounts {
    /// Threads that execute; 1 also where there is no engine.
    pub threads: u64,
    /// Transactions executed one after the other by the engine; without one, nothing counts them.
    pub serial: u64,
    /// Transactions committed by speculations.
    pub speculative: u64,
    /// Executions ahead of the commit frontier, those in vain included.
    pub ahead: u64,
    /// Second executions.
    pub reexecuted: u64,
    /// Changes between one after the other and speculation.
    pub switches: u64,
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
    /// Authorities against whom it holds evidence.
    pub accused: u16,
    /// Whether it signs nothing yet, because its log was empty and it does not know what it signed before.
    pub resuming: bool,
}
