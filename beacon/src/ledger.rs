//! What commits mean: certification, delivery, blocks. A fold of the commits, with nothing else as input.
//!
//! A commit's vertices are taken in order, and of each vertex
//!
//! 1. the attestations of all its headers, by shard and then by block ([`certification`]), and what it says is held
//!    ([`delivery`]);
//! 2. the batches of all its headers, by shard and then as named: one ordered within the last `batch_memory` rounds is
//!    skipped; else, while more than `lag_max` closed blocks with batches of its shard are uncertified, it is void; else
//!    it belongs to the open block;
//! 3. the open block closes if any shard's bytes in it reached `block_bytes_max` ([`blocks`]).
//!
//! So what a vertex certifies already counts for its own batches. After the last vertex the open block closes if its time
//! or its number of commits with input came. Everything is integers and ordered collections: equal commits give
//! equal states, byte for byte.

pub mod blocks;
pub mod certification;
pub mod delivery;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use fresnel_types::{
    AuthoritySet, BatchId, BatchRef, Commit, CommitIndex, LogDigest, Order, OrderEvent, OrderedBatch, Round,
    SignedVertex, Timestamp, codec,
    commit::Certified,
    hash::{Domain, Root, hash},
    verify::Rules,
};
use wincode::{SchemaRead, SchemaWrite};

use self::{
    blocks::Blocks,
    certification::{Certification, Verdict},
    delivery::Held,
};
use crate::{dag::Place, schedule::Reputation};

/// Everything that the next commits depend on besides the vertices above the floor: the beacon's part of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct LedgerState {
    /// The last commit.
    pub commit: CommitIndex,
    /// Its time.
    pub time: Timestamp,
    /// The round of its anchor; the next instance starts one later.
    pub anchor: Round,
    /// The floor after it.
    pub floor: Round,
    /// What is ordered above the floor.
    pub ordered: BTreeMap<Round, AuthoritySet>,
    /// Whom the last anchors named, and so who is demoted.
    pub reputation: Reputation,
    /// Blocks.
    pub blocks: Blocks,
    /// Per shard: what is attested and certified.
    pub shards: Vec<Certification>,
    /// Per authority: what its workers hold of one another's bundles.
    pub held: Vec<Held>,
    /// Batches in effect, by the round of the anchor that ordered them, as far back as `batch_memory` rounds.
    pub batches: BTreeMap<Round, Vec<BatchId>>,
}

impl LedgerState {
    fn new(rules: &Rules) -> Self {
        Self {
            commit: CommitIndex(0),
            time: Timestamp(0),
            anchor: Round(0),
            floor: Round(0),
            ordered: BTreeMap::new(),
            reputation: Reputation::default(),
            blocks: Blocks::new(rules.shards),
            shards: vec![Certification::default(); rules.shards.count()],
            held: vec![Held::new(rules.shards); rules.committee.size()],
            batches: BTreeMap::new(),
        }
    }

    /// Its hash, from that of each section.
    pub fn digest(&self) -> Root {
        let mut hashes = vec![];
        for section in self.sections() {
            hashes.extend(hash(Domain::BeaconState, &[&[0], &section]));
        }
        Root(hash(Domain::BeaconState, &[&[1], &hashes]))
    }

    /// Its bytes in sections, each far below the codec's limit however large the chain: four of the frame, what is
    /// ordered, the reputation and the blocks, one per shard, one per authority, one per round with batches.
    pub fn sections(&self) -> impl Iterator<Item = Vec<u8>> {
        let frame = (self.commit, self.time, self.anchor, self.floor);
        let head = [
            codec::encode(&frame),
            codec::encode(&self.ordered),
            codec::encode(&self.reputation),
            codec::encode(&self.blocks),
        ];
        let batches = |(round, batches): (&Round, &Vec<BatchId>)| codec::encode(&(*round, batches.clone()));
        head.into_iter()
            .chain(self.shards.iter().map(codec::encode))
            .chain(self.held.iter().map(codec::encode))
            .chain(self.batches.iter().map(batches))
    }

