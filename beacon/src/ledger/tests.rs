//! What commits mean, one situation per test. Commits are made up: one vertex per named author, in a round of its own.

use fresnel_types::{
    Attestation, AuthorityIndex, BatchRef, BlockIndex, Close, CommitDigest, Genesis, ShardHeader, ShardId,
    Signature, Vertex, VertexRef,
};

use super::*;
use crate::scenario::{attestation, batch, header, rules};

struct Test {
    rules: Arc<Rules>,
    ledger: Ledger,
    previous: CommitDigest,
}

/// A header of shard 0 with these batches.
fn batches(author: u16, batches: &[BatchRef]) -> (u16, ShardHeader) {
    (author, ShardHeader { batches: batches.to_vec(), ..empty(author, 0) })
}

/// A header with these attestations, of the shard that they are of.
fn attests(author: u16, attestations: &[Attestation]) -> (u16, ShardHeader) {
    let shard = attestations.first().expect("some").shard.0;
    (author, ShardHeader { attestations: attestations.to_vec(), ..empty(author, shard) })
}

/// A header of `shard` with what is held.
fn holds(author: u16, shard: u16, held: [u64; 2]) -> (u16, ShardHeader) {
    (author, ShardHeader { held: held.map(BlockIndex).to_vec(), ..empty(author, shard) })
}

fn empty(author: u16, shard: u16) -> ShardHeader {
    header(&rules(4, 2, |_| ()), AuthorityIndex(author), shard)
}

impl Test {
    /// Four authorities, two shards; blocks close after 100 µs, 3 commits with input or 1,000 bytes.
    fn new(change: impl FnOnce(&mut Genesis)) -> Self {
        let rules = Arc::new(rules(4, 2, |genesis| {
            let parameters = &mut genesis.parameters;
            parameters.block_interval = 100;
            (parameters.block_commits_max, parameters.block_bytes_max) = (3, 1_000);
            (parameters.floor_depth, parameters.batch_memory, parameters.lag_max) = (4, 100, 2);
            change(genesis);
        }));
        Self { ledger: Ledger::new(Arc::clone(&rules)), rules, previous: CommitDigest::default() }
    }

    /// The next commit at `time`, one vertex per header and an empty anchor.
    fn commit(&mut self, time: u64, headers: Vec<(u16, ShardHeader)>) -> Vec<Order> {
        let mut vertices = vec![];
        let state = self.ledger.state();
        let round = state.anchor.0 + 1;
        for (author, header) in headers {
            vertices.push((author, vec![header]));
        }
        vertices.push((0, vec![]));
        let count = vertices.len() as u64;
        let vertices: Vec<_> = vertices
            .into_iter()
            .zip(round..)
            .map(|((author, headers), round)| {
                let (chain, epoch) = (self.rules.chain, self.rules.epoch);
                let mut vertex = Vertex::genesis(chain, epoch, AuthorityIndex(author));
                vertex.head.round = Round(round);
                let vertex = Vertex::new(vertex.head, headers);
                Arc::new(SignedVertex { vertex, signature: Signature([0; 64]) })
            })
            .collect();
        let named: Vec<VertexRef> = vertices.iter().map(|vertex| vertex.vertex.head.reference()).collect();
        let commit = Commit {
            index: state.commit.next(),
            previous: self.previous,
            anchor: *named.last().expect("the anchor"),
            time: Timestamp(time),
            floor: Round((round + count - 1).saturating_sub(self.rules.parameters.floor_depth)),
            vertices: named,
            state: Root::default(),
        };
        let orders = self.ledger.apply(&commit, &vertices, AuthoritySet::first(4));
        assert_eq!(orders.iter().map(|order| order.shard).collect::<Vec<_>>(), [ShardId(0), ShardId(1)]);
        self.previous = commit.digest();
        orders
    }

    /// What shard 0 sees of the next commit: `+n` batch n, `-n` void, `|b` the close of block b.
    fn sees(&mut self, time: u64, headers: Vec<(u16, ShardHeader)>) -> String {
        describe(&self.commit(time, headers)[0])
    }

    fn certified(&self, shard: usize) -> (u64, u8) {
        let certified = self.ledger.certified()[shard];
        (certified.block.0, certified.record.0[0])
    }
}

fn describe(order: &Order) -> String {
    let event = |event: &OrderEvent| match event {
        OrderEvent::Batch(batch) => format!("+{}", batch.batch.id.0[0]),
        OrderEvent::Void(id) => format!("-{}", id.0[0]),
        OrderEvent::Close(close) => format!("|{}", close.block),
    };
    order.events.iter().map(event).collect::<Vec<_>>().join(" ")
}

