//! From the DAG to commits and to what they mean: composes the rule with the ledger.
//!
//! When the rule gives anchors, all of one round, the commit is made of them so:
//!
//! * it orders every vertex above the floor that is not ordered yet and that an anchor reaches by parents and weak
//!   links, sorted by (round, [slot](crate::schedule)); links lead down, so the anchors are all it orders of their round;
//! * it names the last of them, and its time is the lower stake-weighted median of the times of that one's parents (of
//!   itself in round 1), never before the last commit's;
//! * its floor is `floor_depth` rounds below the anchors, never lower than before;
//! * it supports those whom anchors of stake f + 1, or all of them, name as parents: what [reputation](crate::schedule)
//!   counts.
//!
//! Nothing but the anchors' history above the last commit's floor enters. Every replica that has the anchors has that
//! history, in its DAG or with the commit, so one that decides and one that replays end in the same state.

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc};

use fresnel_types::{
    AuthorityIndex, AuthoritySet, Commit, CommitDigest, CommitIndex, CommitVote, Committee, Order, Round,
    SignedVertex, Timestamp, VertexHead, VertexRef, hash::Root, limits::COMMITS_PER_CHECKPOINT,
    verify::Rules,
};

pub use crate::ledger::Counters;
use crate::{
    dag::{Dag, Place, Places},
    ledger::{Ledger, LedgerState},
    rule::{self, CommitRule, View},
    schedule,
};

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

/// Why a commit decided elsewhere is not taken over.
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
    /// It follows another order than ours.
    #[error("commit {0} follows another order than ours")]
    Previous(CommitIndex),
    /// The vertices that came with it are not those that it names.
    #[error("commit {0} came with other vertices than it names")]
    Vertices(CommitIndex),
    /// One of its vertices names something that is neither with it nor present.
    #[error("commit {0} lacks {1:?}")]
    Missing(CommitIndex, VertexRef),
    /// Another vertex is certified here in the same place: more than f authorities are faulty.
    #[error("commit {0} orders {1:?}, but another vertex of that slot is certified here")]
    Conflict(CommitIndex, VertexRef),
    /// Its vertices give another commit.
    #[error("commit {0} is not what its vertices give")]
    Different(CommitIndex),
}

/// The order as far as it is decided.
#[derive(Clone, Debug)]
pub struct Orderer {
    rules: Arc<Rules>,
    rule: &'static dyn CommitRule,
    ledger: Ledger,
    digest: CommitDigest,
    commit_vote: CommitVote,
    /// The demoted after the last commit.
    demoted: AuthoritySet,
}

/// A commit but for its state hash, with what it does not say.
struct Draft {
    commit: Commit,
    /// The authors of its anchors.
    anchors: AuthoritySet,
    /// Whom they name as parents.
    supported: AuthoritySet,
}

impl Orderer {
    /// The order before the first commit.
    pub fn new(rules: Arc<Rules>) -> Self {
        Self {
            ledger: Ledger::new(Arc::clone(&rules)),
            rule: rule::of(rules.parameters.rule),
            rules,
            digest: CommitDigest::default(),
            commit_vote: CommitVote::default(),
            demoted: AuthoritySet::default(),
        }
    }

    /// The order after `last`, which left `state`.
    pub fn restored(rules: Arc<Rules>, state: LedgerState, last: &Commit) -> Self {
        let digest = last.digest();
        let rule = rule::of(rules.parameters.rule);
        Self {
            demoted: state.reputation.demoted(&rules.committee, rule.support_min()),
            rule,
            commit_vote: CommitVote { index: last.index, digest },
            ledger: Ledger::restored(Arc::clone(&rules), state),
            rules,
            digest,
        }
    }

    /// All commits that can be decided now. Raises the floor of `dag` after each.
    pub fn advance(&mut self, dag: &mut Dag) -> Vec<Committed> {
        std::iter::from_fn(|| self.advance_once(dag)).collect()
    }