    /// The state with these sections, on a chain with these rules.
    ///
    /// # Errors
    /// When they are no state of such a chain. Whether they are a true one only the digest tells.
    pub fn of_sections<'a>(
        rules: &Rules,
        mut sections: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Self, StateError> {
        let mut next = || sections.next().ok_or(StateError::Sections);
        let (commit, time, anchor, floor) = codec::decode(next()?)?;
        Ok(Self {
            commit,
            time,
            anchor,
            floor,
            ordered: codec::decode(next()?)?,
            reputation: codec::decode(next()?)?,
            blocks: codec::decode(next()?)?,
            shards: rules
                .shards
                .iter()
                .map(|_| Ok(codec::decode(next()?)?))
                .collect::<Result<_, StateError>>()?,
            held: rules
                .committee
                .indices()
                .map(|_| Ok(codec::decode(next()?)?))
                .collect::<Result<_, StateError>>()?,
            batches: sections.map(codec::decode).collect::<Result<_, _>>()?,
        })
    }

    /// Whether the vertex in `place`, above the floor, is ordered.
    pub fn is_ordered(&self, place: Place) -> bool {
        self.ordered.get(&place.0).is_some_and(|authors| authors.contains(place.1))
    }
}

/// Why bytes are no state.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A section is missing.
    #[error("a section of the state is missing")]
    Sections,
    /// A section does not decode.
    #[error("a section of the state is malformed")]
    Codec(#[from] codec::CodecError),
}

/// What the order counted since it was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Commits, decided here or elsewhere.
    pub commits: u64,
    /// Commits decided here by what names their anchors.
    pub direct: u64,
    /// Commits decided here because a later anchor reaches theirs.
    pub indirect: u64,
    /// Anchor slots that were passed without a commit.
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

/// The state with what is derived from it.
#[derive(Clone, Debug)]
pub struct Ledger {
    rules: Arc<Rules>,
    state: LedgerState,
    /// All of `state.batches`.
    remembered: BTreeSet<BatchId>,
    pub(crate) counters: Counters,
}

impl Ledger {
    /// Before the first commit.
    pub fn new(rules: Arc<Rules>) -> Self {
        let state = LedgerState::new(&rules);
        Self { rules, state, remembered: BTreeSet::new(), counters: Counters::default() }
    }

    /// After the last commit of `state`.
    pub fn restored(rules: Arc<Rules>, state: LedgerState) -> Self {
        let remembered = state.batches.values().flatten().copied().collect();
        Self { rules, state, remembered, counters: Counters::default() }
    }

    /// The state after the last commit.
    pub fn state(&self) -> &LedgerState {
        &self.state
    }

    /// What is certified after the last commit, per shard.
    pub fn certified(&self) -> Vec<Certified> {
        self.state.shards.iter().map(Certification::certified).collect()
    }

    /// Takes the next commit with its vertices; what it means to each shard. `parents` are those
    /// whom its anchors support. The commit's own state hash is not looked at.
    pub fn apply(
        &mut self,
        commit: &Commit,
        vertices: &[Arc<SignedVertex>],
        parents: AuthoritySet,
    ) -> Vec<Order> {
        assert_eq!(commit.index, self.state.commit.next(), "commits are dense");
        self.follow_order(commit, parents);
        let mut fold =
            Fold { events: vec![vec![]; self.rules.shards.count()], ledger: self, commit, has_input: false };
        for (position, vertex) in vertices.iter().enumerate() {
            fold.vertex(vertex, position);
        }
        fold.end();
        let (events, certified) = (fold.events, self.certified());
        self.counters.commits += 1;
        self.rules
            .shards
            .iter()
            .zip(events)
            .map(|(shard, events)| Order {
                shard,
                commit: commit.index,
                time: commit.time,
                floor: commit.floor,
                events,
                certified: certified.clone(),
                lag: self.state.shards[shard.index()].lag(),
            })
            .collect()
    }

