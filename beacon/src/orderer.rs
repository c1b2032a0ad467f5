//! From the DAG to commits and orders: composes the rule with the ledger.

use std::sync::Arc;

use fresnel_types::{
    AuthorityIndex, Commit, CommitDigest, CommitIndex, CommitVote, Order, Round, SignedVertex, Timestamp,
    VertexRef, verify::Rules,
};

use crate::dag::Dag;

/// A commit with everything that follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The commit.
    pub commit: Commit,
    /// What it orders, in order.
    pub vertices: Vec<Arc<SignedVertex>>,
    /// What it means to each shard, ascending.
    pub orders: Vec<Order>,
}

/// Why a commit decided elsewhere is not the next one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// It does not follow the last commit.
    #[error("commit {given} does not follow commit {last}")]
    NotNext {
        /// The last commit here.
        last: CommitIndex,
        /// The given one.
        given: CommitIndex,
    },
    /// It follows another commit of the same index.
    #[error("commit {0} follows another order than ours")]
    Previous(CommitIndex),
    /// The vertices that came with it are not those that it names.
    #[error("commit {0} came with other vertices than it names")]
    Vertices(CommitIndex),
    /// It leaves out something that its vertices name.
    #[error("commit {0} lacks {1:?}")]
    Missing(CommitIndex, VertexRef),
    /// Another vertex is certified here in the same place.
    #[error("commit {0} orders {1:?} where another vertex is certified here")]
    Conflict(CommitIndex, VertexRef),
    /// Its vertices give another commit.
    #[error("commit {0} is not what its vertices give")]
    Different(CommitIndex),
}

/// What the order counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Commits, decided here or elsewhere.
    pub commits: u64,
    /// Anchors committed by f + 1 children.
    pub direct: u64,
    /// Anchors committed because a later one reaches them.
    pub indirect: u64,
    /// Slots of instances that were passed without a commit.
    pub skipped: u64,
    /// Batches named in vain because their shard's certification lagged.
    pub void_batches: u64,
    /// Batches named again after they were ordered.
    pub repeated_batches: u64,
    /// Blocks closed.
    pub blocks: u64,
    /// Attestations that contradict an earlier one of the same author.
    pub equivocating_attestations: u64,
}

/// The order as far as it is decided.
#[derive(Clone, Debug)]
pub struct Orderer {
    rules: Arc<Rules>,
}

impl Orderer {
    /// The order before the first commit.
    pub fn new(rules: Arc<Rules>) -> Self {
        Self { rules }
    }

    /// All commits that can be decided now. Raises the floor of `dag` after each.
    pub fn advance(&mut self, dag: &mut Dag) -> Vec<Committed> {
        let _ = (&self.rules, dag);
        vec![]
    }

    /// Applies a commit that was decided elsewhere.
    ///
    /// # Errors
    /// When it is not the next commit; nothing changed then.
    pub fn replay(
        &mut self,
        dag: &mut Dag,
        commit: &Commit,
        vertices: Vec<Arc<SignedVertex>>,
    ) -> Result<Committed, ReplayError> {
        let _ = (dag, vertices);
        Err(ReplayError::Different(commit.index))
    }

    /// The last commit with its digest and time.
    pub fn last(&self) -> (CommitIndex, CommitDigest, Timestamp) {
        (CommitIndex(0), CommitDigest::default(), Timestamp(0))
    }

    /// The floor after the last commit.
    pub fn floor(&self) -> Round {
        Round(0)
    }

    /// The round of the last commit's anchor.
    pub fn last_anchor_round(&self) -> Round {
        Round(0)
    }

    /// The highest checkpoint reached.
    pub fn commit_vote(&self) -> CommitVote {
        CommitVote::default()
    }

    /// Whose vertex of `round` is the anchor candidate under the present schedule; none for rounds already decided.
    pub fn candidate(&self, _round: Round) -> Option<AuthorityIndex> {
        None
    }

    /// Whether a commit ordered this vertex; meaningful above the floor.
    pub fn is_ordered(&self, _reference: &VertexRef) -> bool {
        false
    }

    /// Whether the open block has a batch of any shard.
    pub fn open_block_has_input(&self) -> bool {
        false
    }

    /// Whether a block closed since a record was last certified.
    pub fn closed_since_certified(&self) -> bool {
        true
    }

    /// What it counted.
    pub fn counters(&self) -> Counters {
        Counters::default()
    }
}
