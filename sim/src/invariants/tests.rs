//! The monitor is of use only if it finds what it looks for.

use fresnel_types::{
    BatchRef, OrderedBatch, Signature, SignedVertex, StateRoot, Timestamp, Vertex, Vote,
    commit::Certified,
    hash::Root,
    record::{Pair, Tally},
};

use super::*;
use crate::{Options, options::Chain};

fn monitor() -> (Monitor, Genesis) {
    let options = Options { authorities: 4, shards: 2, ..Options::of_seed(0) };
    let mut genesis = Chain::new(&options).genesis;
    genesis.authorities.iter_mut().for_each(|authority| authority.stake = 1);
    (Monitor::new(&genesis, AuthoritySet::default()), genesis)
}

fn broken(result: Result<(), Broken>) -> &'static str {
    result.expect_err("the invariant is broken").invariant
}

const A: AuthorityIndex = AuthorityIndex(0);
const B: AuthorityIndex = AuthorityIndex(1);

fn vertex(genesis: &Genesis, author: AuthorityIndex, round: u64, time: u64) -> SignedVertex {
    let mut vertex = Vertex::genesis(genesis.chain(), genesis.epoch(), author);
    (vertex.head.round, vertex.head.time) = (Round(round), Timestamp(time));
    SignedVertex { vertex, signature: Signature::default() }
}

#[test]
fn two_vertices_or_votes_for_a_slot_are_found() {
    let (mut monitor, genesis) = monitor();
    let (first, second) = (vertex(&genesis, A, 1, 1), vertex(&genesis, A, 1, 2));
    let proposal = |vertex: &SignedVertex| Message::Proposal(vertex.clone());
    monitor.sent(Party::Beacon(A), &proposal(&first)).expect("the first");
    monitor.sent(Party::Beacon(A), &proposal(&first)).expect("the same again");
    assert_eq!(broken(monitor.sent(Party::Beacon(A), &proposal(&second))), "A3");
    let vote = |voter, vertex: &SignedVertex| {
        let vote = Vote {
            stored: true,
            vertex: vertex.vertex.head.reference(),
            voter,
            signature: Signature::default(),
        };
        Message::Votes(vec![vote])
    };
    monitor.sent(Party::Beacon(B), &vote(B, &first)).expect("the first");
    monitor.sent(Party::Beacon(A), &vote(A, &second)).expect("of another voter");
    monitor.sent(Party::Beacon(A), &vote(B, &second)).expect("passed on, whoever forged it");
    assert_eq!(broken(monitor.sent(Party::Beacon(B), &vote(B, &second))), "A3");
}

fn commit(index: u64, previous: CommitDigest, vertices: &[&SignedVertex]) -> Commit {
    let vertices: Vec<VertexRef> = vertices.iter().map(|vertex| vertex.vertex.head.reference()).collect();
    Commit {
        index: CommitIndex(index),
        previous,
        anchor: *vertices.last().expect("an anchor"),
        time: Timestamp(index),
        floor: Round(0),
        vertices,
        state: Root::default(),
    }
}

#[test]
fn forks_gaps_and_repetitions_of_the_order_are_found() {
    let (mut monitor, genesis) = monitor();
    let (v, w) = (vertex(&genesis, A, 1, 1), vertex(&genesis, B, 1, 1));
    let first = commit(1, CommitDigest::default(), &[&v]);
    let entry = |commit: &Commit| LogEntry::Commit(commit.clone());
    monitor.persisted(Party::Beacon(A), &entry(&first)).expect("the first");
    let fork = commit(1, CommitDigest::default(), &[&w]);
    assert_eq!(broken(monitor.persisted(Party::Beacon(B), &entry(&fork))), "A1");
    let again = commit(2, first.digest(), &[&v]);
    assert_eq!(broken(monitor.persisted(Party::Beacon(A), &entry(&again))), "A4");
    let gap = commit(4, first.digest(), &[&w]);
    assert_eq!(broken(monitor.persisted(Party::Beacon(A), &entry(&gap))), "A1");
}

fn order(commit: u64, events: Vec<OrderEvent>) -> Message {
    Message::Order(Order {
        shard: ShardId(0),
        commit: CommitIndex(commit),
        time: Timestamp(commit),
        floor: Round(0),
        events,
        certified: vec![Certified::default(); 2],
        lag: 0,
    })
}

