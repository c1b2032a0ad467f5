//! The beacon as its driver sees it: one machine that composes the sub-machines beside it.

use std::sync::Arc;

use fresnel_crypto::SigningKey;
use fresnel_types::{
    AuthorityIndex, CommitDigest, CommitIndex, Effect, Input, LogEntry, Machine, Timestamp, VertexRef,
    status::BeaconStatus, verify::Rules,
};

use crate::pacing::Pacing;

/// What a beacon is started with.
#[derive(Debug)]
pub struct Config {
    /// Whose beacon it is.
    pub authority: AuthorityIndex,
    /// The chain's rules.
    pub rules: Arc<Rules>,
    /// The consensus key of `authority`.
    pub key: SigningKey,
    /// Local timing.
    pub pacing: Pacing,
}

/// Why a log restores no beacon.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecoveryError {
    /// The log holds an entry that no beacon writes.
    #[error("the log holds an entry of a worker")]
    Foreign,
    /// A commit names a vertex that is not in the log before it.
    #[error("commit {0} orders a vertex that the log does not hold: {1:?}")]
    MissingVertex(CommitIndex, VertexRef),
    /// A commit is not what the order makes of its vertices.
    #[error("commit {0} of the log is not what its vertices give: {1}")]
    Replay(CommitIndex, String),
    /// Two own vertices or two own votes for one slot: the log is not this beacon's own.
    #[error("the log holds two own signatures for one slot: {0:?}")]
    Equivocation(VertexRef),
}

/// What a beacon counted since it was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Own vertices made.
    pub proposed: u64,
    /// Own votes given, those for own vertices included.
    pub voted: u64,
    /// Certificates assembled or received.
    pub certified: u64,
    /// Commits made by the rule.
    pub committed: u64,
    /// Commits taken over from ranges.
    pub replayed: u64,
    /// Vertices ordered.
    pub ordered_vertices: u64,
    /// Batches of own workers proposed again because their vertex fell below the floor.
    pub returned_batches: u64,
    /// Rounds of re-sending because nothing moved.
    pub resends: u64,
    /// Requests for vertices sent.
    pub fetches: u64,
    /// Requests for commits sent.
    pub commit_requests: u64,
    /// Slots for which two signed vertices were seen.
    pub equivocations: u64,
    /// Slots for which quorums voted for two vertices: more than f authorities are faulty.
    pub conflicting_certificates: u64,
    /// Messages dropped because they were out of bounds or no use.
    pub dropped: u64,
}

/// The beacon of one authority.
#[derive(Debug)]
pub struct Beacon {
    config: Config,
}

impl Beacon {
    /// A beacon that goes on where `log` ends; an empty log is a fresh start.
    ///
    /// # Errors
    /// When the log is not one that this beacon wrote.
    pub fn open(config: Config, log: Vec<LogEntry>, now: Timestamp) -> Result<Self, RecoveryError> {
        let _ = (log, now);
        Ok(Self { config })
    }

    /// Where it is.
    pub fn status(&self) -> BeaconStatus {
        let _ = &self.config;
        BeaconStatus {
            round: fresnel_types::Round(0),
            commit: CommitIndex(0),
            digest: CommitDigest::default(),
            floor: fresnel_types::Round(0),
        }
    }

    /// Index and digest of the commits from an index on, ascending, as far as they are remembered.
    pub fn commit_digests(&self, from: CommitIndex) -> Vec<(CommitIndex, CommitDigest)> {
        let _ = from;
        vec![]
    }

    /// What it counted.
    pub fn counters(&self) -> Counters {
        Counters::default()
    }
}

impl Machine for Beacon {
    fn handle(&mut self, _now: Timestamp, _input: Input, _effects: &mut Vec<Effect>) {}

    fn deadline(&self) -> Option<Timestamp> {
        None
    }
}
