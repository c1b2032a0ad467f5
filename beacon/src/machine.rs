//! The beacon as its driver sees it: one machine that composes the sub-machines beside it.
//!
//! What it does is in the modules below, each a step of the same loop: `voting` takes proposals and votes, `settling`
//! moves what is certified into the DAG and takes commits out of it, `proposing` makes own vertices, `healing` says
//! things again and fills gaps, `checkpointing` lets the log forget, `recovery` starts from a log, `showing` lets people
//! look at the DAG.

mod checkpointing;
mod healing;
mod proposing;
mod recovery;
mod settling;
mod showing;
#[cfg(test)]
mod tests;
mod voting;

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    sync::Arc,
};

use fresnel_crypto::SigningKey;
use fresnel_types::{
    AuthorityIndex, Certificate, CommitDigest, CommitIndex, Effect, Evidence, Input, LogEntry, Machine,
    Message, Party, Round, SignedHead, SignedVertex, Timestamp, VertexHead, VertexRef, Vote,
    status::{Answer, BeaconStatus, Query},
    verify::Rules,
};

use self::checkpointing::Checkpointing;
pub use self::recovery::RecoveryError;
use crate::{
    answers::Answers,
    availability::Availability,
    catch_up::{CatchUp, Last},
    counters::Counters,
    dag::Dag,
    fetch::Fetch,
    history::History,
    limits::{CERTIFIED_ROUNDS_AHEAD, ROUNDS_AHEAD},
    orderer::Orderer,
    pacing::{Pacer, Pacing},
    pending::Pending,
    proposals::Proposals,
    resuming::{Resuming, RoundAnswer},
    slots::{Added, Slots},
    streams::Streams,
};

/// What a beacon is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whose beacon it is.
    pub authority: AuthorityIndex,
    /// The chain's rules.
    pub rules: Arc<Rules>,
    /// The consensus key of `authority`.
    pub key: SigningKey,
    /// Local timing.
    pub pacing: Pacing,
    /// Commits between two checkpoints at least; they are taken at multiples of
    /// [`COMMITS_PER_CHECKPOINT`](fresnel_types::limits::COMMITS_PER_CHECKPOINT), where the order names the state.
    pub checkpoint_commits: u64,
}

/// The beacon of one authority.
#[derive(Debug)]
pub struct Beacon {
    me: AuthorityIndex,
    rules: Arc<Rules>,
    key: SigningKey,
    /// The beacons of all other authorities.
    others: Vec<Party>,
    dag: Dag,
    orderer: Orderer,
    slots: Slots,
    /// Own votes that nobody was shown yet.
    unsent: Vec<Vote>,
    /// Certified vertices that are held and not in the DAG, each with the link last found missing.
    waiting: BTreeMap<VertexRef, Option<VertexRef>>,
    proposals: Proposals,
    /// Whether the DAG shows more than when the rule was last asked.
    undecided: bool,
    availability: Availability,
    pending: Pending,
    pacer: Pacer,
    fetch: Fetch,
    answers: Answers,
    streams: Streams,
    history: History,
    catch_up: CatchUp,
    checkpointing: Checkpointing,
    own: Own,
    /// Vertices in the DAG that ask for something and are not ordered.
    lively: BTreeSet<VertexRef>,
    /// The highest round of which a proposal that asks for something was seen.
    urgent: Round,
    /// Per author: the highest round it is known to have reached.
    announced: Vec<Round>,
    stall: Stall,
    resuming: Resuming,
    /// The highest round of an own vertex or vote.
    signed: Round,
    /// The head of a vertex of each other authority that was ever seen.
    known: BTreeMap<AuthorityIndex, SignedHead>,
    /// The first evidence against each authority.
    evidence: BTreeMap<AuthorityIndex, Evidence>,
    counters: Counters,
}

/// The own part of the DAG.
#[derive(Debug, Default)]
struct Own {
    /// The round of the last own vertex: there is never another one at or below it.
    round: Round,
    /// The time of the last own vertex.
    time: Timestamp,
    /// Own vertices that are not in the DAG yet.
    open: BTreeMap<Round, Open>,
    /// The last own vertex in the DAG.
    inserted: Option<VertexRef>,
}

/// An own vertex that waits for votes.
#[derive(Debug)]
struct Open {
    reference: VertexRef,
    /// When to propose it again to those whose votes are missing.
    again: Timestamp,
    wait: u64,
}

/// When to tell everybody where we are because nothing moves.
#[derive(Debug)]
struct Stall {
    /// The highest round in the DAG and the last commit, as of `since`.
    seen: (Round, CommitIndex),
    since: Timestamp,
    again: Timestamp,
    wait: u64,
}

impl Beacon {
    /// Where it is.
    pub fn status(&self) -> BeaconStatus {
        let (commit, digest, _) = self.orderer.last();
        BeaconStatus {
            round: self.own.round,
            commit,
            digest,
            floor: self.orderer.floor(),
            accused: u16::try_from(self.evidence.len()).expect("at most one per authority"),
            resuming: !self.resuming.may_sign(self.dag.top().next()),
        }
    }

