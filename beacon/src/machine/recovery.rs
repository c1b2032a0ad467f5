//! Starting from a log: everything signed before is remembered, everything ordered before is ordered again, from the last
//! checkpoint on if there is one.
//!
//! What the log still holds from before a checkpoint is of three kinds. What concerns rounds above its floor is as good as
//! what comes after it. Of the commits up to it, those that ordered vertices above its floor put them back into the DAG.
//! The rest is for peers that are behind, as far as it is complete.

use std::{collections::BTreeMap, sync::Arc};

use fresnel_types::{
    AuthorityIndex, Certificate, Commit, CommitIndex, Entries, EntryNumber, LogEntry, SignedVertex,
    Timestamp, VertexId, VertexRef, Vote,
};

use super::{Beacon, Config, Open};
use crate::{
    checkpoint::{Checkpoint, CheckpointError},
    orderer::{Orderer, ReplayError},
    resuming::Resuming,
    slots::{Added, Counted},
};

/// Why a log restores no beacon.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecoveryError {
    /// The log holds an entry that no beacon writes.
    #[error("the log holds an entry of a worker")]
    Foreign,
    /// Entries that are needed were deleted: all before a checkpoint may be, and none without one.
    #[error("the log begins with entry {first} and is needed from entry {needed} on")]
    Gap {
        /// The first entry of the log.
        first: EntryNumber,
        /// The first one needed.
        needed: EntryNumber,
    },
    /// The last checkpoint cannot be read. An earlier one may need entries that it allowed to delete.
    #[error("the checkpoint after commit {0} is damaged")]
    Checkpoint(CommitIndex, #[source] CheckpointError),
    /// The log lacks commits that ordered something above the floor of its checkpoint, or has others.
    #[error("the log does not hold what the checkpoint after commit {0} builds on")]
    Incomplete(CommitIndex),
    /// A commit names a vertex that is not in the log before it.
    #[error("commit {0} orders a vertex that the log does not hold: {1:?}")]
    MissingVertex(CommitIndex, VertexRef),
    /// A commit is not what the order makes of its vertices.
    #[error("commit {0} of the log cannot be applied again")]
    Replay(CommitIndex, #[source] ReplayError),
    /// Two own vertices or two own votes for one slot, or a vote of somebody else: the log is not this beacon's own.
    #[error("the log is not this beacon's own: {0:?}")]
    Contradiction(VertexRef),
}

/// On the way to the commit of a checkpoint.
struct Before {
    last: Commit,
    /// Vertices at or below the checkpoint's floor, as long as a commit to come may order them.
    vertices: BTreeMap<VertexRef, Arc<SignedVertex>>,
}

impl Beacon {
    /// A beacon that goes on where `log` ends; an empty log is a fresh start.
    ///
    /// # Errors
    /// When the log is not one that this beacon wrote, or lacks something that is needed.
    pub fn open(config: Config, log: Entries, now: Timestamp) -> Result<Self, RecoveryError> {
        let checkpoint = Checkpoint::last_of(&log, &config.rules)
            .map_err(|(commit, error)| RecoveryError::Checkpoint(commit, error))?;
        let mut beacon = Self::blank(config, now);
        let needed = checkpoint.as_ref().map_or(EntryNumber(0), |checkpoint| checkpoint.head.entry);
        if log.first > needed {
            return Err(RecoveryError::Gap { first: log.first, needed });
        }
        let last = checkpoint.as_ref().map_or(CommitIndex(0), |checkpoint| checkpoint.head.commit.index);
        beacon.checkpointing.restore(log.first, last);
        let mut before = checkpoint.map(|checkpoint| beacon.restore(checkpoint));
        for entry in log.entries {
            beacon.checkpointing.appended(&entry);
            match entry {
                LogEntry::Vertex(vertex) => beacon.recover_vertex(vertex, now, before.as_mut())?,
                LogEntry::Vote(vote) => beacon.recover_vote(vote)?,
                LogEntry::Certificate(certificate) => beacon.recover_certificate(certificate),
                LogEntry::Commit(commit) => match &mut before {
                    Some(earlier) => {
                        let reached = commit.index == earlier.last.index;
                        beacon.recover_commit_before(commit, earlier)?;
                        before = before.filter(|_| !reached);
                    }
                    None => beacon.recover_commit(&commit)?,
                },
                LogEntry::Evidence(evidence) => {
                    beacon.evidence.entry(evidence.accused()).or_insert(*evidence);
                }
                LogEntry::Resumed(above) => beacon.resuming = Resuming::Above(above),
                LogEntry::Checkpoint(_) => {}
                LogEntry::Batch(_) | LogEntry::Order(_) | LogEntry::Bundle(_) | LogEntry::Sync(_) => {
                    return Err(RecoveryError::Foreign);
                }
            }
        }
        if before.is_some() {
            return Err(RecoveryError::Incomplete(last));
        }
        let certified: Vec<VertexRef> = beacon
            .slots
            .vertices()
            .map(|(reference, _)| reference)
            .filter(|reference| beacon.slots.is_certified(reference))
            .collect();
        // From the top down, so that each vertex finds its own certification before it passes it on.
        for reference in certified.into_iter().rev() {
            beacon.certified_vertex_came(now, &reference);
        }
        for open in beacon.own.open.values() {
            let voted = beacon.slots.own_vote(open.reference.round, beacon.me).is_some();
            let may = beacon.resuming.above().is_none_or(|above| open.reference.round > above);
            if let Some(vertex) = beacon.slots.vertex(&open.reference).filter(|_| !voted && may) {
                // The power went between the vertex and the own vote, without which a small committee has no quorum.
                beacon.proposals.add(open.reference, Arc::clone(vertex));
            }
        }
        Ok(beacon)
    }

    /// Takes over the state of a checkpoint.
    fn restore(&mut self, checkpoint: Checkpoint) -> Before {
        let Checkpoint { head, past, known, evidence, state } = checkpoint;
        self.known = known.into_iter().map(|known| (known.head.author, known)).collect();
        self.evidence = evidence.into_iter().map(|evidence| (evidence.accused(), evidence)).collect();
        self.own.round = head.round;
        self.own.time = head.time;
        if let Some(above) = head.resumed {
            self.resuming = Resuming::Above(above);
        }
        self.pending.restore(past);
        self.streams.restore(head.commit.index.next());
        self.dag.set_floor(state.floor);
        self.orderer = Orderer::restored(Arc::clone(&self.rules), state, &head.commit);
        Before { last: head.commit, vertices: BTreeMap::new() }
    }

    fn recover_vertex(
        &mut self,
        vertex: SignedVertex,
        now: Timestamp,
        before: Option<&mut Before>,
    ) -> Result<(), RecoveryError> {
        let head = &vertex.vertex.head;
        let (reference, time) = (head.reference(), head.time);
        let is_own = reference.author == self.me;
        if is_own {
            self.own.round = self.own.round.max(reference.round);
            self.own.time = self.own.time.max(time);
        }
        self.know(&vertex);
        let vertex = Arc::new(vertex);
        if reference.round <= self.dag.floor() {
            if let Some(before) = before {
                before.vertices.insert(reference, vertex);
            }
            return Ok(());
        }
        let added = self.slots.add(&reference, Arc::clone(&vertex));
        if is_own && matches!(added, Added::Equivocation(_)) {
            return Err(RecoveryError::Contradiction(reference));
        }
        self.slots.make_durable(&reference);
        if is_own {
            self.pending.carry(reference.round, vertex.vertex.headers.clone());
            let wait = self.pacer.patience();
            self.own.open.insert(reference.round, Open { reference, again: now, wait });
        }
        Ok(())
    }

    fn recover_vote(&mut self, vote: Vote) -> Result<(), RecoveryError> {
        let slot = vote.vertex;
        let earlier = self.slots.own_vote(slot.round, slot.author);
        if vote.voter != self.me || earlier.is_some_and(|earlier| earlier.vertex != slot) {
            return Err(RecoveryError::Contradiction(slot));
        }
        self.signed = self.signed.max(slot.round);
        if slot.round > self.dag.floor() && earlier.is_none() {
            self.slots.set_own_vote(vote);
            if let Counted::Complete(certificate) = self.slots.count(&vote, &self.rules.committee) {
                // A committee of one: the own vote is the quorum.
                self.slots.certify(&slot, Some(certificate));
            }
        }
        Ok(())
    }

    fn recover_certificate(&mut self, certificate: Certificate) {
        let reference = certificate.vertex;
        if reference.round > self.dag.floor() {
            self.slots.certify(&reference, Some(certificate));
            self.slots.take_certificate_to_persist(&reference);
        }
    }

    /// A commit that the checkpoint stands for.
    fn recover_commit_before(&mut self, commit: Commit, before: &mut Before) -> Result<(), RecoveryError> {
        let (index, digest, last) = (commit.index, commit.digest(), before.last.index);
        let follows =
            |(earlier, digest): (CommitIndex, _)| earlier.next() == index && digest == commit.previous;
        if !self.history.last().is_none_or(follows)
            || index > last
            || (index == last && commit != before.last)
        {
            return Err(RecoveryError::Incomplete(last));
        }
        let (mut vertices, mut ordered, mut complete) = (vec![], vec![], true);
        for reference in &commit.vertices {
            if reference.round > self.dag.floor() {
                self.mark_ordered(reference);
                self.note_own_ordered(reference);
                let vertex =
                    self.slots.vertex(reference).ok_or(RecoveryError::MissingVertex(index, *reference))?;
                ordered.push(Arc::clone(vertex));
                vertices.push(Arc::clone(vertex));
            } else if let Some(vertex) = before.vertices.get(reference) {
                vertices.push(Arc::clone(vertex));
            } else {
                complete = false;
            }
        }
        self.orderer
            .reinsert(&mut self.dag, &commit, ordered)
            .map_err(|error| RecoveryError::Replay(index, error))?;
        let mut ordered = self.orderer.state().ordered.iter();
        if index == last && ordered.any(|(round, authors)| self.dag.authors(*round) != *authors) {
            return Err(RecoveryError::Incomplete(last));
        }
        let above =
            VertexRef { round: commit.floor.next(), author: AuthorityIndex(0), id: VertexId([0; 32]) };
        before.vertices = before.vertices.split_off(&above);
        if complete {
            self.history.add(commit, digest, vertices);
        } else {
            self.history.add_bare(index, digest);
        }
        Ok(())
    }

    fn recover_commit(&mut self, commit: &Commit) -> Result<(), RecoveryError> {
        let mut vertices = vec![];
        for reference in &commit.vertices {
            self.mark_ordered(reference);
            let vertex =
                self.slots.vertex(reference).ok_or(RecoveryError::MissingVertex(commit.index, *reference))?;
            vertices.push(Arc::clone(vertex));
        }
        let committed = self
            .orderer
            .replay(&mut self.dag, commit, vertices)
            .map_err(|error| RecoveryError::Replay(commit.index, error))?;
        self.take_effect(committed);
        Ok(())
    }
}
