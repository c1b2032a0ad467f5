//! The vocabulary of the JSON-RPC calls: what they take, what they give, and how they fail. Server and client share it, so
//! that neither writes a field that the other does not read.
//!
//! Amounts are strings, since many readers of JSON take numbers for floating point. Hashes, keys and addresses are hex.
//! [`Encoded`] is the hex of the exact bytes of a type: what hashes and signatures are over.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use wincode::{SchemaReadOwned, SchemaWrite};

use crate::{
    Address, Amount, AuthorityIndex, BlockIndex, ChainId, CommitDigest, CommitIndex, Epoch, Evidence, Proof,
    PublicKey, RecordDigest, RejectionCode, Round, Sequence, ShardId, SignedTransaction, StateRoot,
    Timestamp, TransactionId, VertexRef,
    codec::{self, Layout},
    commit::Certified,
    leaves::Account,
    limits::NONCE_WINDOW,
    proof::SignedAttestation,
    status::{BeaconStatus, Level, Progress, Unproven, WorkerStatus},
};

mod leaf;

pub use leaf::{LeafAnswer, LeafInfo, LeafName, LeafParams, LeafProofAnswer, LeafProofParams};

/// Which state a read is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadLevel {
    /// After the last block that the asked authority executed.
    #[default]
    Executed,
    /// After a block whose record is certified.
    Final,
}

/// For calls that take nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// What `chain_commit` takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommitParams {
    /// Which; by default the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<CommitIndex>,
}

/// What `chain_subscribeCommits` takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommitsParams {
    /// The first; by default the next one to come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<CommitIndex>,
}

/// What `account_get` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountParams {
    /// Whose account.
    pub address: Address,
    /// Of which state.
    #[serde(default)]
    pub level: ReadLevel,
    /// Not of a state before that after this block: who passes the block of its last answer never sees the past again,
    /// whichever authority answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<BlockIndex>,
}

/// What `account_proof` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProofParams {
    /// Whose account.
    pub address: Address,
}

/// What `tx_submit` takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubmitParams {
    /// A signed transaction.
    pub transaction: Encoded<SignedTransaction>,
}

/// What `tx_get` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransactionParams {
    /// Which.
    pub transaction: TransactionId,
    /// The sender's shard, if the caller knows it; else all are asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<ShardId>,
}

/// What `tx_subscribe` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubscribeParams {
    /// Which.
    pub transaction: TransactionId,
    /// The sender's shard, if the caller knows it; else all are asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<ShardId>,
    /// Whether news from [`Level::Final`] on carry their proof.
    #[serde(default)]
    pub proof: bool,
}

/// What `tx_wait` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitParams {
    /// Which.
    pub transaction: TransactionId,
    /// How far it shall have come.
    pub level: Level,
    /// The sender's shard, if the caller knows it; else all are asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<ShardId>,
    /// For how long to wait; at most [`WAIT_MILLIS_MAX`], which is also the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Whether the answer carries its proof; it must be at [`Level::Final`] or [`Level::Settled`] then.
    #[serde(default)]
    pub proof: bool,
}

/// What `chain_info` gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainInfo {
    /// Its identity.
    pub chain: ChainId,
    /// For people.
    pub name: String,
    /// The protocol spoken on it.
    pub protocol: u32,
    /// The epoch of the committee.
    pub epoch: Epoch,
    /// Number of shards.
    pub shards: u16,
    /// All that there is.
    #[serde(with = "text")]
    pub supply: Amount,
    /// The least credit that opens an account.
    #[serde(with = "text")]
    pub account_minimum: Amount,
    /// Nonces of an account that may be used in any order.
    pub nonce_window: u64,
    /// Microseconds ahead of commit time that a transaction may be valid.
    pub validity_max: u64,
    /// The committee, by index.
    pub authorities: Vec<AuthorityInfo>,
}

/// A member of the committee.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorityInfo {
    /// For people.
    pub name: String,
    /// Its weight.
    pub stake: u64,
    /// Under which it signs.
    pub consensus_key: PublicKey,
}

/// What `chain_commit` gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitInfo {
    /// Which.
    pub index: CommitIndex,
    /// Its chained digest.
    pub digest: CommitDigest,
    /// The digest of the one before.
    pub previous: CommitDigest,
    /// Microseconds since the Unix epoch.
    pub time: Timestamp,
    /// After it nothing at or below this round is ordered.
    pub floor: Round,
    /// The vertices that it orders, in order; the anchor comes last.
    pub vertices: Vec<VertexRef>,
}

/// What subscribers to commits are told, in order and without a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitNews {
    /// Which.
    pub index: CommitIndex,
    /// Its chained digest.
    pub digest: CommitDigest,
}

