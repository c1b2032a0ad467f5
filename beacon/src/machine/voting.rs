//! Proposals of others and votes: what is durable before a vote leaves, and what votes add up to.

use std::{collections::BTreeMap, sync::Arc};

use fresnel_types::{
    AuthorityIndex, Certificate, Effect, Evidence, LogEntry, Message, Party, Round, SignedVertex, Timestamp,
    VertexRef, Vote,
};

use super::Beacon;
use crate::{
    limits::{TIME_AHEAD_MAX, VOTES_TO_ALL_MAX},
    proposals::Blocker,
    slots::Counted,
};

impl Beacon {
    /// A vertex asks for a vote.
    pub(super) fn proposal(
        &mut self,
        now: Timestamp,
        from: AuthorityIndex,
        vertex: SignedVertex,
        out: &mut Vec<Effect>,
    ) {
        let head = &vertex.vertex.head;
        if head.author != from {
            self.counters.dropped += 1;
            return;
        }
        self.note_head(head);
        let (round, time) = (head.round, head.time);
        if !self.is_in_window(round) || self.ahead(now, time) >= TIME_AHEAD_MAX {
            self.counters.dropped += 1;
            return;
        }
        let reference = head.reference();
        let vertex = Arc::new(vertex);
        self.keep(&reference, &vertex, out);
        if !is_idle(&vertex) {
            self.urgent = self.urgent.max(round);
        }
        if self.slots.is_certified(&reference) {
            self.certified_vertex_came(now, &reference);
        }
        let answer = self.slots.certificate(&reference).cloned();
        if let Some(vote) = self.slots.own_vote(round, from).copied() {
            // The author asks again, so it lacks the vote; one for another vertex of the slot is never given (A3).
            if vote.vertex == reference {
                let message =
                    answer.map_or(Message::Votes(vec![vote]), |held| Message::Certificates(vec![held]));
                out.push(Effect::Send { to: vec![Party::Beacon(from)], message });
            }
        } else if let Some(certificate) = answer {
            let message = Message::Certificates(vec![certificate]);
            out.push(Effect::Send { to: vec![Party::Beacon(from)], message });
        } else if self.resuming.above().is_none_or(|above| round > above) {
            self.proposals.add(reference, vertex);
        }
    }

    /// By how much a vertex' time is ahead of both the clock and the order.
    fn ahead(&self, now: Timestamp, time: Timestamp) -> u64 {
        let (_, _, ordered) = self.orderer.last();
        time.since(now.max(ordered))
    }

    /// Votes for whatever waits for nothing any more; whether that certified something.
    pub(super) fn vote_where_possible(&mut self, now: Timestamp, out: &mut Vec<Effect>) -> bool {
        let mut certified = false;
        if self.resuming.above().is_none() {
            return false;
        }
        for slot in self.proposals.slots() {
            if self.is_blocked(slot, now, out) {
                continue;
            }
            let Some(waiting) = self.proposals.remove(slot.0, slot.1) else { continue };
            if self.slots.own_vote(slot.0, slot.1).is_some() {
                continue;
            }
            if self.slots.make_durable(&waiting.reference) {
                self.persist(LogEntry::Vertex((*waiting.vertex).clone()), out);
            }
            let stored = self.availability.missing(&waiting.vertex).is_empty();
            certified |= self.vote(now, waiting.reference, stored, out);
        }
        certified
    }

    /// Whether a waiting proposal still waits; looks only at what it was last found to wait for until that is there.
    fn is_blocked(&mut self, slot: (Round, AuthorityIndex), now: Timestamp, out: &mut Vec<Effect>) -> bool {
        let (_, _, ordered) = self.orderer.last();
        let Some(waiting) = self.proposals.get_mut(slot) else { return true };
        let head = &waiting.vertex.vertex.head;
        match &mut waiting.blocker {
            Blocker::Unknown => {}
            Blocker::Time if head.time > now.max(ordered) => return true,
            Blocker::Link(link) if link.round > self.dag.floor() && !self.dag.contains(link) => return true,
            Blocker::Time | Blocker::Link(_) => {}
            Blocker::Payload { missing, again, wait, is_late } => {
                for (shard, batches) in missing.iter_mut() {
                    batches.retain(|batch| !self.availability.is_stored(*shard, batch));
                }
                missing.retain(|(_, batches)| !batches.is_empty());
                if missing.is_empty() {
                    return false;
                }
                if *again <= now {
                    *wait = self.pacer.longer(*wait);
                    *again = now.plus(*wait);
                    *is_late = true;
                    require(self.me, slot.1, missing, out);
                }
                // At least one of f + 1 is honest and will have it for whoever asks.
                let storing = || self.slots.storing(&waiting.reference);
                return !(*is_late && self.rules.committee.is_valid(&storing()));
            }
        }
        let links = self.dag.missing_links(head);
        if let Some(first) = links.first() {
            waiting.blocker = Blocker::Link(*first);
            for link in links {
                let mut sources = self.slots.voters(&link);
                sources.insert(slot.1);
                self.fetch.want(link, sources, false, now);
            }
            return true;
        }
        self.undecided |= self.dag.note_proposal(head);
        if head.time > now.max(ordered) {
            waiting.blocker = Blocker::Time;
            return true;
        }
        let missing = self.availability.missing(&waiting.vertex);
        // All of them, so that the worker keeps what it has from now on for this vertex.
        let headers = waiting.vertex.vertex.headers.iter().filter(|header| !header.batches.is_empty());
        let named: Vec<_> = headers.map(|header| (header.shard, header.batches.clone())).collect();
        require(self.me, slot.1, &named, out);
        if missing.is_empty() {
            return false;
        }
        let wait = self.pacer.patience();
        waiting.blocker = Blocker::Payload { missing, again: now.plus(wait), wait, is_late: false };
        true
    }