#[test]
fn batches_ordered_twice_or_nowhere_durable_are_found() {
    let (mut monitor, _) = monitor();
    let batch = Batch { author: A, shard: ShardId(0), transactions: vec![] };
    let (bytes, name): (Vec<u8>, BatchRef) = batch.seal();
    let event = || vec![OrderEvent::Batch(OrderedBatch { author: A, batch: name })];
    let store = |monitor: &mut Monitor, authority| {
        monitor
            .persisted(Party::Worker(authority, ShardId(0)), &LogEntry::Batch(bytes.clone()))
            .expect("stored");
    };
    store(&mut monitor, A);
    store(&mut monitor, A);
    assert_eq!(broken(monitor.sent(Party::Beacon(A), &order(1, event()))), "A5");
    store(&mut monitor, B);
    let (mut monitor, _) = self::monitor();
    store(&mut monitor, A);
    store(&mut monitor, B);
    monitor.sent(Party::Beacon(A), &order(1, event())).expect("durable at two of four");
    monitor.sent(Party::Beacon(B), &order(1, event())).expect("the same order");
    assert_eq!(broken(monitor.sent(Party::Beacon(B), &order(1, vec![]))), "A1");
    assert_eq!(broken(monitor.sent(Party::Beacon(A), &order(2, event()))), "A4");
}

fn record(genesis: &Genesis, shard: u16, block: u64, position: u64) -> Record {
    let shards = genesis.shards;
    let of_shard = |address: &fresnel_types::Address| shards.of_prefix(address.prefix()) == ShardId(shard);
    let accounts = genesis.accounts.iter().filter(|account| of_shard(&account.address));
    Record {
        epoch: genesis.epoch(),
        shard: ShardId(shard),
        block: BlockIndex(block),
        log: fresnel_types::LogDigest::default(),
        position,
        earlier: Root::default(),
        state: StateRoot::default(),
        outbox: Root::default(),
        results: Root::default(),
        supply: Amount(accounts.map(|account| account.amount.0).sum()),
        burned: Amount(0),
        pairs: vec![Pair::default(); 2],
    }
}

#[test]
fn records_that_differ_or_make_value_are_found() {
    let (mut monitor, genesis) = monitor();
    let first = record(&genesis, 0, 1, 0);
    monitor.record(A, &first).expect("nothing moved");
    monitor.record(B, &first).expect("the same");
    let mut other = first.clone();
    other.state = StateRoot([1; 32]);
    assert_eq!(broken(monitor.record(B, &other)), "E1");
    let mut rich = record(&genesis, 0, 2, 1);
    rich.supply.0 += 1;
    assert_eq!(broken(monitor.record(A, &rich)), "X1");
    let (mut monitor, _) = self::monitor();
    let mut greedy = record(&genesis, 0, 2, 0);
    // It consumed a request that nobody sent.
    greedy.pairs[1].consumed = Tally { count: 1, value: 5 };
    greedy.supply.0 += 5;
    assert_eq!(broken(monitor.record(A, &greedy)), "X2");
    let (mut monitor, _) = self::monitor();
    assert_eq!(broken(monitor.record(A, &record(&genesis, 0, 2, 1))), "E1");
}

#[test]
fn value_on_its_way_is_no_end() {
    let (mut monitor, genesis) = monitor();
    monitor.settled().expect("nothing happened");
    let mut sent = record(&genesis, 0, 1, 0);
    sent.pairs[1].sent = Tally { count: 1, value: 7 };
    sent.supply.0 -= 8;
    sent.burned.0 += 1;
    monitor.record(A, &sent).expect("value left");
    assert_eq!(broken(monitor.settled()), "X2");
    let mut received = record(&genesis, 1, 2, 0);
    received.pairs[0].consumed = Tally { count: 1, value: 7 };
    received.supply.0 += 7;
    monitor.record(B, &received).expect("and came");
    monitor.settled().expect("everything arrived");
}

#[test]
fn news_that_contradict_the_order_or_themselves_are_found() {
    let (mut monitor, _) = monitor();
    let progress = |level, outcome| Progress {
        transaction: TransactionId::default(),
        level,
        outcome,
        block: BlockIndex(1),
        bounced: false,
    };
    monitor.progress(A, &progress(Level::Admitted, None)).expect("admitted is no promise");
    assert_eq!(broken(monitor.progress(A, &progress(Level::Ordered, None))), "D1");
    monitor.ordered_transactions.insert(TransactionId::default());
    let failed = Outcome::Failed(fresnel_types::FailureCode::WindowFull);
    monitor.progress(A, &progress(Level::Executed, Some(failed))).expect("the first outcome");
    assert_eq!(broken(monitor.progress(B, &progress(Level::Final, Some(Outcome::Success)))), "E3");
}