fn closes(orders: &[Order]) -> Vec<Close> {
    let close = |event: &OrderEvent| match event {
        OrderEvent::Close(close) => Some(close.clone()),
        _ => None,
    };
    orders.iter().flat_map(|order| order.events.iter().filter_map(close)).collect()
}

#[test]
fn a_block_closes_by_time() {
    let mut test = Test::new(|_| ());
    assert_eq!(test.sees(1_000, vec![]), "|1", "the first commit closes block 1");
    assert_eq!(test.sees(1_099, vec![batches(0, &[batch(1, 10)])]), "+1");
    assert!(test.ledger.state().blocks.has_input());
    let orders = test.commit(1_100, vec![batches(2, &[batch(2, 10)])]);
    assert_eq!((describe(&orders[0]), describe(&orders[1])), ("+2 |2".into(), "|2".into()), "all shards");
    assert!(!test.ledger.state().blocks.has_input());
    let close = &closes(&orders)[0];
    assert_eq!((close.time, close.opened), (Timestamp(1_100), Timestamp(1_000)));
    assert_eq!(test.sees(1_199, vec![]), "");
    assert_eq!(test.sees(1_900, vec![]), "|3", "one block, however long");
}

#[test]
fn a_block_closes_by_commits_with_input_of_any_shard() {
    let mut test = Test::new(|_| ());
    test.commit(1_000, vec![]);
    assert_eq!(test.sees(1_001, vec![batches(0, &[batch(1, 10), batch(2, 10)])]), "+1 +2");
    assert_eq!(test.sees(1_002, vec![]), "", "no input");
    let other = ShardHeader { batches: vec![batch(3, 10)], ..empty(1, 1) };
    assert_eq!(test.sees(1_003, vec![(1, other)]), "");
    assert_eq!(test.sees(1_004, vec![attests(0, &[attestation(0, 1, 1)])]), "", "an attestation is no input");
    assert_eq!(test.sees(1_005, vec![batches(0, &[batch(1, 10)])]), "", "nor is a batch in vain");
    assert_eq!(test.sees(1_006, vec![batches(0, &[batch(4, 10)])]), "+4 |2");
}

#[test]
fn a_block_closes_behind_the_vertex_that_fills_it() {
    let mut test = Test::new(|_| ());
    test.commit(1_000, vec![]);
    let previous = test.previous;
    let headers = vec![
        batches(0, &[batch(1, 600), batch(2, 300)]),
        batches(1, &[batch(3, 600), batch(4, 600)]),
        batches(2, &[batch(5, 100)]),
        batches(3, &[batch(6, 900)]),
    ];
    let orders = test.commit(1_001, headers);
    assert_eq!(describe(&orders[0]), "+1 +2 +3 +4 |2 +5 +6 |3");
    assert_eq!(describe(&orders[1]), "|2 |3");
    let closes = closes(&orders[..1]);
    assert_eq!((closes[1].opened, closes[1].time), (Timestamp(1_001), Timestamp(1_001)));
    // Digests of prefixes: the first two vertices, then four of the five.
    assert_ne!(closes[0].log, closes[1].log);
    assert!(test.ledger.state().ordered.len() == 4 && !test.ledger.state().blocks.has_input());
    let again = Test::new(|_| ()).commit(1_000, vec![]);
    let empty = LogDigest::of(CommitDigest::default(), Timestamp(1_000), &[]);
    assert_ne!(self::closes(&again)[0].log, empty, "the anchor belongs to what the close covers");
    assert_ne!(previous, test.previous);
    // A commit that ends behind the close of a full block closes no second one.
    assert_eq!(test.sees(1_050, vec![]), "");
    assert_eq!(test.sees(1_101, vec![]), "|4", "the interval counts from the last close");
}

#[test]
fn the_log_digest_of_a_close_covers_the_vertices_up_to_it() {
    let mut test = Test::new(|_| ());
    let headers = vec![batches(0, &[batch(1, 1_000)]), batches(1, &[batch(2, 10)])];
    let rules = Arc::clone(&test.rules);
    let orders = test.commit(1_000, headers.clone());
    let vertex = |author: u16, round: u64, headers: Vec<ShardHeader>| {
        let mut vertex = Vertex::genesis(rules.chain, rules.epoch, AuthorityIndex(author));
        vertex.head.round = Round(round);
        Vertex::new(vertex.head, headers).head.reference()
    };
    let named = [
        vertex(0, 1, vec![headers[0].1.clone()]),
        vertex(1, 2, vec![headers[1].1.clone()]),
        vertex(0, 3, vec![]),
    ];
    let logs: Vec<_> = closes(&orders[..1]).iter().map(|close| close.log).collect();
    let log = |count: usize| LogDigest::of(CommitDigest::default(), Timestamp(1_000), &named[..count]);
    assert_eq!(logs, [log(1)], "block 1 closes mid-commit, and at its end no interval has passed");
    assert_eq!(describe(&orders[0]), "+1 |1 +2");
}