    /// Index and digest of the commits from an index on, ascending, as far as they are remembered.
    pub fn commit_digests(&self, from: CommitIndex) -> Vec<(CommitIndex, CommitDigest)> {
        self.history.digests(from).collect()
    }

    /// What it counted.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// What its order counted.
    pub fn order_counters(&self) -> crate::orderer::Counters {
        self.orderer.counters()
    }

    /// Evidence against others, the first seen against each, ascending.
    pub fn evidence(&self) -> impl ExactSizeIterator<Item = &Evidence> {
        self.evidence.values()
    }

    fn blank(config: Config, now: Timestamp) -> Self {
        let Config { authority, rules, key, pacing, checkpoint_commits } = config;
        let size = rules.committee.size();
        Self {
            me: authority,
            others: rules.committee.indices().filter(|a| *a != authority).map(Party::Beacon).collect(),
            dag: Dag::new(&rules),
            orderer: Orderer::new(Arc::clone(&rules)),
            slots: Slots::default(),
            unsent: vec![],
            waiting: BTreeMap::new(),
            proposals: Proposals::default(),
            undecided: false,
            availability: Availability::new(rules.shards),
            pending: Pending::new(authority, rules.shards),
            fetch: Fetch::new(pacing.resend_min, pacing.resend_max),
            answers: Answers::new(size),
            streams: Streams::new(rules.shards, pacing.resend_max),
            history: History::default(),
            catch_up: CatchUp::new(authority, size, rules.parameters.floor_depth),
            checkpointing: Checkpointing::new(checkpoint_commits),
            own: Own::default(),
            lively: BTreeSet::new(),
            urgent: Round(0),
            announced: vec![Round(0); size],
            stall: Stall {
                seen: (Round(0), CommitIndex(0)),
                since: now,
                again: now.plus(pacing.resend_min),
                wait: pacing.resend_min,
            },
            resuming: Resuming::asking(authority, now, pacing.resend_min),
            signed: Round(0),
            known: BTreeMap::new(),
            evidence: BTreeMap::new(),
            counters: Counters::default(),
            pacer: Pacer::new(pacing, rules.parameters.wait_max, size, now),
            rules,
            key,
        }
    }

    fn last(&self) -> Last {
        let (index, digest, _) = self.orderer.last();
        Last { index, digest }
    }

    /// Rounds of which proposals and votes are taken.
    fn is_in_window(&self, round: Round) -> bool {
        round > self.dag.floor() && round.0 <= self.dag.top().0 + ROUNDS_AHEAD
    }

    /// Rounds of which certified vertices are taken.
    fn is_in_certified_window(&self, round: Round) -> bool {
        round > self.dag.floor() && round.0 <= self.dag.top().0 + CERTIFIED_ROUNDS_AHEAD
    }

    /// Learns from a signed head whatever becomes of its vertex: how far its author is.
    fn note_head(&mut self, head: &VertexHead) {
        let announced = &mut self.announced[head.author.index()];
        *announced = head.round.max(*announced);
        let last = self.last();
        self.catch_up.claim(head.author, head.commit_vote, last);
    }

    /// Keeps a signed vertex, and the evidence if it is the second of its slot.
    fn keep(&mut self, reference: &VertexRef, vertex: &Arc<SignedVertex>, out: &mut Vec<Effect>) {
        self.know(vertex);
        if let Added::Equivocation(first) = self.slots.add(reference, Arc::clone(vertex)) {
            let evidence = Evidence::Vertices { first: first.signed_head(), second: vertex.signed_head() };
            self.accuse(evidence, out);
        }
    }

    /// Remembers for good that an authority was here.
    fn know(&mut self, vertex: &SignedVertex) {
        let author = vertex.vertex.head.author;
        if author != self.me && !self.known.contains_key(&author) {
            self.known.insert(author, vertex.signed_head());
        }
    }

    /// Keeps evidence against an authority, unless there is some already: one offence is as good as many.
    fn accuse(&mut self, evidence: Evidence, out: &mut Vec<Effect>) {
        self.counters.equivocations += 1;
        if let Entry::Vacant(place) = self.evidence.entry(evidence.accused()) {
            place.insert(evidence.clone());
            self.persist(LogEntry::Evidence(Box::new(evidence)), out);
        }
    }

    /// Keeps evidence against those who signed a certificate and voted for another vertex of its slot.
    fn accuse_signers(&mut self, certificate: &Certificate, out: &mut Vec<Effect>) {
        for (first, second) in self.slots.contradictions(certificate) {
            self.accuse(Evidence::Votes { first, second }, out);
        }
    }