    /// The next commit, if it can be decided now. Raises the floor of `dag`.
    pub fn advance_once(&mut self, dag: &mut Dag) -> Option<Committed> {
        let decision = self.rule.decide(&self.view(dag))?;
        let counters = &mut self.ledger.counters;
        *(if decision.direct { &mut counters.direct } else { &mut counters.indirect }) += 1;
        let draft = self.draft(decision.round, decision.anchors, |(round, author)| {
            let vertex = dag.get(round, author)?;
            Some((dag.reference(round, author)?, &vertex.vertex.head))
        });
        let present = |vertex: &VertexRef| {
            Arc::clone(dag.get(vertex.round, vertex.author).expect("the draft found it"))
        };
        let vertices = draft.commit.vertices.iter().map(present).collect();
        let committed = self.apply(dag, draft, vertices);
        self.settle(dag, &committed.commit);
        Some(committed)
    }

    /// Applies a commit that was decided elsewhere, and inserts its vertices into `dag` if they are absent: an own commit
    /// from the log, or one that a quorum's commit votes cover. Whether the DAG shows that the anchors are committed is
    /// therefore not asked; everything else is computed again and compared.
    ///
    /// # Errors
    /// When it is not the next commit. Nothing changed then.
    pub fn replay(
        &mut self,
        dag: &mut Dag,
        commit: &Commit,
        vertices: Vec<Arc<SignedVertex>>,
    ) -> Result<Committed, ReplayError> {
        let draft = self.redraft(dag, commit, &vertices)?;
        let before = is_checkpoint(commit.index).then(|| self.clone());
        let committed = self.apply(dag, draft, vertices);
        if committed.commit != *commit {
            *self = before
                .expect("only the state hash is not compared before, and it is zero but at checkpoints");
            return Err(ReplayError::Different(commit.index));
        }
        for (reference, vertex) in commit.vertices.iter().zip(&committed.vertices) {
            dag.insert_as(*reference, Arc::clone(vertex));
        }
        self.settle(dag, commit);
        Ok(committed)
    }

    /// Puts back into `dag` what a commit up to the restored one ordered above the floor: the next commits are made on
    /// top of it. `vertices` are those that it names there, in order.
    ///
    /// # Errors
    /// When one of them names something above the floor that no commit before ordered, or is not the one present.
    pub fn reinsert(
        &self,
        dag: &mut Dag,
        commit: &Commit,
        vertices: Vec<Arc<SignedVertex>>,
    ) -> Result<(), ReplayError> {
        for vertex in vertices {
            let head = &vertex.vertex.head;
            if let Some(missing) = dag.missing_links(head).first() {
                return Err(ReplayError::Missing(commit.index, *missing));
            }
            let reference = head.reference();
            if dag.reference(head.round, head.author).is_some_and(|present| present != reference) {
                return Err(ReplayError::Conflict(commit.index, reference));
            }
            dag.insert_as(reference, vertex);
        }
        self.settle(dag, commit);
        Ok(())
    }

    /// The last commit with its digest and time.
    pub fn last(&self) -> (CommitIndex, CommitDigest, Timestamp) {
        (self.state().commit, self.digest, self.state().time)
    }

    /// The floor after the last commit.
    pub fn floor(&self) -> Round {
        self.state().floor
    }

    /// The round of the last commit's anchor.
    pub fn last_anchor_round(&self) -> Round {
        self.state().anchor
    }

    /// The highest checkpoint reached.
    pub fn commit_vote(&self) -> CommitVote {
        self.commit_vote
    }

    /// Whose vertex of `round` is the candidate anchor under the present schedule; none for rounds already decided.
    pub fn candidate(&self, round: Round) -> Option<AuthorityIndex> {
        (round >= self.pointer()).then(|| schedule::candidate(&self.rules, &self.demoted, round))
    }

    /// Whose vertices of `round` are worth a short wait; nobody's in rounds already decided.
    pub fn awaited(&self, dag: &Dag, round: Round) -> AuthoritySet {
        let undecided = round >= self.pointer();
        if undecided { self.rule.awaited(&self.view(dag), round) } else { AuthoritySet::default() }
    }