#[test]
fn a_batch_takes_effect_once_while_it_is_remembered() {
    let mut test = Test::new(|genesis| genesis.parameters.batch_memory = 6);
    let named = || vec![batches(0, &[batch(1, 10), batch(1, 10)])];
    assert_eq!(test.sees(1_000, named()), "+1 |1");
    assert_eq!(test.ledger.state().anchor, Round(2));
    assert_eq!(test.sees(1_001, vec![batches(3, &[batch(1, 10), batch(2, 10)])]), "+2", "whoever names it");
    assert_eq!(test.sees(1_002, vec![]), "");
    assert_eq!(test.sees(1_003, vec![]), "");
    assert_eq!(
        test.sees(1_004, named()),
        "",
        "ordered in round 2, this is round 8: six rounds are remembered"
    );
    assert_eq!(test.ledger.state().anchor, Round(8));
    assert_eq!(test.ledger.counters.repeated_batches, 5 - 1);
    assert_eq!(test.sees(1_005, named()), "+1", "a round later it is forgotten");
}

#[test]
fn a_shard_whose_certification_lags_gets_its_batches_void() {
    let mut test = Test::new(|_| ());
    for (time, number) in [(1_000, 1), (1_100, 2), (1_200, 3)] {
        assert_eq!(test.sees(time, vec![batches(0, &[batch(number, 10)])]), format!("+{number} |{number}"));
    }
    assert_eq!(test.ledger.state().shards[0].lag(), 3, "one more than lag_max");
    let other = ShardHeader { batches: vec![batch(9, 10)], ..empty(1, 1) };
    let orders = test.commit(1_300, vec![batches(0, &[batch(4, 10)]), (1, other)]);
    assert_eq!((describe(&orders[0]), describe(&orders[1])), ("-4 |4".into(), "+9 |4".into()));
    assert_eq!((orders[0].lag, orders[1].lag), (3, 1), "each shard for itself");
    // A quorum certifies block 1; the last of it frees its own vertex' batches already.
    let certify = attestation(0, 1, 7);
    let (author, mut last) = attests(2, &[certify]);
    last.batches = vec![batch(4, 10), batch(3, 10)];
    let before = attests(1, &[certify]);
    let headers = vec![attests(0, &[certify]), batches(0, &[batch(5, 10)]), before, (author, last)];
    let orders = test.commit(1_400, headers);
    assert_eq!(describe(&orders[0]), "-5 +4 |5", "4 was void and may come again, 3 took effect");
    assert_eq!(test.certified(0), (1, 7));
    assert_eq!(orders[0].certified[0].block, BlockIndex(1));
    assert_eq!(orders[0].lag, 3, "blocks 2, 3 and 5: block 4 has nothing of the shard");
    assert_eq!((test.ledger.counters.void_batches, test.ledger.counters.repeated_batches), (2, 1));
}

#[test]
fn equal_attestations_of_a_quorum_certify_and_others_are_told_apart() {
    let mut test = Test::new(|_| ());
    for time in [1_000, 1_100, 1_200] {
        test.commit(time, vec![]);
    }
    let good = attestation(0, 2, 7);
    assert_eq!(test.ledger.state().blocks.closed(), BlockIndex(3));
    assert!(test.ledger.state().blocks.closed_since_certified());
    test.commit(1_201, vec![attests(0, &[good]), attests(1, &[good]), attests(1, &[good])]);
    assert_eq!(test.certified(0), (0, 0), "two of four, one of them twice");
    let liar = attestation(0, 2, 8);
    test.commit(1_202, vec![attests(3, &[liar]), attests(3, &[good]), attests(1, &[liar])]);
    assert_eq!(test.certified(0), (0, 0), "the first of an author counts");
    assert_eq!(test.ledger.counters.equivocating_attestations, 2);
    test.commit(1_203, vec![attests(2, &[attestation(0, 3, 5), attestation(0, 4, 5)])]);
    test.commit(1_204, vec![attests(2, &[good])]);
    assert_eq!((test.certified(0), test.certified(1)), ((2, 7), (0, 0)));
    assert!(!test.ledger.state().blocks.closed_since_certified());
    test.commit(1_205, vec![attests(3, &[liar]), attests(1, &[attestation(0, 1, 1)])]);
    assert_eq!(test.ledger.counters.equivocating_attestations, 2, "what is certified is no longer looked at");
    // That of block 3 was kept, that of block 4, not closed then, was not.
    test.commit(1_300, vec![attests(0, &[attestation(0, 3, 5)]), attests(1, &[attestation(0, 3, 5)])]);
    assert_eq!(test.certified(0), (3, 5));
    assert!(test.ledger.state().blocks.closed_since_certified(), "block 4 closed behind it");
    test.commit(1_301, vec![attests(0, &[attestation(0, 4, 5)]), attests(1, &[attestation(0, 4, 5)])]);
    assert_eq!(test.certified(0), (3, 5));
}