    fn message(&mut self, now: Timestamp, from: Party, message: Message, out: &mut Vec<Effect>) {
        if !message.may_pass(from, Party::Beacon(self.me)) {
            self.counters.dropped += 1;
            return;
        }
        match (from, message) {
            (Party::Client(_), Message::Query { request, query }) => {
                let message = Message::Answer { request, answer: self.answer(query) };
                out.push(Effect::Send { to: vec![from], message });
            }
            (Party::Worker(_, shard), message) if self.rules.shards.contains(shard) => match message {
                Message::Offer(offer) => self.pending.offer(offer),
                Message::Stored(batches) => {
                    // What a worker stores it keeps until the floor passes the floor it knows by `floor_depth`.
                    let kept = self.streams.floor(shard).0 + self.rules.parameters.floor_depth;
                    self.availability.stored(shard, batches, Round(kept));
                }
                Message::OrderRequest(next) => {
                    if let Some(first) = self.streams.request(shard, next) {
                        self.counters.orders_gone += 1;
                        out.push(Effect::Send { to: vec![from], message: Message::OrderGone(first) });
                    }
                }
                Message::OrderStored(commit) => self.streams.stored(shard, commit),
                _ => self.counters.dropped += 1,
            },
            (Party::Beacon(peer), message) if self.rules.committee.authority(peer).is_some() => match message
            {
                Message::Proposal(vertex) => self.proposal(now, peer, vertex, out),
                Message::Votes(votes) => self.votes(now, &votes, out),
                Message::Certificates(certificates) => self.certificates(now, certificates, out),
                Message::VertexRequest(references) => self.answer_request(now, peer, &references, out),
                Message::Vertices(vertices) => self.vertices(now, peer, vertices, out),
                Message::Status(status) => self.peer_status(now, peer, &status, out),
                Message::CommitRequest(from) => self.answer_commit_request(now, peer, from, out),
                Message::CommitRange(range) => {
                    let last = self.last();
                    self.catch_up.receive(peer, range, last);
                }
                Message::RoundRequest(asked) => self.answer_round_request(peer, asked, out),
                Message::RoundAnswer { asked, yours, highest, complete } => {
                    let known = yours.is_some_and(|yours| yours.head.author == self.me);
                    let highest = highest.map_or(Round(0), |certificate| certificate.vertex.round);
                    self.resuming.answer(peer, asked, RoundAnswer { known, highest, complete });
                }
                _ => self.counters.dropped += 1,
            },
            _ => self.counters.dropped += 1,
        }
    }

    fn answer(&self, query: Query) -> Answer {
        match query {
            Query::Commits(from) => Answer::Commits(self.history.digests_for_answer(from)),
            Query::Status => Answer::Beacon(self.status()),
            Query::Commit(index) => Answer::Commit(self.history.commit(index).map(Box::new)),
            Query::Attested(attestation) => Answer::Attested(self.history.attested(&attestation)),
            Query::Evidence => Answer::Evidence(self.evidence.values().cloned().collect()),
            Query::Dag(rounds) => Answer::Dag(self.view(rounds)),
            Query::Account(_)
            | Query::Transaction(_)
            | Query::Records(_)
            | Query::Follow(_)
            | Query::Proof(_)
            | Query::AccountFrom(..)
            | Query::Trace(_)
            | Query::Traces
            | Query::Counts
            | Query::Leaf(_) => Answer::Unsupported,
        }
    }

    fn send_to_others(&self, message: Message, out: &mut Vec<Effect>) {
        if !self.others.is_empty() {
            out.push(Effect::Send { to: self.others.clone(), message });
        }
    }

    fn flush_orders(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        for order in self.streams.due(now) {
            let to = vec![Party::Worker(self.me, order.shard)];
            out.push(Effect::Send { to, message: Message::Order(order) });
        }
    }
}

impl Machine for Beacon {
    fn handle(&mut self, now: Timestamp, input: Input, effects: &mut Vec<Effect>) {
        let is_tick = matches!(input, Input::Tick);
        match input {
            Input::Message { from, message } => self.message(now, from, message.into_inner(), effects),
            Input::Connected(Party::Beacon(peer)) => self.greet(peer, effects),
            // A worker says by itself what it wants; clients are only answered.
            Input::Tick
            | Input::Connected(_)
            | Input::Disconnected(_)
            | Input::Submit { .. }
            | Input::Checkpointed(_)
            | Input::Recalled(..)
            | Input::Snapshot(_) => {}
        }
        self.resume(effects);
        self.settle(now, effects);
        if self.propose(now, effects) {
            self.settle(now, effects);
        }
        self.heal(now, effects);
        if is_tick {
            let votes = std::mem::take(&mut self.unsent);
            self.send_votes(votes, effects);
        }
        self.flush_orders(now, effects);
        self.write_checkpoint(effects);
    }

    fn deadline(&self) -> Option<Timestamp> {
        // A tick follows all inputs that wait: what they gave to vote for goes out together.
        let votes = (!self.unsent.is_empty()).then_some(Timestamp(0));
        let deadlines = [
            votes,
            self.due(),
            self.proposals.deadline().filter(|_| self.resuming.above().is_some()),
            self.fetch.deadline(),
            self.healing_deadline(),
            self.catch_up.deadline(),
            self.streams.deadline(),
            self.resuming.deadline().filter(|_| !self.others.is_empty()),
        ];
        deadlines.into_iter().flatten().min()
    }
}
