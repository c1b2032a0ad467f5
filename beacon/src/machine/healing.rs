//! Saying things again, and asking for what is missing: whatever was lost is said again until it arrives.

use std::{collections::BTreeMap, sync::Arc};

use fresnel_types::{
    AuthorityIndex, AuthoritySet, CommitIndex, Effect, LogEntry, Message, Party, Round, SignedVertex,
    Timestamp, VertexRef, Vote, codec,
    message::{CertifiedVertex, Status},
};

use super::Beacon;
use crate::limits::{
    ANSWER_BYTES, PROPOSALS_PER_RESEND, ROUNDS_AHEAD, STATUS_ROUNDS, VERTICES_PER_MESSAGE, VOTES_PER_RESEND,
    VOTES_TO_ALL_MAX,
};

impl Beacon {
    /// A link to a beacon was established: it may have missed everything.
    pub(super) fn greet(&mut self, peer: AuthorityIndex, out: &mut Vec<Effect>) {
        if peer == self.me || self.rules.committee.authority(peer).is_none() {
            return;
        }
        let to = Party::Beacon(peer);
        out.push(Effect::Send { to: vec![to], message: Message::Status(self.own_status()) });
        if let Some(asked) = self.resuming.question() {
            out.push(Effect::Send { to: vec![to], message: Message::RoundRequest(asked) });
        }
        if let Some(open) = self.own.open.last_key_value().map(|(_, open)| open.reference)
            && let Some(vertex) = self.slots.vertex(&open)
        {
            out.push(Effect::Send { to: vec![to], message: Message::Proposal((**vertex).clone()) });
        }
        let votes: Vec<Vote> = self.open_votes().filter(|vote| self.goes_to(vote, peer)).collect();
        if !votes.is_empty() {
            out.push(Effect::Send { to: vec![to], message: Message::Votes(votes) });
        }
    }

    /// Whatever is due to be said again or asked for.
    pub(super) fn heal(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        for (peer, references) in self.fetch.due(now, self.me) {
            self.counters.fetched += references.len() as u64;
            let to = vec![Party::Beacon(peer)];
            out.push(Effect::Send { to, message: Message::VertexRequest(references) });
        }
        let silent = self.resuming.due(now, self.pacer.pacing().resend_max, &self.rules.committee);
        if let Some(asked) = self.resuming.question().filter(|_| !silent.is_empty()) {
            let to = silent.into_iter().map(Party::Beacon).collect();
            out.push(Effect::Send { to, message: Message::RoundRequest(asked) });
        }
        self.propose_again(now, out);
        if self.stall_deadline().is_some_and(|stalled| stalled <= now) {
            self.tell_everybody(now, out);
        }
        let last = self.last();
        let patience = (2 * self.pacer.patience(), 2 * self.pacer.pacing().resend_max);
        if let Some((peer, from)) = self.catch_up.request(now, patience, last, &self.rules.committee) {
            self.counters.commit_requests += 1;
            let to = vec![Party::Beacon(peer)];
            out.push(Effect::Send { to, message: Message::CommitRequest(from) });
        }
    }

    pub(super) fn healing_deadline(&self) -> Option<Timestamp> {
        let open =
            if self.others.is_empty() { None } else { self.own.open.values().map(|open| open.again).min() };
        open.into_iter().chain(self.stall_deadline()).min()
    }

    /// Own vertices that are not certified, to those who have not voted.
    fn propose_again(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        let mut sent = 0;
        for open in self.own.open.values_mut().filter(|open| open.again <= now) {
            open.wait = self.pacer.longer(open.wait);
            open.again = now.plus(open.wait);
            let Some(vertex) = self.slots.vertex(&open.reference) else { continue };
            let voters = self.slots.voters(&open.reference);
            let lacks = |party: &&Party| party.authority().is_some_and(|peer| !voters.contains(peer));
            let to: Vec<Party> = self.others.iter().filter(lacks).copied().collect();
            if !to.is_empty() && sent < PROPOSALS_PER_RESEND {
                sent += 1;
                self.counters.resends += 1;
                out.push(Effect::Send { to, message: Message::Proposal((**vertex).clone()) });
            }
        }
    }

    /// When to tell everybody where we are. Waiting for a heartbeat is no stall.
    fn stall_deadline(&self) -> Option<Timestamp> {
        if self.others.is_empty() {
            return None;
        }
        let calm = self.own.open.is_empty() && !self.is_under_load();
        let beat = if calm { self.pacer.pacing().heartbeat + self.pacer.patience() } else { 0 };
        Some(self.stall.again.max(self.stall.since.plus(beat)))
    }

