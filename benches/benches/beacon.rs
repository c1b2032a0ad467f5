//! The beacon's store and rules, per round of a committee with everybody present and nothing late, and the codec of what
//! beacons exchange. The baseline of a round is taking its vertices into the DAG; the rules come on top: proposals noted,
//! anchors decided, the commit made, the floor raised.

use std::{hint::black_box, sync::Arc};

use criterion::{BatchSize, Criterion};
use fresnel_beacon::{dag::Dag, orderer::Orderer};
use fresnel_benches::{Case, write_tables};
use fresnel_types::{
    Authority, AuthorityIndex, AuthoritySet, BatchId, BatchRef, BlockIndex, Certificate, CommitVote, Genesis,
    Parameters, PublicKey, Round, ShardHeader, ShardId, Shards, Signature, SignedVertex, Timestamp, Vertex,
    VertexHead, VertexRef, decode, encode, genesis::Rule, hash::Root, limits::PROTOCOL_VERSION,
    verify::Rules,
};

const SIZES: [usize; 4] = [4, 10, 50, 100];

/// Rounds that a replica has behind it when the clock starts: more than the floor is deep.
const WARM: usize = 80;

/// Rounds that are timed at once.
const TIMED: usize = 16;

fn rules(size: usize, rule: Rule) -> Arc<Rules> {
    let authority = |index: usize| Authority {
        name: format!("a{index}"),
        stake: 1,
        consensus_key: PublicKey([u8::try_from(index).expect("few"); 32]),
        network_keys: vec![],
    };
    Arc::new(Rules::of(&Genesis {
        protocol: PROTOCOL_VERSION,
        name: "bench".into(),
        shards: Shards::new(1).expect("one"),
        parameters: Parameters { rule, floor_depth: 64, ..Parameters::default() },
        authorities: (0..size).map(authority).collect(),
        accounts: vec![],
    }))
}

/// Rounds in which everybody names everybody.
fn rounds(rules: &Rules, count: usize) -> Vec<Vec<Arc<SignedVertex>>> {
    let genesis = rules.committee.indices().map(|author| Vertex::genesis(rules.chain, rules.epoch, author));
    let mut before: Vec<VertexRef> = genesis.map(|vertex| vertex.head.reference()).collect();
    let mut rounds = vec![];
    for round in (1..=count as u64).map(Round) {
        let round: Vec<_> =
            rules.committee.indices().map(|author| vertex(rules, round, author, &before)).collect();
        before = round.iter().map(|vertex| vertex.vertex.head.reference()).collect();
        rounds.push(round);
    }
    rounds
}

fn vertex(rules: &Rules, round: Round, author: AuthorityIndex, parents: &[VertexRef]) -> Arc<SignedVertex> {
    let head = VertexHead {
        chain: rules.chain,
        epoch: rules.epoch,
        round,
        author,
        time: Timestamp(round.0 * 10_000),
        parents: parents.to_vec(),
        weak: vec![],
        commit_vote: CommitVote::default(),
        payload_root: Root::default(),
        attestation_root: Root::default(),
    };
    let batch = BatchRef { id: BatchId([7; 32]), count: 1_000, bytes: 300_000 };
    let header = ShardHeader {
        shard: ShardId(0),
        author,
        batches: vec![batch],
        attestations: vec![],
        held: vec![BlockIndex(0)],
    };
    Arc::new(SignedVertex { vertex: Vertex::new(head, vec![header]), signature: Signature([0; 64]) })
}

/// A replica that has all of the given rounds.
fn replica(rules: &Arc<Rules>, rounds: &[Vec<Arc<SignedVertex>>]) -> (Dag, Orderer) {
    let mut replica = (Dag::new(rules), Orderer::new(Arc::clone(rules)));
    rounds.iter().for_each(|round| take(&mut replica, round));
    replica
}