#[test]
fn outstanding_attestations_of_an_author_are_bounded() {
    let mut test = Test::new(|_| ());
    for block in 0..100 {
        test.commit(1_000 + 100 * block, vec![]);
    }
    let bound = test.rules.parameters.lag_max + certification::SLACK;
    let from_behind: Vec<_> = (1..=100).rev().map(|block| attests(3, &[attestation(0, block, 1)])).collect();
    test.commit(20_000, from_behind);
    let counted = |test: &mut Test, block| {
        test.commit(
            20_001,
            vec![attests(0, &[attestation(0, block, 1)]), attests(1, &[attestation(0, block, 1)])],
        );
        test.certified(0).0 == block
    };
    assert!(!counted(&mut test, 100 - bound), "one too many");
    assert!(counted(&mut test, 101 - bound), "the last that fits");
}

#[test]
fn what_is_usable_and_certified_in_a_block_is_as_of_the_close_before() {
    let mut test = Test::new(|_| ());
    for time in [1_000, 1_100, 1_200] {
        test.commit(time, vec![]);
    }
    let attest = |author| attests(author, &[attestation(1, 2, 7)]);
    let held = |author| holds(author, 0, [9, 9]);
    test.commit(1_201, vec![attest(0), attest(1), attest(2), held(3)]);
    // From shard 1 to shard 0: certified up to 2, but held up to 3 (the last closed block) by one authority alone.
    let orders = test.commit(1_300, vec![]);
    let close = &closes(&orders)[0];
    assert_eq!((close.usable.clone(), close.certified[1].block), (vec![BlockIndex(0); 2], BlockIndex(0)));
    let close = &closes(&test.commit(1_400, vec![holds(2, 0, [0, 1])]))[0];
    assert_eq!((close.usable.clone(), close.certified[1].block), (vec![BlockIndex(0); 2], BlockIndex(2)));
    let close = &closes(&test.commit(1_500, vec![holds(2, 0, [0, 0]), holds(0, 1, [5, 5])]))[0];
    assert_eq!(close.usable, [BlockIndex(0), BlockIndex(1)], "f + 1 hold block 1, and that never falls");
    let orders = test.commit(1_600, vec![holds(1, 0, [3, 3])]);
    assert_eq!(closes(&orders)[0].usable, [BlockIndex(0), BlockIndex(1)]);
    let orders = test.commit(1_700, vec![]);
    assert_eq!(closes(&orders)[0].usable, [BlockIndex(0), BlockIndex(2)], "held up to 3, certified up to 2");
    assert_eq!(closes(&orders)[1].usable, [BlockIndex(0); 2], "shard 0 has nothing certified");
}

#[test]
fn the_state_is_read_back_from_its_bytes_and_every_part_of_it_changes_its_digest() {
    let mut test = Test::new(|_| ());
    let busy = |number: u64| {
        let attest = |author| attests(author, &[attestation(0, number, 7), attestation(0, number + 1, 7)]);
        vec![
            batches(0, &[batch(number, 10)]),
            attest(0),
            attest(1),
            attest(2),
            attest(3),
            holds(1, 1, [1, 0]),
        ]
    };
    for number in 1..8 {
        test.commit(1_000 + 90 * number, busy(number));
    }
    let state = test.ledger.state().clone();
    let bytes = codec::encode(&state);
    assert_eq!(codec::decode::<LedgerState>(&bytes).expect("own bytes"), state);
    let digest = state.digest();
    let changes: [fn(&mut LedgerState); 10] = [
        |state| state.commit = state.commit.next(),
        |state| state.time = state.time.plus(1),
        |state| state.anchor = state.anchor.next(),
        |state| state.floor = state.floor.next(),
        |state| state.ordered.clear(),
        |state| state.reputation.record(AuthoritySet::default()),
        |state| state.blocks.add(1, 1),
        |state| state.shards.swap(0, 1),
        |state| state.held.swap(0, 1),
        |state| state.batches.clear(),
    ];
    for (part, change) in changes.into_iter().enumerate() {
        let mut changed = state.clone();
        change(&mut changed);
        assert_ne!(changed.digest(), digest, "part {part}");
    }
}