    /// Index, time, floor, what is ordered, reputation, and what may be forgotten now.
    fn follow_order(&mut self, commit: &Commit, parents: AuthoritySet) {
        let state = &mut self.state;
        state.commit = commit.index;
        state.time = commit.time;
        state.anchor = commit.anchor.round;
        state.floor = commit.floor;
        for vertex in &commit.vertices {
            let fresh = state.ordered.entry(vertex.round).or_default().insert(vertex.author);
            assert!(fresh, "A4: a vertex is ordered once: {vertex:?}");
        }
        state.ordered = state.ordered.split_off(&commit.floor.next());
        state.reputation.record(parents);
        let memory = self.rules.parameters.batch_memory;
        let oldest = Round(commit.anchor.round.0.saturating_sub(memory));
        let kept = state.batches.split_off(&oldest);
        for batch in std::mem::replace(&mut state.batches, kept).into_values().flatten() {
            self.remembered.remove(&batch);
        }
    }
}

/// One commit on its way into the ledger.
struct Fold<'a> {
    ledger: &'a mut Ledger,
    commit: &'a Commit,
    /// Per shard.
    events: Vec<Vec<OrderEvent>>,
    /// Whether this commit put a batch into the open block.
    has_input: bool,
}

impl Fold<'_> {
    fn vertex(&mut self, vertex: &SignedVertex, position: usize) {
        let (author, headers) = (vertex.vertex.head.author, &vertex.vertex.headers);
        let parameters = &self.ledger.rules.parameters;
        let state = &mut self.ledger.state;
        let closed = state.blocks.closed();
        for header in headers {
            let shard = &mut state.shards[header.shard.index()];
            for attestation in &header.attestations {
                let committee = &self.ledger.rules.committee;
                match shard.attest(committee, parameters.lag_max, author, attestation, closed) {
                    Verdict::Ignored | Verdict::Counted => (),
                    Verdict::Certified => state.blocks.certified(),
                    Verdict::Contradiction => self.ledger.counters.equivocating_attestations += 1,
                }
            }
            state.held[author.index()].raise(header.shard, &header.held, closed);
        }
        let bytes_max = parameters.block_bytes_max;
        for header in headers {
            for batch in &header.batches {
                self.batch(OrderedBatch { author, batch: *batch }, header.shard.index());
            }
        }
        if self.ledger.state.blocks.bytes() >= bytes_max {
            self.close(position + 1);
        }
    }

    fn batch(&mut self, batch: OrderedBatch, shard: usize) {
        let ledger = &mut *self.ledger;
        let BatchRef { id, bytes, .. } = batch.batch;
        if ledger.remembered.contains(&id) {
            ledger.counters.repeated_batches += 1;
        } else if ledger.state.shards[shard].lag() > ledger.rules.parameters.lag_max {
            ledger.counters.void_batches += 1;
            self.events[shard].push(OrderEvent::Void(id));
        } else {
            ledger.remembered.insert(id);
            ledger.state.batches.entry(self.commit.anchor.round).or_default().push(id);
            ledger.state.blocks.add(shard, bytes);
            self.has_input = true;
            self.events[shard].push(OrderEvent::Batch(batch));
        }
    }

    fn end(&mut self) {
        let (time, input) = (self.commit.time, self.has_input);
        let blocks = &mut self.ledger.state.blocks;
        if blocks.end_commit(&self.ledger.rules.parameters, time, input) {
            self.close(self.commit.vertices.len());
        }
    }

    /// Closes the open block behind the first `count` vertices of the commit.
    fn close(&mut self, count: usize) {
        let log = LogDigest::of(self.commit.previous, self.commit.time, &self.commit.vertices[..count]);
        let ledger = &mut *self.ledger;
        let certified = ledger.certified();
        let state = &mut ledger.state;
        for (shard, certification) in state.shards.iter_mut().enumerate() {
            if state.blocks.has_batches(shard) {
                certification.close(state.blocks.open());
            }
        }
        let usable =
            delivery::usable(&ledger.rules.committee, &state.held, &certified, state.blocks.usable());
        let closes = state.blocks.close(self.commit.time, log, certified, usable);
        for (events, close) in self.events.iter_mut().zip(closes) {
            events.push(OrderEvent::Close(close));
        }
        ledger.counters.blocks += 1;
        self.has_input = false;
    }
}