    fn tell_everybody(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        self.counters.resends += 1;
        self.stall.wait = self.pacer.longer(self.stall.wait);
        self.stall.again = now.plus(self.stall.wait);
        let last = self.last();
        self.catch_up.stalled(last);
        self.want_again(now);
        self.send_to_others(Message::Status(self.own_status()), out);
        let votes: Vec<Vote> = self.open_votes().collect();
        self.send_votes(votes, out);
    }

    /// What certified vertices wait for: it is not wanted any more if too much was at once.
    fn want_again(&mut self, now: Timestamp) {
        for (waiting, link) in &self.waiting {
            if let Some(link) = link.filter(|link| self.slots.vertex(link).is_none()) {
                let sources = [waiting.author, link.author].into_iter().collect();
                self.fetch.want(link, sources, true, now);
            }
        }
    }

    /// Notes whether anything moved since the last look.
    pub(super) fn note_progress(&mut self, now: Timestamp) {
        let seen = (self.dag.top(), self.last().index);
        if seen != self.stall.seen {
            self.stall.seen = seen;
            self.stall.since = now;
            self.stall.wait = self.pacer.patience();
            self.stall.again = now.plus(self.stall.wait);
        }
    }

    /// Whether f + 1 authorities are further ahead than a round in progress explains.
    pub(super) fn is_lagging(&self) -> bool {
        let ahead = self.dag.top().0 + 2;
        let authors = self.rules.committee.indices();
        let further: AuthoritySet =
            authors.filter(|author| self.announced[author.index()].0 > ahead).collect();
        self.rules.committee.is_valid(&further)
    }

    /// Own votes of the last rounds, where nothing is certified yet.
    fn open_votes(&self) -> impl Iterator<Item = Vote> {
        let from = Round(self.dag.top().0.saturating_sub(ROUNDS_AHEAD)).max(self.dag.floor().next());
        self.slots.open_own_votes(from).take(VOTES_PER_RESEND).copied()
    }

    fn goes_to(&self, vote: &Vote, peer: AuthorityIndex) -> bool {
        self.rules.committee.size() <= VOTES_TO_ALL_MAX || vote.vertex.author == peer
    }

    fn own_status(&self) -> Status {
        let all = self.rules.committee.all();
        let (mut held, mut gap) = (vec![], false);
        let (first, top) = (self.dag.floor().next(), self.dag.top());
        for round in (first.0..=top.0).map(Round) {
            let authors = self.dag.authors(round);
            gap |= authors != all;
            // The top is always listed: what is not listed behind the first entry is lacking.
            if gap || round == top {
                held.push((round, authors));
            }
            if held.len() == STATUS_ROUNDS {
                break;
            }
        }
        Status { round: self.own.round, commit: self.last().index, held }
    }

    /// A peer says where it is: it gets the certified vertices that it lacks, lowest rounds first, and one that has fewer
    /// commits learns that.
    pub(super) fn peer_status(
        &mut self,
        now: Timestamp,
        peer: AuthorityIndex,
        status: &Status,
        out: &mut Vec<Effect>,
    ) {
        let announced = &mut self.announced[peer.index()];
        *announced = status.round.max(*announced);
        let last = self.last();
        self.catch_up.position(peer, status.commit, last);
        let held: BTreeMap<Round, AuthoritySet> = status.held.iter().copied().collect();
        let first = held.first_key_value().map_or(Round(1), |(round, _)| *round);
        let first = first.max(self.dag.floor().next());
        let dag = &self.dag;
        let lacking = (first.0..=dag.top().0).map(Round).flat_map(|round| {
            let theirs = held.get(&round).copied().unwrap_or_default();
            let lacking = dag.authors(round).difference(&theirs);
            lacking.iter().filter_map(move |author| dag.reference(round, author))
        });
        let lacking: Vec<VertexRef> = lacking.take(VERTICES_PER_MESSAGE).collect();
        self.answer_request(now, peer, &lacking, out);
        if status.commit < last.index {
            // Only a beacon that is behind the floor of all others stalls alone, and nobody else tells it where they are.
            let to = vec![Party::Beacon(peer)];
            out.push(Effect::Send { to, message: Message::Status(self.own_status()) });
        }
    }