    /// Whether a commit ordered this vertex; meaningful above the floor.
    pub fn is_ordered(&self, reference: &VertexRef) -> bool {
        self.state().is_ordered((reference.round, reference.author))
    }

    /// Whether the open block has a batch of any shard.
    pub fn open_block_has_input(&self) -> bool {
        self.state().blocks.has_input()
    }

    /// Whether a block closed since a record was last certified. Until one does, the certification helps nobody.
    pub fn closed_since_certified(&self) -> bool {
        self.state().blocks.closed_since_certified()
    }

    /// What it counted.
    pub fn counters(&self) -> Counters {
        self.ledger.counters.clone()
    }

    /// What the next commits depend on: what a checkpoint of the beacon holds.
    pub fn state(&self) -> &LedgerState {
        self.ledger.state()
    }

    /// The first round above the last anchors.
    fn pointer(&self) -> Round {
        self.state().anchor.next()
    }

    fn view<'a>(&'a self, dag: &'a Dag) -> View<'a> {
        View { rules: &self.rules, dag, demoted: &self.demoted, pointer: self.pointer() }
    }

    /// The commit that the vertices of `anchors` in round `top` make. `find` gives the vertices of their history; all of it
    /// is there.
    fn draft<'a>(
        &self,
        top: Round,
        anchors: AuthoritySet,
        find: impl Fn(Place) -> Option<(VertexRef, &'a VertexHead)>,
    ) -> Draft {
        let found =
            |place| find(place).expect("a vertex is present with everything it names above the floor");
        let state = self.state();
        let mut history = Places::between(state.floor.next(), top);
        for author in anchors.iter() {
            history.insert((top, author));
        }
        for round in (state.floor.0 + 1..=top.0).rev().map(Round) {
            for author in history.layer(round).iter() {
                for link in found((round, author)).1.links() {
                    if !state.is_ordered((link.round, link.author)) {
                        history.insert((link.round, link.author));
                    }
                }
            }
        }
        let mut vertices = vec![];
        for round in (state.floor.0 + 1..=top.0).map(Round) {
            let authors = history.layer(round);
            if !authors.is_empty() {
                let slots = schedule::slots(&self.rules, round).into_iter();
                vertices.extend(
                    slots.filter(|&author| authors.contains(author)).map(|author| found((round, author)).0),
                );
            }
        }
        let anchor = *vertices.last().expect("a rule gives at least one anchor");
        let head = found((anchor.round, anchor.author)).1;
        let times = if anchor.round == Round(1) {
            vec![(head.time, 1)]
        } else {
            let time = |parent: &VertexRef| found((parent.round, parent.author)).1.time;
            let stake = |parent: &VertexRef| self.rules.committee.stake_of(parent.author);
            head.parents.iter().map(|parent| (time(parent), stake(parent))).collect()
        };
        let depth = self.rules.parameters.floor_depth;
        let commit = Commit {
            index: state.commit.next(),
            previous: self.digest,
            anchor,
            time: lower_median(times).max(state.time),
            floor: Round(anchor.round.0.saturating_sub(depth)).max(state.floor),
            vertices,
            state: Root::default(),
        };
        let heads = anchors.iter().map(|author| (author, found((top, author)).1));
        Draft { commit, anchors, supported: supported(&self.rules.committee, heads) }
    }

