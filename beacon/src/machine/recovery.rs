//! Starting from a log: everything signed before is remembered, everything ordered before is ordered again.

use std::sync::Arc;

use fresnel_types::{Certificate, Commit, CommitIndex, LogEntry, SignedVertex, Timestamp, VertexRef, Vote};

use super::{Beacon, Config, Open};
use crate::{orderer::ReplayError, slots::Added};

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
    #[error("commit {0} of the log cannot be applied again")]
    Replay(CommitIndex, #[source] ReplayError),
    /// Two own vertices or two own votes for one slot, or a vote of somebody else: the log is not this beacon's own.
    #[error("the log is not this beacon's own: {0:?}")]
    Contradiction(VertexRef),
}

impl Beacon {
    /// A beacon that goes on where `log` ends; an empty log is a fresh start.
    ///
    /// # Errors
    /// When the log is not one that this beacon wrote.
    pub fn open(config: Config, log: Vec<LogEntry>, now: Timestamp) -> Result<Self, RecoveryError> {
        let mut beacon = Self::blank(config, now);
        for entry in log {
            match entry {
                LogEntry::Vertex(vertex) => beacon.recover_vertex(vertex, now)?,
                LogEntry::Vote(vote) => beacon.recover_vote(vote)?,
                LogEntry::Certificate(certificate) => beacon.recover_certificate(certificate),
                LogEntry::Commit(commit) => beacon.recover_commit(&commit)?,
                LogEntry::Batch(_) | LogEntry::Order(_) | LogEntry::Bundle(_) => {
                    return Err(RecoveryError::Foreign);
                }
            }
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
        Ok(beacon)
    }

    fn recover_vertex(&mut self, vertex: SignedVertex, now: Timestamp) -> Result<(), RecoveryError> {
        let head = &vertex.vertex.head;
        let (reference, time) = (head.reference(), head.time);
        let is_own = reference.author == self.me;
        if is_own {
            self.own.round = self.own.round.max(reference.round);
            self.own.time = self.own.time.max(time);
        }
        if reference.round <= self.dag.floor() {
            return Ok(());
        }
        let vertex = Arc::new(vertex);
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
        if slot.round > self.dag.floor() && earlier.is_none() {
            self.slots.set_own_vote(vote);
            if let Some(certificate) = self.slots.count(&vote, &self.rules.committee) {
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