/// One round: its proposals, then its vertices, and what they commit.
fn take((dag, orderer): &mut (Dag, Orderer), round: &[Arc<SignedVertex>]) {
    for vertex in round {
        dag.note_proposal(&vertex.vertex.head);
        while let Some(committed) = orderer.advance_once(dag) {
            black_box(committed);
        }
    }
    for vertex in round {
        dag.insert(Arc::clone(vertex));
        while let Some(committed) = orderer.advance_once(dag) {
            black_box(committed);
        }
    }
}

fn per_round(criterion: &mut Criterion, size: usize) -> Vec<Case> {
    let group_name = format!("beacon/round/authorities={size}");
    let mut group = criterion.benchmark_group(&group_name);
    let mut cases = vec![];
    let mut case = |engine: &str| {
        cases.push(Case { group: group_name.clone(), engine: engine.to_owned(), items: TIMED as u64 });
    };
    let drawn = rounds(&rules(size, Rule::Fast), WARM + TIMED);
    let (warm, timed) = drawn.split_at(WARM);
    let dag = replica(&rules(size, Rule::Fast), warm).0;
    case("store");
    group.bench_function("store", |bencher| {
        bencher.iter_batched_ref(
            || dag.clone(),
            |dag| {
                for round in timed {
                    round.iter().for_each(|vertex| dag.insert(Arc::clone(vertex)));
                    dag.set_floor(Round(dag.floor().0 + 1));
                }
            },
            BatchSize::PerIteration,
        );
    });
    for rule in Rule::ALL {
        let rules = rules(size, rule);
        let drawn = rounds(&rules, WARM + TIMED);
        let (warm, timed) = drawn.split_at(WARM);
        let warm = replica(&rules, warm);
        let engine = rule.to_string();
        case(&engine);
        group.bench_function(&engine, |bencher| {
            bencher.iter_batched_ref(
                || warm.clone(),
                |replica| timed.iter().for_each(|round| take(replica, round)),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
    cases
}

fn codec(criterion: &mut Criterion, size: usize) -> Vec<Case> {
    let rules = rules(size, Rule::Fast);
    let vertex = (*rounds(&rules, 2)[1][0]).clone();
    let signers = AuthoritySet::first(size - (size - 1) / 3);
    let certificate = Certificate {
        vertex: vertex.vertex.head.reference(),
        signers,
        stored: signers,
        signatures: signers.iter().map(|_| Signature([1; 64])).collect(),
    };
    let mut cases = vec![];
    let mut measure = |what: &str, engine: &str, run: &mut dyn FnMut()| {
        let group_name = format!("beacon/{what}/authorities={size}");
        let mut group = criterion.benchmark_group(&group_name);
        group.bench_function(engine, |bencher| bencher.iter(&mut *run));
        group.finish();
        cases.push(Case { group: group_name, engine: engine.to_owned(), items: 1 });
    };
    let bytes = encode(&vertex);
    measure("vertex", "encode", &mut || drop(black_box(encode(black_box(&vertex)))));
    measure("vertex", "decode", &mut || drop(black_box(decode::<SignedVertex>(black_box(&bytes)))));
    measure("vertex", "name", &mut || {
        black_box(black_box(&vertex).vertex.head.reference());
    });
    let bytes = encode(&certificate);
    measure("certificate", "encode", &mut || drop(black_box(encode(black_box(&certificate)))));
    measure("certificate", "decode", &mut || drop(black_box(decode::<Certificate>(black_box(&bytes)))));
    cases
}

fn main() -> anyhow::Result<()> {
    let mut criterion = Criterion::default().sample_size(30).configure_from_args();
    let mut cases: Vec<Case> = SIZES.iter().flat_map(|&size| per_round(&mut criterion, size)).collect();
    cases.extend(SIZES.iter().flat_map(|&size| codec(&mut criterion, size)));
    // `cargo test --benches` runs every case once and measures nothing.
    if !std::env::args().any(|argument| argument == "--test") {
        write_tables("beacon", &cases)?;
    }
    Ok(())
}