/// One entry of what `shard_list` gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardInfo {
    /// Which.
    pub shard: ShardId,
    /// The first four bytes of the lowest address in it, as hex.
    pub first_prefix: String,
    /// Where the authority's worker is; none when it does not answer.
    pub worker: Option<WorkerStatus>,
}

/// An account as JSON has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountInfo {
    /// What it owns.
    #[serde(with = "text")]
    pub balance: Amount,
    /// The lowest nonce that was not used.
    pub nonce: u64,
    /// Higher nonces that were used.
    pub nonces_used: Vec<u64>,
}

/// What `account_get` gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountAnswer {
    /// Whose account.
    pub address: Address,
    /// The shard that holds it.
    pub shard: ShardId,
    /// Of which state.
    pub level: ReadLevel,
    /// After which block.
    pub block: BlockIndex,
    /// The account, if it exists.
    pub account: Option<AccountInfo>,
}

/// What `account_proof` gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofAnswer {
    /// Whose account.
    pub address: Address,
    /// The shard that holds it.
    pub shard: ShardId,
    /// After which block.
    pub block: BlockIndex,
    /// The account, if it exists.
    pub account: Option<AccountInfo>,
    /// The root of the state that has it.
    pub state: StateRoot,
    /// What a quorum attested; it commits to `state`, as `proof` shows.
    pub certified: Certified,
    /// All that ties it to the committee of the genesis: the bytes of a file with a proof.
    pub proof: ProofFile,
}

/// What `tx_proof` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransactionProofParams {
    /// Which.
    pub transaction: TransactionId,
    /// The sender's shard.
    pub shard: ShardId,
    /// Of what.
    #[serde(default)]
    pub of: ProvenStep,
}

/// A step of a transaction that can be proven.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProvenStep {
    /// How it ended in the sender's shard.
    #[default]
    Outcome,
    /// The receipt that it emitted.
    Emitted,
    /// That the receipt was consumed in the recipient's shard.
    Applied,
}

/// What `tx_proof` gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransactionProofAnswer {
    /// The shard whose record it is.
    pub shard: ShardId,
    /// The block of the record.
    pub block: BlockIndex,
    /// The bytes of a file with a proof.
    pub proof: ProofFile,
}

/// What `record_attested` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttestedParams {
    /// Whose block.
    pub shard: ShardId,
    /// Which block.
    pub block: BlockIndex,
    /// Its record.
    pub record: RecordDigest,
}

/// What `record_attested` gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttestedAnswer {
    /// Ascending by author; fewer than a quorum when it is forgotten or not certified.
    pub attested: Vec<Encoded<SignedAttestation>>,
}

/// What `evidence` gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceAnswer {
    /// One per accused authority, ascending.
    pub evidence: Vec<EvidenceInfo>,
}

/// Evidence against an authority.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceInfo {
    /// Who is accused.
    pub authority: AuthorityIndex,
    /// What it signed twice: `vertices` or `votes`.
    pub offence: String,
    /// In which round.
    pub round: Round,
    /// What proves it: the bytes of a file with evidence.
    pub evidence: EvidenceFile,
}

/// Evidence that stands in JSON as the hex of the bytes of its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvidenceFile(pub Evidence);

impl Serialize for EvidenceFile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(self.0.to_bytes()))
    }
}

impl<'de> Deserialize<'de> for EvidenceFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = hex::decode(text).map_err(|error| D::Error::custom(format!("not hex: {error}")))?;
        Evidence::from_bytes(&bytes).map(Self).map_err(D::Error::custom)
    }
}

/// What `dag` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DagParams {
    /// Of how many rounds up to the highest; as many as fit an answer are given.
    #[serde(default = "dag_rounds")]
    pub rounds: u64,
}

fn dag_rounds() -> u64 {
    DAG_ROUNDS
}

/// Rounds that `dag` gives unless asked for others.
pub const DAG_ROUNDS: u64 = 16;

/// What `receipt_proof` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptProofParams {
    /// The shard that consumed it.
    pub shard: ShardId,
    /// Where it came from.
    pub source: ShardId,
    /// Its place on the pair.
    pub sequence: Sequence,
}

/// A proof that stands in JSON as the hex of the bytes of its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProofFile(pub Proof);

impl Serialize for ProofFile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(self.0.to_bytes()))
    }
}

impl<'de> Deserialize<'de> for ProofFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = hex::decode(text).map_err(|error| D::Error::custom(format!("not hex: {error}")))?;
        Proof::from_bytes(&bytes).map(Self).map_err(D::Error::custom)
    }
}

/// What `tx_submit` gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submitted {
    /// Its id.
    pub transaction: TransactionId,
    /// The sender's shard.
    pub shard: ShardId,
    /// Whether it was known before: to submit it again does no harm.
    pub known: bool,
}