    /// What `commit` must be but for its state hash, given its vertices and `dag`.
    fn redraft(
        &self,
        dag: &Dag,
        commit: &Commit,
        vertices: &[Arc<SignedVertex>],
    ) -> Result<Draft, ReplayError> {
        let (index, state) = (commit.index, self.state());
        if index != state.commit.next() {
            return Err(ReplayError::NotNext { last: state.commit, given: index });
        }
        if commit.previous != self.digest {
            return Err(ReplayError::Previous(index));
        }
        let named = vertices.iter().map(|vertex| vertex.vertex.head.reference());
        if !named.eq(commit.vertices.iter().copied()) || commit.vertices.last() != Some(&commit.anchor) {
            return Err(ReplayError::Vertices(index));
        }
        let given: BTreeMap<Place, (VertexRef, &VertexHead)> = commit
            .vertices
            .iter()
            .zip(vertices)
            .map(|(reference, vertex)| {
                ((reference.round, reference.author), (*reference, &vertex.vertex.head))
            })
            .collect();
        for (place, (reference, head)) in &given {
            if dag.reference(place.0, place.1).is_some_and(|present| present != *reference) {
                return Err(ReplayError::Conflict(index, *reference));
            }
            let known = |link: &VertexRef| {
                given.get(&(link.round, link.author)).is_some_and(|(reference, _)| reference == link)
                    || dag.contains(link)
            };
            if let Some(missing) = head.links().find(|link| link.round > state.floor && !known(link)) {
                return Err(ReplayError::Missing(index, *missing));
            }
        }
        let top = commit.anchor.round;
        let anchors: AuthoritySet =
            commit.vertices.iter().filter(|vertex| vertex.round == top).map(|vertex| vertex.author).collect();
        if !self.rule.may_decide(&self.view(dag), top, &anchors) {
            return Err(ReplayError::Different(index));
        }
        let draft = self.draft(top, anchors, |place| {
            let present = || {
                let vertex = dag.get(place.0, place.1)?;
                Some((dag.reference(place.0, place.1)?, &vertex.vertex.head))
            };
            given.get(&place).copied().or_else(present)
        });
        let state = if is_checkpoint(index) { commit.state } else { Root::default() };
        if *commit != (Commit { state, ..draft.commit.clone() }) {
            return Err(ReplayError::Different(index));
        }
        Ok(draft)
    }

    /// Lets the ledger take a commit and completes it.
    fn apply(&mut self, dag: &Dag, draft: Draft, vertices: Vec<Arc<SignedVertex>>) -> Committed {
        let Draft { mut commit, anchors, supported } = draft;
        let passed = self.rule.passed(&self.view(dag), commit.anchor.round, &anchors);
        self.ledger.counters.skipped += passed;
        let orders = self.ledger.apply(&commit, &vertices, supported);
        if is_checkpoint(commit.index) {
            commit.state = self.state().digest();
        }
        self.digest = commit.digest();
        if is_checkpoint(commit.index) {
            self.commit_vote = CommitVote { index: commit.index, digest: self.digest };
        }
        self.demoted = self.state().reputation.demoted(&self.rules.committee, self.rule.support_min());
        Committed { commit, vertices, orders }
    }

    /// Tells the DAG of a commit.
    fn settle(&self, dag: &mut Dag, commit: &Commit) {
        for vertex in &commit.vertices {
            dag.mark_ordered(vertex.round, vertex.author);
        }
        dag.set_floor(commit.floor);
    }
}

/// Whom `anchors` of stake f + 1 name as a parent, or all of them when they have less.
fn supported<'a>(
    committee: &Committee,
    anchors: impl Iterator<Item = (AuthorityIndex, &'a VertexHead)>,
) -> AuthoritySet {
    let (mut stake, mut naming) = (0, vec![0; committee.size()]);
    for (author, head) in anchors {
        stake += committee.stake_of(author);
        for parent in &head.parents {
            naming[parent.author.index()] += committee.stake_of(author);
        }
    }
    let enough = committee.validity().min(stake);
    committee.indices().filter(|author| naming[author.index()] >= enough).collect()
}

fn is_checkpoint(index: CommitIndex) -> bool {
    index.0.is_multiple_of(COMMITS_PER_CHECKPOINT)
}

/// The least time such that the times up to it have at least half of the stake.
fn lower_median(mut times: Vec<(Timestamp, u64)>) -> Timestamp {
    times.sort_unstable();
    let half = times.iter().map(|(_, stake)| stake).sum::<u64>().div_ceil(2);
    let mut sum = 0;
    for (time, stake) in times {
        sum += stake;
        if sum >= half {
            return time;
        }
    }
    unreachable!("an anchor names a quorum of parents")
}
