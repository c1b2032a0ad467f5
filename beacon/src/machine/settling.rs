//! From certified to ordered: certified vertices enter the DAG once their links are there, commits come out.

use std::sync::Arc;

use fresnel_types::{
    AuthorityIndex, AuthoritySet, Certificate, Effect, LogEntry, Timestamp, VertexId, VertexRef,
};

use super::{Beacon, voting::is_idle};
use crate::{orderer::Committed, slots::Certified};

impl Beacon {
    /// Does everything that follows from what is known, until nothing does.
    pub(super) fn settle(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        loop {
            let mut moved = self.insert_waiting(now, out) | self.apply_ranges(out);
            if std::mem::take(&mut self.undecided) | moved {
                while let Some(committed) = self.orderer.advance_once(&mut self.dag) {
                    self.counters.committed += 1;
                    self.commit(committed, out);
                }
            }
            moved |= self.vote_where_possible(now, out);
            if !moved && !self.undecided {
                break;
            }
        }
        self.note_quorum(now, out);
        self.note_progress(now);
    }

    /// A vertex is certified, by a certificate or because a certified one names it; so is everything it names.
    /// `sources` are authorities that should hold it.
    pub(super) fn certify(
        &mut self,
        now: Timestamp,
        reference: VertexRef,
        certificate: Option<Certificate>,
        sources: AuthoritySet,
    ) {
        let mut work = vec![(reference, certificate, sources)];
        while let Some((reference, certificate, mut sources)) = work.pop() {
            if reference.round <= self.dag.floor() {
                continue;
            }
            match self.slots.certify(&reference, certificate) {
                Certified::Known => {
                    // It may have been too many to be wanted when its certificate came.
                    if self.slots.vertex(&reference).is_none() && !self.dag.contains(&reference) {
                        sources.insert(reference.author);
                        self.fetch.want(reference, sources, true, now);
                    }
                    continue;
                }
                Certified::Conflict => {
                    self.counters.conflicts += 1;
                    continue;
                }
                Certified::New => {}
            }
            sources.insert(reference.author);
            if reference.author == self.me && reference.round > self.own.round {
                // The log lost an own vertex that others certified: never make another one for that round.
                self.own.round = reference.round;
            }
            if let Some(vertex) = self.slots.vertex(&reference) {
                self.waiting.insert(reference, None);
                self.fetch.found(&reference);
                work.extend(vertex.vertex.head.links().map(|link| (*link, None, sources)));
            } else if !self.dag.contains(&reference) {
                self.fetch.want(reference, sources, true, now);
            }
        }
    }

    /// The vertex of a slot whose certificate was there before it.
    pub(super) fn certified_vertex_came(&mut self, now: Timestamp, reference: &VertexRef) {
        if self.dag.contains(reference) || self.waiting.contains_key(reference) {
            return;
        }
        let Some(vertex) = self.slots.vertex(reference).map(Arc::clone) else { return };
        self.waiting.insert(*reference, None);
        self.fetch.found(reference);
        let mut sources =
            self.slots.certificate(reference).map_or_else(AuthoritySet::default, |held| held.signers);
        sources.insert(reference.author);
        for link in vertex.vertex.head.links() {
            self.certify(now, *link, None, sources);
        }
    }

    /// Moves into the DAG whatever has all its links there. Links lead to lower rounds, so one ascending pass does.
    fn insert_waiting(&mut self, now: Timestamp, out: &mut Vec<Effect>) -> bool {
        let mut inserted = false;
        let candidates: Vec<(VertexRef, Option<VertexRef>)> =
            self.waiting.iter().map(|(reference, link)| (*reference, *link)).collect();
        for (reference, blocker) in candidates {
            let missing = |link: VertexRef| link.round > self.dag.floor() && !self.dag.contains(&link);
            if blocker.is_some_and(missing) {
                continue;
            }
            let Some(vertex) = self.slots.vertex(&reference).map(Arc::clone) else {
                self.waiting.remove(&reference);
                continue;
            };
            if let Some(link) = self.dag.missing_links(&vertex.vertex.head).first() {
                self.waiting.insert(reference, Some(*link));
                continue;
            }
            self.waiting.remove(&reference);
            self.proposals.remove(reference.round, reference.author);
            self.fetch.found(&reference);
            if self.dag.reference(reference.round, reference.author).is_some() {
                continue;
            }
            if self.slots.make_durable(&reference) {
                self.persist(LogEntry::Vertex((*vertex).clone()), out);
            }
            if !is_idle(&vertex) {
                self.lively.insert(reference);
            }
            self.dag.insert_as(reference, vertex);
            if reference.author == self.me {
                self.own_vertex_inserted(now, reference);
            }
            inserted = true;
        }
        inserted
    }