/// What `tx_get` and `tx_wait` give, and what `tx_subscribe` tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransactionInfo {
    /// The sender's shard.
    pub shard: ShardId,
    /// How far it has come.
    #[serde(flatten)]
    pub progress: Progress,
    /// The bytes of a file with a proof, if one was asked for: at [`Level::Final`] of how it ended, at [`Level::Settled`] that
    /// nothing of it is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<ProofFile>,
}

/// What `node_status` gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Of the program.
    pub version: String,
    /// Whose process it is.
    pub authority: AuthorityIndex,
    /// The chain that it serves.
    pub chain: ChainId,
    /// The machines that it hosts.
    pub machines: Vec<MachineStatus>,
}

/// A machine of a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineStatus {
    /// `beacon`, `worker-0`.
    pub machine: String,
    /// Where it is, if it is a beacon that answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beacon: Option<BeaconStatus>,
    /// Where it is, if it is a worker that answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerStatus>,
}

/// The `data` of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorData {
    /// What went wrong.
    pub code: Code,
    /// Whether the same call may succeed later.
    pub retry: bool,
    /// After how many milliseconds that makes sense, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

/// What went wrong, as a symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Code {
    /// A worker refused the transaction, or is overloaded.
    Rejected(RejectionCode),
    /// The worker has no proof.
    Unproven(Unproven),
    /// Anything else.
    Failed(Failure),
}

/// What can go wrong with a call besides what it asks of a machine. What is no request at all, or too large, is answered
/// with the codes of JSON-RPC and no symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// There is no such method.
    UnknownMethod,
    /// The parameters are not those of the method.
    InvalidParams,
    /// The connection has as many subscriptions as it may.
    TooManySubscriptions,
    /// Subscriptions need a WebSocket.
    NoSubscriptions,
    /// The genesis has no such shard.
    UnknownShard,
    /// The transaction was not submitted here, or so long ago that its end is forgotten.
    UnknownTransaction,
    /// The commit is not made yet or not kept any more.
    UnknownCommit,
    /// What was waited for did not come in time.
    Timeout,
    /// The worker has not come as far as was asked for.
    Behind,
    /// The process that hosts the machine does not answer.
    Unreachable,
    /// A bug.
    Internal,
}

impl Code {
    /// The code of the JSON-RPC error.
    pub fn number(self) -> i32 {
        match self {
            Self::Rejected(RejectionCode::Overloaded) => 2_000,
            Self::Rejected(_) => 1_000,
            Self::Unproven(_) => 1_001,
            Self::Failed(failure) => match failure {
                Failure::UnknownMethod => -32_601,
                Failure::InvalidParams => -32_602,
                Failure::Internal => -32_603,
                Failure::TooManySubscriptions => -32_006,
                Failure::NoSubscriptions => 1_002,
                Failure::UnknownShard => 1_003,
                Failure::UnknownTransaction => 1_004,
                Failure::UnknownCommit => 1_005,
                Failure::Timeout => 2_001,
                Failure::Unreachable => 2_002,
                Failure::Behind => 2_003,
            },
        }
    }

    /// Whether the same call may succeed later.
    pub fn retry_helps(self) -> bool {
        match self {
            Self::Rejected(code) => code.retry_helps(),
            Self::Unproven(reason) => !matches!(reason, Unproven::Diverged | Unproven::Unknown),
            Self::Failed(failure) => matches!(
                failure,
                Failure::TooManySubscriptions
                    | Failure::UnknownTransaction
                    | Failure::UnknownCommit
                    | Failure::Timeout
                    | Failure::Behind
                    | Failure::Unreachable
            ),
        }
    }
}

/// A value that stands in JSON as the hex of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoded<T>(pub T);

impl<T: SchemaWrite<Layout, Src = T>> Serialize for Encoded<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(codec::encode(&self.0)))
    }
}

impl<'de, T: SchemaReadOwned<Layout, Dst = T>> Deserialize<'de> for Encoded<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = hex::decode(text).map_err(|error| D::Error::custom(format!("not hex: {error}")))?;
        codec::decode(&bytes).map(Self).map_err(D::Error::custom)
    }
}

impl From<&Account> for AccountInfo {
    fn from(account: &Account) -> Self {
        let used = (1..NONCE_WINDOW).filter(|place| account.nonce_bits >> place & 1 == 1);
        Self {
            balance: account.balance,
            nonce: account.nonce_base,
            nonces_used: used.map(|place| account.nonce_base + place).collect(),
        }
    }
}

/// For `#[serde(with = "text")]` on a number that stands as a string.
mod text {
    use std::{fmt::Display, str::FromStr};

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::Amount;

    pub(super) fn serialize<S: Serializer>(amount: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(amount)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Amount, D::Error> {
        u64::from_str(&String::deserialize(deserializer)?).map(Amount).map_err(D::Error::custom)
    }
}

/// The longest that `tx_wait` waits, in milliseconds.
pub const WAIT_MILLIS_MAX: u64 = 60_000;