    /// Signs the one vote for a slot and makes it durable; it leaves with the next tick. Whether it completed a certificate.
    pub(super) fn vote(
        &mut self,
        now: Timestamp,
        reference: VertexRef,
        stored: bool,
        out: &mut Vec<Effect>,
    ) -> bool {
        let vote = Vote::sign(&self.rules.chain, self.rules.epoch, self.me, reference, stored, &self.key);
        assert!(
            self.resuming.may_sign(reference.round),
            "A3: nothing is signed that may have been signed before"
        );
        self.slots.set_own_vote(vote);
        self.signed = self.signed.max(reference.round);
        self.counters.voted += 1;
        self.counters.voted_on_trust += u64::from(!stored);
        self.persist(LogEntry::Vote(vote), out);
        self.unsent.push(vote);
        self.count(now, &vote, out)
    }

    /// Sends own votes, to everybody or in a large committee each to whom it is about.
    pub(super) fn send_votes(&mut self, votes: Vec<Vote>, out: &mut Vec<Effect>) {
        if self.rules.committee.size() <= VOTES_TO_ALL_MAX {
            if !votes.is_empty() {
                self.send_to_others(Message::Votes(votes), out);
            }
            return;
        }
        let mut by_author: BTreeMap<AuthorityIndex, Vec<Vote>> = BTreeMap::new();
        for vote in votes.into_iter().filter(|vote| vote.vertex.author != self.me) {
            by_author.entry(vote.vertex.author).or_default().push(vote);
        }
        for (author, votes) in by_author {
            out.push(Effect::Send { to: vec![Party::Beacon(author)], message: Message::Votes(votes) });
        }
    }

    /// Votes of others.
    pub(super) fn votes(&mut self, now: Timestamp, votes: &[Vote], out: &mut Vec<Effect>) {
        for vote in votes {
            if vote.voter != self.me && self.is_in_window(vote.vertex.round) {
                self.count(now, vote, out);
            } else {
                self.counters.dropped += 1;
            }
        }
    }

    fn count(&mut self, now: Timestamp, vote: &Vote, out: &mut Vec<Effect>) -> bool {
        let certificate = match self.slots.count(vote, &self.rules.committee) {
            Counted::Open => return false,
            Counted::Contradiction(earlier) => {
                self.accuse(Evidence::Votes { first: earlier, second: *vote }, out);
                return false;
            }
            Counted::Complete(certificate) => certificate,
        };
        self.counters.certified += 1;
        let reference = certificate.vertex;
        if reference.author == self.me && self.rules.committee.size() > VOTES_TO_ALL_MAX {
            self.send_to_others(Message::Certificates(vec![certificate.clone()]), out);
        }
        let signers = certificate.signers;
        self.certify(now, reference, Some(certificate), signers);
        true
    }

    /// Certificates that others assembled.
    pub(super) fn certificates(
        &mut self,
        now: Timestamp,
        certificates: Vec<Certificate>,
        out: &mut Vec<Effect>,
    ) {
        for certificate in certificates {
            let reference = certificate.vertex;
            if self.is_in_certified_window(reference.round) {
                self.counters.certified += u64::from(!self.slots.is_certified(&reference));
                let signers = certificate.signers;
                self.accuse_signers(&certificate, out);
                self.certify(now, reference, Some(certificate), signers);
            } else {
                self.counters.dropped += 1;
            }
        }
    }
}

/// Whether a vertex asks for nothing to be executed or certified.
pub(super) fn is_idle(vertex: &SignedVertex) -> bool {
    vertex.vertex.headers.iter().all(|header| header.is_idle())
}

fn require(
    me: AuthorityIndex,
    author: AuthorityIndex,
    missing: &[(fresnel_types::ShardId, Vec<fresnel_types::BatchRef>)],
    out: &mut Vec<Effect>,
) {
    for (shard, batches) in missing {
        let message = Message::Require { author, batches: batches.clone() };
        out.push(Effect::Send { to: vec![Party::Worker(me, *shard)], message });
    }
}