    fn own_vertex_inserted(&mut self, now: Timestamp, reference: VertexRef) {
        if self.own.open.remove(&reference.round).is_some() && reference.round == self.own.round {
            self.pacer.certified(now);
        }
        if self.own.inserted.is_none_or(|earlier| earlier < reference) {
            self.own.inserted = Some(reference);
        }
    }

    /// Applies commits of others as far as f + 1 authorities vouch for them.
    fn apply_ranges(&mut self, out: &mut Vec<Effect>) -> bool {
        let mut applied = false;
        for received in self.catch_up.take_certified(&self.rules.committee) {
            match self.orderer.replay(&mut self.dag, &received.commit, received.vertices) {
                Ok(committed) => {
                    self.counters.replayed += 1;
                    self.commit(committed, out);
                    applied = true;
                }
                Err(_) => {
                    self.counters.conflicts += 1;
                    self.catch_up.drop_buffer();
                    break;
                }
            }
        }
        applied
    }

    /// Makes a commit durable with everything it orders, then lets it take effect.
    fn commit(&mut self, committed: Committed, out: &mut Vec<Effect>) {
        for (reference, vertex) in committed.commit.vertices.iter().zip(&committed.vertices) {
            self.mark_ordered(reference);
            self.keep(reference, vertex, out);
            if self.slots.make_durable(reference) {
                self.persist(LogEntry::Vertex((**vertex).clone()), out);
            }
        }
        let commit = committed.commit.clone();
        self.persist(LogEntry::Commit(commit.clone()), out);
        self.take_effect(committed);
        self.freeze(&commit);
    }

    /// What is ordered is certified.
    pub(super) fn mark_ordered(&mut self, reference: &VertexRef) {
        if self.slots.certify(reference, None) == Certified::Conflict {
            self.counters.conflicts += 1;
        }
    }

    /// An own vertex that is ordered needs nothing more.
    pub(super) fn note_own_ordered(&mut self, reference: &VertexRef) {
        if reference.author == self.me {
            self.pending.ordered(reference.round);
            self.own.open.remove(&reference.round);
            self.own.round = self.own.round.max(reference.round);
        }
    }

    /// What a commit changes here, once it is in the log.
    pub(super) fn take_effect(&mut self, committed: Committed) {
        let Committed { commit, vertices, orders } = committed;
        for reference in &commit.vertices {
            self.counters.ordered_vertices += 1;
            self.lively.remove(reference);
            self.waiting.remove(reference);
            self.note_own_ordered(reference);
        }
        self.pending.took_effect(&orders);
        self.counters.returned_batches += self.pending.take_back(commit.floor);
        self.slots.prune(commit.floor);
        self.proposals.prune(commit.floor);
        self.fetch.prune(commit.floor);
        self.availability.prune(commit.floor);
        let above =
            VertexRef { round: commit.floor.next(), author: AuthorityIndex(0), id: VertexId([0; 32]) };
        self.waiting = self.waiting.split_off(&above);
        self.lively = self.lively.split_off(&above);
        self.own.open = self.own.open.split_off(&commit.floor.next());
        let digest = commit.digest();
        self.catch_up.committed(crate::catch_up::Last { index: commit.index, digest });
        self.streams.add(orders);
        self.history.add(commit, digest, vertices);
    }
}
