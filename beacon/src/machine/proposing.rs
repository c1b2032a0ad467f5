//! Own vertices: when the next is due and what is in it.

use std::sync::Arc;

use fresnel_types::{
    AuthoritySet, Effect, LogEntry, Message, Party, Round, Timestamp, Vertex, VertexHead, VertexRef,
    hash::Root,
};

use super::{Beacon, Open};
use crate::{
    limits::{EAGER_ROUNDS, PAYLOAD_ROUNDS},
    pacing::Situation,
};

impl Beacon {
    /// Notes the highest round of which a quorum is in the DAG, and tells the own workers that a vertex will follow.
    pub(super) fn note_quorum(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        let mut round = self.dag.top();
        while round > self.pacer.quorum() && !self.rules.committee.is_quorum(&self.dag.authors(round)) {
            round.0 -= 1;
        }
        if round <= self.pacer.quorum() {
            return;
        }
        self.pacer.reached(round, self.own.round, now);
        if self.own.round <= round {
            let to = self.rules.shards.iter().map(|shard| Party::Worker(self.me, shard)).collect();
            out.push(Effect::Send { to, message: Message::Proposing(round.next()) });
        }
    }

    /// Whether there is a reason to make rounds as fast as they come.
    pub(super) fn is_under_load(&self) -> bool {
        self.pending.has_unproposed()
            || self.pending.waits()
            || !self.lively.is_empty()
            || self.urgent > self.own.round
            || self.orderer.open_block_has_input()
            || !self.orderer.closed_since_certified()
    }

    /// When the next own vertex is due; none while a quorum of a round at or past the own is missing.
    pub(super) fn due(&self) -> Option<Timestamp> {
        let quorum = self.pacer.quorum();
        if self.own.round > quorum
            || !self.resuming.may_sign(quorum.next())
            || !self.rules.committee.is_quorum(&self.dag.authors(quorum))
        {
            return None;
        }
        let missing = self.awaited(quorum).difference(&self.dag.authors(quorum));
        let load = self.is_under_load();
        let due = self.pacer.due(Situation { load, missing, uncommitted: self.uncommitted() });
        // Far behind, own vertices would come too late for anybody; but never stop for good.
        let patience = if self.is_lagging() { self.pacer.pacing().resend_max } else { 0 };
        Some(if patience > 0 { due.max(self.stall.since.plus(patience)) } else { due })
    }

    /// Whose vertices of `round` are worth a wait. When nothing commits for long, the wait is long, and only for those who
    /// decide whether anything does.
    fn awaited(&self, round: Round) -> AuthoritySet {
        if self.uncommitted() > EAGER_ROUNDS {
            self.orderer.candidate(round).into_iter().collect()
        } else {
            self.orderer.awaited(&self.dag, round)
        }
    }

    /// Rounds past the last commit's anchor.
    fn uncommitted(&self) -> u64 {
        self.pacer.quorum().0.saturating_sub(self.orderer.last_anchor_round().0)
    }

    /// Makes the next own vertex if it is due; whether it did.
    pub(super) fn propose(&mut self, now: Timestamp, out: &mut Vec<Effect>) -> bool {
        if self.due().is_none_or(|due| due > now) {
            return false;
        }
        let before = self.pacer.quorum();
        let round = before.next();
        let present = self.dag.authors(before);
        let parents: Vec<VertexRef> =
            present.iter().filter_map(|author| self.dag.reference(before, author)).collect();
        let headers = if self.uncommitted() > PAYLOAD_ROUNDS {
            vec![]
        } else {
            self.pending.headers(round, self.rules.shards, &self.rules.parameters)
        };
        let time = now.max(self.own.time);
        let head = VertexHead {
            chain: self.rules.chain,
            epoch: self.rules.epoch,
            round,
            author: self.me,
            time,
            weak: self.weak_links(before),
            parents,
            commit_vote: self.orderer.commit_vote(),
            payload_root: Root::default(),
            attestation_root: Root::default(),
        };
        let vertex = Arc::new(Vertex::new(head, headers).sign(&self.key));
        let reference = vertex.vertex.head.reference();
        for link in vertex.vertex.head.links() {
            if let Some(certificate) = self.slots.take_certificate_to_persist(link) {
                self.persist(LogEntry::Certificate(certificate), out);
            }
        }
        self.keep(&reference, &vertex, out);
        self.slots.make_durable(&reference);
        self.undecided |= self.dag.note_proposal(&vertex.vertex.head);
        self.persist(LogEntry::Vertex((*vertex).clone()), out);
        self.pacer.proposed(&self.awaited(before), &present, now);
        self.counters.proposed += 1;
        self.own.round = round;
        self.own.time = time;
        let wait = self.pacer.patience();
        self.own.open.insert(round, Open { reference, again: now.plus(wait), wait });
        // Until this one had time to be answered nothing is overdue.
        self.stall.wait = wait;
        self.stall.again = now.plus(wait);
        self.send_to_others(Message::Proposal((*vertex).clone()), out);
        self.vote(now, reference, true, out);
        true
    }

    /// What a vertex on top of `before` names besides its parents: the own last vertex in the DAG when it is none of
    /// them, and what nobody named yet.
    fn weak_links(&self, before: Round) -> Vec<VertexRef> {
        let own = self
            .own
            .inserted
            .filter(|own| own.round < before && self.dag.contains(own) && !self.orderer.is_ordered(own));
        let size = self.rules.committee.size();
        let mut weak = self.dag.unreached(before.next(), self.dag.authors(before), size);
        if let Some(own) = own
            && !weak.contains(&own)
        {
            weak.truncate(size - 1);
            weak.push(own);
            weak.sort_unstable();
        }
        weak
    }
}
