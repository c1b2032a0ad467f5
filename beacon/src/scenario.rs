//! For tests: DAGs drawn as text.
//!
//! One line per round from 1 on, one word per vertex. Letters are *slots*, not authors: `a` is the candidate anchor of the
//! round while nobody is demoted, `b` the second slot and so on, in every round anew. `c` is a vertex with all drawn
//! vertices of the line above as parents, `c:abd` names those slots of the line above as parents, `c:abd+e2` has a weak
//! link to slot `e` of round 2 besides. The authors of round 0 are all there.

use std::{collections::BTreeMap, sync::Arc};

use fresnel_types::{
    Attestation, Authority, AuthorityIndex, AuthoritySet, BatchId, BatchRef, BlockIndex, CommitVote, Genesis,
    Parameters, PublicKey, RecordDigest, Round, ShardHeader, ShardId, Shards, Signature, SignedVertex,
    Timestamp, Vertex, VertexHead, VertexRef, hash::Root, verify::Rules,
};

use crate::{
    dag::{Dag, Place},
    orderer::Committed,
    schedule,
};

/// The rules of a test chain with equal stakes.
pub(crate) fn rules(size: usize, shards: u16, change: impl FnOnce(&mut Genesis)) -> Rules {
    let authority = |index: usize| Authority {
        name: format!("a{index}"),
        stake: 1,
        consensus_key: PublicKey([u8::try_from(index).expect("few"); 32]),
        network_keys: vec![],
    };
    let mut genesis = Genesis {
        protocol: fresnel_types::limits::PROTOCOL_VERSION,
        name: "scenario".into(),
        shards: Shards::new(shards).expect("a power of two"),
        parameters: Parameters::default(),
        authorities: (0..size).map(authority).collect(),
        accounts: vec![],
    };
    change(&mut genesis);
    Rules::of(&genesis)
}

/// A drawn DAG.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) rules: Arc<Rules>,
    /// By place; round 0 holds the genesis vertices.
    pub(crate) vertices: BTreeMap<Place, Arc<SignedVertex>>,
}

impl Scenario {
    pub(crate) fn new(rules: Rules) -> Self {
        let genesis = rules.committee.indices().map(|author| {
            let vertex = Vertex::genesis(rules.chain, rules.epoch, author);
            ((Round(0), author), Arc::new(SignedVertex { vertex, signature: Signature([0; 64]) }))
        });
        Self { vertices: genesis.collect(), rules: Arc::new(rules) }
    }

    /// Adds one round per line.
    pub(crate) fn draw(&mut self, text: &str) -> &mut Self {
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let round = self.top().next();
            for word in line.split_whitespace() {
                let (slot, links) = word.split_once(':').unwrap_or((word, ""));
                let mut parts = links.split('+');
                let parents = match parts.next() {
                    None | Some("") => self.authors(Round(round.0 - 1)),
                    Some(slots) => slots.chars().map(|slot| self.author(Round(round.0 - 1), slot)).collect(),
                };
                let weak: Vec<Place> = parts.map(|link| self.place(link)).collect();
                let author = self.author(round, slot.chars().next().expect("a letter"));
                self.add((round, author), parents, &weak, Timestamp(round.0 * 10_000), vec![]);
            }
        }
        self
    }

    /// Adds one vertex.
    pub(crate) fn add(
        &mut self,
        place: Place,
        parents: AuthoritySet,
        weak: &[Place],
        time: Timestamp,
        headers: Vec<ShardHeader>,
    ) -> Arc<SignedVertex> {
        let vertex = self.vertex(place, parents, weak, time, headers);
        assert!(self.vertices.insert(place, Arc::clone(&vertex)).is_none(), "drawn twice: {place:?}");
        vertex
    }

    /// A vertex on top of what is drawn, itself not drawn.
    pub(crate) fn vertex(
        &self,
        place: Place,
        parents: AuthoritySet,
        weak: &[Place],
        time: Timestamp,
        headers: Vec<ShardHeader>,
    ) -> Arc<SignedVertex> {
        let before = Round(place.0.0 - 1);
        let mut weak: Vec<VertexRef> = weak.iter().map(|&place| self.reference(place)).collect();
        weak.sort_unstable();
        let head = VertexHead {
            chain: self.rules.chain,
            epoch: self.rules.epoch,
            round: place.0,
            author: place.1,
            time,
            parents: parents.iter().map(|author| self.reference((before, author))).collect(),
            weak,
            commit_vote: CommitVote::default(),
            payload_root: Root::default(),
            attestation_root: Root::default(),
        };
        let vertex = Vertex::new(head, headers);
        Arc::new(SignedVertex { vertex, signature: Signature([0; 64]) })
    }

    pub(crate) fn reference(&self, place: Place) -> VertexRef {
        self.vertices[&place].vertex.head.reference()
    }

    pub(crate) fn top(&self) -> Round {
        self.vertices.last_key_value().expect("the genesis").0.0
    }

    pub(crate) fn authors(&self, round: Round) -> AuthoritySet {
        self.vertices.keys().filter(|place| place.0 == round).map(|place| place.1).collect()
    }

    /// The author of a slot, by its letter.
    pub(crate) fn author(&self, round: Round, slot: char) -> AuthorityIndex {
        schedule::slots(&self.rules, round)[(slot as u8 - b'a') as usize]
    }

    /// A place by its name, such as `c12`.
    pub(crate) fn place(&self, name: &str) -> Place {
        let round = Round(name[1..].parse().expect("a round"));
        (round, self.author(round, name.chars().next().expect("a letter")))
    }

    /// The name of a place.
    pub(crate) fn name(&self, (round, author): Place) -> String {
        let slot = schedule::slots(&self.rules, round).iter().position(|&other| other == author);
        format!("{}{round}", (b'a' + u8::try_from(slot.expect("an author")).expect("few")) as char)
    }

    /// Inserts everything above the floor, ascending.
    pub(crate) fn fill(&self, dag: &mut Dag) {
        for vertex in self.vertices.values().filter(|vertex| vertex.vertex.head.round > Round(0)) {
            dag.insert(Arc::clone(vertex));
        }
    }

    /// What commits order: vertices by name, commits apart by bars.
    pub(crate) fn describe(&self, commits: &[Committed]) -> String {
        let describe = |committed: &Committed| {
            let names =
                committed.commit.vertices.iter().map(|vertex| self.name((vertex.round, vertex.author)));
            names.collect::<Vec<_>>().join(" ")
        };
        commits.iter().map(describe).collect::<Vec<_>>().join(" | ")
    }
}

/// A header of `author` with nothing in it.
pub(crate) fn header(rules: &Rules, author: AuthorityIndex, shard: u16) -> ShardHeader {
    ShardHeader {
        shard: ShardId(shard),
        author,
        batches: vec![],
        attestations: vec![],
        held: vec![BlockIndex(0); rules.shards.count()],
    }
}

/// A batch named by a number.
pub(crate) fn batch(number: u64, bytes: u32) -> BatchRef {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&number.to_le_bytes());
    BatchRef { id: BatchId(id), count: 1, bytes }
}

/// An attestation of a record named by a number.
pub(crate) fn attestation(shard: u16, block: u64, record: u8) -> Attestation {
    Attestation { shard: ShardId(shard), block: BlockIndex(block), record: RecordDigest([record; 32]) }
}

/// Deterministic numbers for random scenarios: splitmix64.
#[derive(Clone, Debug)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("below a usize")
    }

    /// True in `percent` of all cases.
    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}