    /// A peer whose log is empty asks whether it was here before, and up to which round anything is certified.
    pub(super) fn answer_round_request(&self, peer: AuthorityIndex, asked: Timestamp, out: &mut Vec<Effect>) {
        let highest = self.slots.highest_certificate().cloned();
        let round = highest.as_ref().map_or(Round(0), |highest| highest.vertex.round);
        let complete = round.next() >= self.signed.max(self.own.round) && round >= self.dag.floor();
        let yours = self.known.get(&peer).cloned().map(Box::new);
        let message = Message::RoundAnswer { asked, yours, highest, complete };
        out.push(Effect::Send { to: vec![Party::Beacon(peer)], message });
    }

    /// Signs from now on, if a quorum said above which round that is no second time.
    pub(super) fn resume(&mut self, out: &mut Vec<Effect>) {
        if let Some(above) = self.resuming.conclude(&self.rules.committee) {
            self.proposals.prune(above);
            self.persist(LogEntry::Resumed(above), out);
        }
    }

    /// A peer asks for vertices by name.
    pub(super) fn answer_request(
        &mut self,
        now: Timestamp,
        peer: AuthorityIndex,
        references: &[VertexRef],
        out: &mut Vec<Effect>,
    ) {
        if !self.answers.may(peer, now) {
            self.counters.refused += 1;
            return;
        }
        let (mut answer, mut bytes) = (vec![], 0);
        for reference in references {
            let Some(vertex) = self.held(reference) else { continue };
            let item = CertifiedVertex {
                vertex: (**vertex).clone(),
                certificate: self.slots.certificate(reference).cloned(),
            };
            let more = codec::encoded_len(&item);
            if !answer.is_empty() && bytes + more > ANSWER_BYTES {
                break;
            }
            bytes += more;
            answer.push(item);
            if answer.len() == VERTICES_PER_MESSAGE {
                break;
            }
        }
        if !answer.is_empty() {
            self.answers.give(peer, bytes);
            out.push(Effect::Send { to: vec![Party::Beacon(peer)], message: Message::Vertices(answer) });
        }
    }

    /// A peer asks for commits from one on.
    pub(super) fn answer_commit_request(
        &mut self,
        now: Timestamp,
        peer: AuthorityIndex,
        from: CommitIndex,
        out: &mut Vec<Effect>,
    ) {
        if !self.answers.may(peer, now) {
            self.counters.refused += 1;
        } else if let Some((message, bytes)) = self.history.range(from) {
            self.answers.give(peer, bytes);
            out.push(Effect::Send { to: vec![Party::Beacon(peer)], message });
        }
    }

    fn held(&self, reference: &VertexRef) -> Option<&Arc<SignedVertex>> {
        if self.dag.contains(reference) {
            self.dag.get(reference.round, reference.author)
        } else {
            self.slots.vertex(reference)
        }
    }

    /// Vertices from a peer: certified ones are taken, and so is what they name. Others are kept where there is room,
    /// since a certified one may name them later.
    pub(super) fn vertices(
        &mut self,
        now: Timestamp,
        peer: AuthorityIndex,
        mut vertices: Vec<CertifiedVertex>,
        out: &mut Vec<Effect>,
    ) {
        let top = self.dag.top();
        vertices.sort_by_key(|item| std::cmp::Reverse(item.vertex.vertex.head.round));
        for CertifiedVertex { vertex, certificate } in vertices {
            self.note_head(&vertex.vertex.head);
            let reference = vertex.vertex.head.reference();
            let certified = certificate.is_some() || self.slots.is_certified(&reference);
            let wanted = if certified {
                self.is_in_certified_window(reference.round)
            } else {
                self.is_in_window(reference.round) && reference.author != self.me
            };
            if !wanted {
                self.counters.dropped += 1;
                continue;
            }
            if let Some(certificate) = certificate {
                let signers = certificate.signers;
                self.accuse_signers(&certificate, out);
                self.certify(now, reference, Some(certificate), signers);
            }
            self.keep(&reference, &Arc::new(vertex), out);
            if self.slots.is_certified(&reference) {
                self.certified_vertex_came(now, &reference);
            }
        }
        self.settle(now, out);
        if self.dag.top() > top && self.is_lagging() {
            let to = vec![Party::Beacon(peer)];
            out.push(Effect::Send { to, message: Message::Status(self.own_status()) });
        }
    }
}
