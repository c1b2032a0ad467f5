//! Scenarios of one worker whose sibling and peers the test plays. Whole toy networks are in `network`.

use std::sync::Arc;

use fresnel_crypto::SigningKey;
use fresnel_types::{
    Address, Amount, Authority, AuthorityIndex, BlockIndex, Bundle, Close, Effect, Epoch, Genesis, LogDigest,
    LogEntry, Message, Parameters, Party, PeerCounters, PublicKey, Receipt, ReceiptKind, Record,
    RecordDigest, Sequence, ShardId, Shards, StateRoot, Tally, Timestamp, TransactionId, commit::Certified,
    genesis::Allocation, hash::Root, leaves::PairLeaf, limits::PROTOCOL_VERSION, mmr::Mmr,
    receipt::outbox_root, record::Pair, verify::Rules,
};

use crate::{CrossShard, Delivery, Piece, limits::CONSUMED_BYTES_MAX, outbox::Outbox};

mod network;

pub(super) fn rules(authorities: u8, shards: u16, delivery_max: u64, window: u64) -> Arc<Rules> {
    let key = |seed| PublicKey::of(&SigningKey::from_bytes(&[seed; 32]));
    let genesis = Genesis {
        protocol: PROTOCOL_VERSION,
        name: "test".into(),
        shards: Shards::new(shards).unwrap(),
        parameters: Parameters { delivery_max, window, ..Parameters::default() },
        authorities: (0..authorities)
            .map(|i| Authority {
                name: format!("a{i}"),
                stake: 1,
                consensus_key: key(1 + i),
                network_keys: vec![key(100 + i)],
            })
            .collect(),
        accounts: vec![Allocation { address: Address([1; 32]), amount: Amount(5) }],
    };
    genesis.check().unwrap();
    Arc::new(Rules::of(&genesis))
}

pub(super) fn record(
    shard: ShardId,
    block: BlockIndex,
    range: &Mmr,
    pairs: Vec<Pair>,
    outbox: &[Vec<Receipt>],
) -> Record {
    Record {
        epoch: Epoch(0),
        shard,
        block,
        log: LogDigest::default(),
        position: range.count(),
        earlier: range.root(),
        state: StateRoot::default(),
        outbox: outbox_root(outbox),
        results: Root::default(),
        supply: Amount(0),
        burned: Amount(0),
        pairs,
    }
}

pub(super) fn request(sequence: u64, amount: u64) -> Receipt {
    Receipt {
        sequence: Sequence(sequence),
        transaction: TransactionId([7; 32]),
        kind: ReceiptKind::Request {
            sender: Address([1; 32]),
            recipient: Address([2; 32]),
            amount: Amount(amount),
            asset: fresnel_types::action::Asset::Native,
        },
    }
}

/// A source shard's honest history.
#[derive(Clone)]
struct Chain {
    shard: ShardId,
    range: Mmr,
    pairs: Vec<Pair>,
}

impl Chain {
    fn new(shard: u16, shards: usize) -> Self {
        Self { shard: ShardId(shard), range: Mmr::default(), pairs: vec![Pair::default(); shards] }
    }

    /// The next record, with `requests` of `amount` for shard 0: its bundle.
    fn next(&mut self, block: u64, requests: u64, amount: u64) -> Bundle {
        let mut outbox = vec![vec![]; self.pairs.len()];
        for _ in 0..requests {
            outbox[0].push(request(self.pairs[0].emitted(), amount));
            self.pairs[0].sent.add(Amount(amount));
        }
        let record = record(self.shard, BlockIndex(block), &self.range, self.pairs.clone(), &outbox);
        self.range.append_record(&record.digest());
        let mut outboxes = Outbox::default();
        outboxes.push(&record, outbox);
        let bundle = outboxes.newest(ShardId(0)).unwrap();
        assert!(bundle.is_consistent());
        bundle
    }
}

/// Worker (0, 0) of `rules`, and the clock of the test.
struct Scene {
    cross: CrossShard,
    now: Timestamp,
    effects: Vec<Effect>,
}

fn scene(shards: u16, delivery_max: u64) -> Scene {
    let rules = rules(4, shards, delivery_max, 1_000);
    let cross = CrossShard::new(AuthorityIndex(0), ShardId(0), rules);
    Scene { cross, now: Timestamp(1_000_000), effects: vec![] }
}

fn sibling(source: u16) -> Party {
    Party::Worker(AuthorityIndex(0), ShardId(source))
}

fn peer(authority: u16) -> Party {
    Party::Worker(AuthorityIndex(authority), ShardId(0))
}

fn certified(bundles: &[Option<&Bundle>]) -> Vec<Certified> {
    let one = |bundle: &Option<&Bundle>| {
        bundle.map_or(Certified::default(), |bundle| Certified {
            block: bundle.record.block,
            record: bundle.record.digest(),
        })
    };
    bundles.iter().map(one).collect()
}

fn close(block: u64, certified: Vec<Certified>, usable: &[u64]) -> Close {
    Close {
        block: BlockIndex(block),
        time: Timestamp(0),
        opened: Timestamp(0),
        log: LogDigest::default(),
        certified,
        usable: usable.iter().map(|block| BlockIndex(*block)).collect(),
    }
}

impl Scene {
    fn bundle(&mut self, from: Party, bundle: &Bundle) {
        let message = Message::Bundle(Box::new(bundle.clone()));
        self.cross.handle(self.now, from, message, &mut self.effects);
    }

    fn certify(&mut self, bundles: &[Option<&Bundle>]) {
        self.cross.certified(self.now, &certified(bundles), &mut self.effects);
    }

    fn held(&self) -> Vec<u64> {
        self.cross.held().into_iter().map(|block| block.0).collect()
    }

    /// Goes to the next deadline and does what is due: whom it asks for what comes after which block.
    fn tick(&mut self) -> Vec<(Party, u64)> {
        self.now = self.now.max(self.cross.deadline().expect("something is missing"));
        self.effects.clear();
        self.cross.tick(self.now, &mut self.effects);
        self.requests()
    }

    fn requests(&mut self) -> Vec<(Party, u64)> {
        let requests = self.effects.drain(..).filter_map(|effect| match effect {
            Effect::Send { to, message: Message::BundleRequest { after, .. } } => Some((to[0], after.0)),
            _ => None,
        });
        requests.collect()
    }

    fn persisted(&mut self) -> Vec<RecordDigest> {
        let bundles = self.effects.drain(..).filter_map(|effect| match effect {
            Effect::Persist(LogEntry::Bundle(bundle)) => Some(bundle.record.digest()),
            _ => None,
        });
        bundles.collect()
    }

    fn deliver(&mut self, close: &Close, cursors: &[u64], next_source: u16) -> Delivery {
        let pairs = |shard: ShardId| {
            let mut leaf = PairLeaf::default();
            leaf.own.consumed.count = cursors[shard.index()];
            leaf
        };
        self.cross.deliver(self.now, close, &pairs, ShardId(next_source), &mut self.effects)
    }
}

fn sequences(delivery: &Delivery) -> Vec<(u16, u64)> {
    let Delivery::Ready { receipts, .. } = delivery else { panic!("the block waits") };
    receipts.iter().map(|(source, receipt)| (source.0, receipt.sequence.0)).collect()
}

#[test]
fn a_siblings_bundles_are_held_at_once_and_delivered_as_far_as_usable() {
    let mut scene = scene(2, 100);
    let mut chain = Chain::new(1, 2);
    let bundles = [chain.next(2, 2, 10), chain.next(3, 0, 0), chain.next(7, 3, 20)];
    for bundle in &bundles {
        scene.bundle(sibling(1), bundle);
    }
    assert_eq!(scene.held(), vec![0, 7]);
    assert_eq!(scene.persisted(), bundles.clone().map(|bundle| bundle.record.digest()));
    assert_eq!(scene.cross.verified(ShardId(1), BlockIndex(0)).next(), None, "not certified yet");
    let all = certified(&[None, Some(&bundles[2])]);
    let nothing = scene.deliver(&close(8, all.clone(), &[0, 0]), &[0, 0], 0);
    assert_eq!(sequences(&nothing), vec![]);
    let some = scene.deliver(&close(9, all.clone(), &[0, 5]), &[0, 0], 0);
    assert_eq!(sequences(&some), vec![(1, 0), (1, 1)]);
    let Delivery::Ready { peers, .. } = some else { unreachable!("it was ready") };
    let none = Tally::default();
    assert_eq!(
        peers,
        vec![PeerCounters { shard: ShardId(1), block: BlockIndex(3), consumed: none, bounced: none }]
    );
    let rest = scene.deliver(&close(10, all.clone(), &[0, 7]), &[0, 1], 0);
    assert_eq!(sequences(&rest), vec![(1, 1), (1, 2), (1, 3), (1, 4)]);
    let done = scene.deliver(&close(11, all, &[0, 7]), &[0, 5], 0);
    assert_eq!(sequences(&done), vec![]);
    assert_eq!(scene.cross.verified(ShardId(1), BlockIndex(0)).last(), Some(&bundles[2]));
    assert_eq!(scene.cross.verified(ShardId(1), BlockIndex(0)).next(), Some(&bundles[0]));
    assert_eq!(scene.cross.deadline(), None);
}

#[test]
fn a_block_waits_for_the_record_that_proves_what_is_usable() {
    let mut scene = scene(2, 100);
    let mut chain = Chain::new(1, 2);
    let (first, second) = (chain.next(2, 1, 10), chain.next(4, 1, 10));
    scene.bundle(sibling(1), &first);
    let close = close(5, certified(&[None, Some(&second)]), &[0, 2]);
    assert_eq!(scene.deliver(&close, &[0, 0], 0), Delivery::Waiting, "nothing certified commits to it here");
    assert_eq!(scene.tick(), vec![(sibling(1), 2)]);
    scene.bundle(sibling(1), &second);
    assert_eq!(sequences(&scene.deliver(&close, &[0, 0], 0)), vec![(1, 0)]);
}

#[test]
fn bundles_out_of_order_wait_for_the_gap_which_is_asked_for() {
    let mut scene = scene(2, 100);
    let mut chain = Chain::new(1, 2);
    let bundles = [chain.next(2, 1, 10), chain.next(3, 1, 10), chain.next(4, 1, 10)];
    scene.bundle(sibling(1), &bundles[2]);
    scene.bundle(sibling(1), &bundles[1]);
    scene.bundle(sibling(1), &bundles[1]);
    assert_eq!(scene.held(), vec![0, 0]);
    assert_eq!(scene.tick(), vec![(sibling(1), 0)]);
    scene.bundle(sibling(1), &bundles[0]);
    assert_eq!(scene.held(), vec![0, 4]);
    assert_eq!(scene.cross.deadline(), None);
}

#[test]
fn a_sibling_that_diverged_is_overruled_by_the_log() {
    let mut scene = scene(2, 100);
    let mut chain = Chain::new(1, 2);
    let first = chain.next(2, 1, 10);
    let mut wrong = chain.clone();
    let false_ones = [wrong.next(3, 2, 99), wrong.next(4, 0, 0)];
    let true_ones = [chain.next(3, 1, 10), chain.next(4, 0, 0)];
    scene.bundle(sibling(1), &first);
    for bundle in &false_ones {
        scene.bundle(sibling(1), bundle);
    }
    scene.certify(&[None, Some(&true_ones[0])]);
    assert_eq!(scene.cross.counters().contradicted, 1);
    assert_eq!(scene.held(), vec![0, 4], "what was told never falls");
    assert_eq!(scene.tick(), vec![(peer(1), 0)], "the sibling is asked no more");
    scene.bundle(peer(1), &first);
    scene.bundle(peer(1), &true_ones[0]);
    let expected = [first.record.digest(), true_ones[0].record.digest()];
    assert_eq!(scene.persisted(), expected, "durable once certified");
    scene.bundle(sibling(1), &wrong.next(5, 0, 0));
    scene.bundle(sibling(1), &true_ones[1]);
    assert_eq!(scene.cross.verified(ShardId(1), BlockIndex(0)).last(), Some(&true_ones[0]));
    let close = close(5, certified(&[None, Some(&true_ones[0])]), &[0, 3]);
    let Delivery::Ready { receipts, .. } = scene.deliver(&close, &[0, 0], 0) else {
        panic!("it is complete")
    };
    assert_eq!(receipts, vec![(ShardId(1), request(0, 10)), (ShardId(1), request(1, 10))]);
}

#[test]
fn lying_peers_cost_time_only() {
    let mut scene = scene(2, 100);
    let mut chain = Chain::new(1, 2);
    let mut wrong = chain.clone();
    let true_ones = [chain.next(2, 1, 10), chain.next(3, 1, 10)];
    let false_ones = [wrong.next(2, 1, 99), wrong.next(3, 1, 99), wrong.next(4, 0, 0)];
    scene.bundle(peer(1), &true_ones[0]);
    assert_eq!(scene.cross.counters().refused, 1, "nobody asked");
    scene.certify(&[None, Some(&true_ones[1])]);
    assert_eq!(scene.tick(), vec![(sibling(1), 0)]);
    assert_eq!(scene.tick(), vec![(peer(1), 0)], "the sibling is silent");
    for bundle in &false_ones {
        scene.bundle(peer(1), bundle);
    }
    assert_eq!((scene.held(), scene.persisted()), (vec![0, 0], vec![]));
    assert_eq!(scene.tick(), vec![(peer(2), 0)], "at once, since the log contradicts");
    scene.bundle(peer(2), &false_ones[0]);
    assert_eq!(scene.cross.counters().contradicted, 1);
    assert_eq!(scene.tick(), vec![(peer(3), 0)], "half a lie shows by its silence and is replaced");
    for bundle in &true_ones {
        scene.bundle(peer(3), bundle);
    }
    assert_eq!(scene.held(), vec![0, 3]);
    assert_eq!(scene.persisted(), true_ones.map(|bundle| bundle.record.digest()));
    assert_eq!(scene.cross.deadline(), None);
}

#[test]
fn a_lie_ahead_of_its_turn_is_forgotten_when_its_block_is_passed() {
    let mut scene = scene(2, 100);
    let mut chain = Chain::new(1, 2);
    let true_ones = [chain.next(2, 1, 10), chain.next(3, 1, 10)];
    scene.certify(&[None, Some(&true_ones[1])]);
    scene.tick();
    assert_eq!(scene.tick(), vec![(peer(1), 0)], "the sibling is silent");
    let mut ahead = true_ones[1].clone();
    ahead.record.position = 1_000;
    scene.bundle(peer(1), &ahead);
    for bundle in &true_ones {
        scene.bundle(peer(1), bundle);
    }
    assert_eq!(scene.held(), vec![0, 3]);
    assert_eq!(scene.cross.deadline(), None, "nobody is asked for the rest of a lie");
}

#[test]
fn the_own_sibling_replaces_what_a_peer_said_unconfirmed() {
    let mut scene = scene(2, 100);
    let mut chain = Chain::new(1, 2);
    let mut wrong = chain.clone();
    let true_ones = [chain.next(2, 1, 10), chain.next(3, 1, 10)];
    scene.certify(&[None, Some(&true_ones[1])]);
    scene.tick();
    scene.tick();
    scene.bundle(peer(1), &wrong.next(2, 1, 99));
    scene.bundle(sibling(1), &true_ones[0]);
    assert_eq!(scene.held(), vec![0, 2]);
    scene.bundle(sibling(1), &true_ones[1]);
    assert_eq!((scene.held(), scene.cross.counters().contradicted), (vec![0, 3], 0));
}

#[test]
fn malformed_chains_are_refused() {
    let mut scene = scene(2, 100);
    let mut chain = Chain::new(1, 2);
    let first = chain.next(2, 1, 10);
    let change = |change: &dyn Fn(&mut Bundle)| {
        let mut bundle = first.clone();
        change(&mut bundle);
        bundle
    };
    let wrong = [
        change(&|bundle| bundle.record.pairs[0].sent.count = u64::MAX),
        change(&|bundle| bundle.record.pairs[0].bounced.count = u64::MAX),
        change(&|bundle| bundle.record.pairs[0].sent.count = 2),
        change(&|bundle| bundle.record.pairs.clear()),
        change(&|bundle| bundle.receipts[0].sequence = Sequence(1)),
        change(&|bundle| bundle.record.block = BlockIndex(0)),
        change(&|bundle| bundle.record.earlier = Root([1; 32])),
        change(&|bundle| bundle.record.shard = ShardId(0)),
        change(&|bundle| bundle.record.shard = ShardId(9)),
        change(&|bundle| bundle.destination = ShardId(1)),
        change(&|bundle| bundle.record.position = u64::MAX),
    ];
    for bundle in &wrong {
        scene.bundle(sibling(1), bundle);
    }
    assert_eq!((scene.held(), scene.cross.counters().accepted), (vec![0, 0], 0));
    scene.bundle(sibling(1), &first);
    assert_eq!(scene.held(), vec![0, 2]);
}

#[test]
fn sources_take_turns_within_the_budget_of_a_block() {
    let mut scene = scene(4, 200);
    let mut bundles = vec![];
    for (source, count) in [(1, 500), (2, 10), (3, 500)] {
        let bundle = Chain::new(source, 4).next(1, count, 1);
        scene.bundle(sibling(source), &bundle);
        bundles.push(bundle);
    }
    let all = certified(&[None, Some(&bundles[0]), Some(&bundles[1]), Some(&bundles[2])]);
    let close = close(2, all, &[0, 1, 1, 1]);
    let mut turns = |cursors: &[u64], start: u16| {
        let Delivery::Ready { receipts, next_source, .. } = scene.deliver(&close, cursors, start) else {
            panic!("all is here")
        };
        let sources: Vec<u16> = receipts.iter().map(|(source, _)| source.0).collect();
        let runs: Vec<(u16, usize)> =
            sources.chunk_by(|a, b| a == b).map(|run| (run[0], run.len())).collect();
        (runs, next_source.0)
    };
    assert_eq!(turns(&[0; 4], 0), (vec![(1, 64), (2, 10), (3, 64), (1, 62)], 2));
    assert_eq!(turns(&[0, 126, 10, 64], 2), (vec![(3, 64), (1, 64), (3, 64), (1, 8)], 2));
    assert_eq!(turns(&[0, 500, 10, 499], 1), (vec![(3, 1)], 0));
    assert_eq!(turns(&[0, 500, 10, 500], 3), (vec![], 3), "nobody was served: it stays");
}

#[test]
fn requests_are_answered_to_whom_they_concern_and_are_bounded() {
    let rules = rules(4, 2, 100, 1_000);
    let mut source = CrossShard::new(AuthorityIndex(0), ShardId(1), rules);
    let mut chain = Chain::new(1, 2);
    let mut effects = vec![];
    for block in 1..=100 {
        let bundle = chain.next(block, 1, 10);
        source.emit(&bundle.record, vec![bundle.receipts, vec![]], &mut effects);
    }
    assert_eq!(effects.len(), 100);
    let answers = |cross: &mut CrossShard, from: Party, after: u64| -> Vec<u64> {
        let request =
            Message::BundleRequest { source: ShardId(1), destination: ShardId(0), after: BlockIndex(after) };
        let mut effects = vec![];
        cross.handle(Timestamp(0), from, request, &mut effects);
        let blocks = effects.into_iter().map(|effect| match effect {
            Effect::Send { to, message: Message::Bundle(bundle) } if to == vec![from] => {
                assert!(bundle.is_consistent());
                bundle.record.block.0
            }
            other => panic!("{other:?}"),
        });
        blocks.collect()
    };
    assert_eq!(answers(&mut source, sibling(0), 90), (91..=100).collect::<Vec<_>>());
    assert_eq!(answers(&mut source, sibling(0), 0).len(), 64);
    assert_eq!(answers(&mut source, peer(2), 0), Vec::<u64>::new(), "another authority asks its own");

    let mut scene = scene(2, 100);
    let mut chain = Chain::new(1, 2);
    let bundles = [chain.next(1, 1, 10), chain.next(2, 1, 10)];
    bundles.iter().for_each(|bundle| scene.bundle(sibling(1), bundle));
    scene.certify(&[None, Some(&bundles[0])]);
    assert_eq!(answers(&mut scene.cross, peer(3), 0), vec![1], "only what is certified");
    assert_eq!(answers(&mut scene.cross, sibling(1), 0), Vec::<u64>::new());
}

#[test]
fn a_long_absence_is_fetched_answer_by_answer() {
    let mut scene = scene(2, 1_000);
    let mut chain = Chain::new(1, 2);
    let bundles: Vec<_> = (1..=200).map(|block| chain.next(block, 1, 1)).collect();
    scene.certify(&[None, bundles.last()]);
    scene.tick();
    let (target, mut after) = scene.tick()[0];
    assert_eq!(target, peer(1));
    let start = scene.now;
    while after < 200 {
        for bundle in bundles.iter().skip(after as usize).take(64) {
            scene.bundle(target, bundle);
        }
        let Some((party, next)) = scene.requests().pop() else { break };
        assert_eq!(party, target);
        after = next;
    }
    assert_eq!((scene.held(), scene.now), (vec![0, 200], start), "without waiting for any deadline");
}

#[test]
fn consumed_bundles_are_forgotten_but_never_the_newest_usable_counters() {
    let mut inbox = crate::inbox::Inbox::new(ShardId(0), 0);
    let mut chain = Chain::new(1, 2);
    let bundles: Vec<_> = (1..=10).map(|block| chain.next(block, 1, 1)).collect();
    for bundle in &bundles {
        assert!(inbox.accept(bundle.clone(), crate::inbox::Origin::Sibling));
    }
    inbox.claim(&certified(&[bundles.last()])[0]);
    inbox.confirm(None);
    inbox.prune(3, BlockIndex(9));
    assert_eq!(inbox.verified_after(BlockIndex(0)).count(), 7, "three are consumed");
    inbox.prune(10, BlockIndex(6));
    assert_eq!(inbox.usable_record(BlockIndex(6)), Some(&bundles[5].record));
    inbox.prune(10, BlockIndex(10));
    assert_eq!(inbox.usable_record(BlockIndex(10)), Some(&bundles[9].record));
    assert_eq!(inbox.verified_after(BlockIndex(0)).count(), 1);
    assert!(inbox.accept(chain.next(11, 2, 1), crate::inbox::Origin::Sibling), "the chain goes on");
    assert_eq!(inbox.deliverable(10, BlockIndex(11)).count(), 2);
}

#[test]
fn a_restart_holds_what_the_log_holds_even_after_an_overruled_sibling() {
    let mut chain = Chain::new(1, 2);
    let mut wrong = chain.clone();
    let first = chain.next(2, 1, 10);
    wrong.next(2, 1, 10);
    let false_one = wrong.next(3, 2, 99);
    let true_one = chain.next(3, 1, 10);
    let mut scene = scene(2, 100);
    for bundle in [&first, &false_one, &true_one] {
        scene.cross.recover_bundle(bundle.clone());
    }
    assert_eq!(scene.held(), vec![0, 3]);
    let close = close(5, certified(&[None, Some(&true_one)]), &[0, 3]);
    assert_eq!(sequences(&scene.deliver(&close, &[0, 0], 0)), vec![(1, 0), (1, 1)]);
    assert_eq!(scene.persisted(), vec![], "it is in the log already");
    scene.cross.connected(scene.now, sibling(1), &mut scene.effects);
    assert_eq!(scene.requests(), vec![(sibling(1), 3)]);
}

/// The scene after a restart from what was in hand.
fn restored(scene: &Scene, pieces: Vec<Piece>) -> Result<Scene, &'static str> {
    let rules = rules(4, 2, 100, 1_000);
    let cross = CrossShard::restore(AuthorityIndex(0), ShardId(0), rules, scene.now, pieces, vec![])?;
    Ok(Scene { cross, now: scene.now, effects: vec![] })
}

#[test]
fn a_checkpoint_holds_what_is_durable_and_not_consumed() {
    let mut scene = scene(2, 100);
    let mut chain = Chain::new(1, 2);
    let bundles: Vec<_> = (1..=6).map(|block| chain.next(block, 1, 10)).collect();
    bundles[..4].iter().for_each(|bundle| scene.bundle(sibling(1), bundle));
    scene.deliver(&close(3, certified(&[None, Some(&bundles[2])]), &[0, 2]), &[0, 0], 0);
    scene.deliver(&close(4, certified(&[None, Some(&bundles[2])]), &[0, 3]), &[0, 2], 0);
    scene.certify(&[None, Some(&bundles[5])]);
    scene.now = scene.now.max(scene.cross.deadline().expect("the last two are missing"));
    let pieces: Vec<_> = scene.cross.snapshot().collect();
    assert_eq!(pieces.len(), 1 + 2, "the first two are consumed");

    let mut again = restored(&scene, pieces.clone()).expect("whole");
    assert_eq!((again.held(), again.cross.snapshot().collect::<Vec<_>>()), (vec![0, 4], pieces.clone()));
    assert_eq!(again.tick(), vec![(sibling(1), 4)], "it goes on asking");
    for scene in [&mut scene, &mut again] {
        scene.effects.clear();
        scene.bundle(sibling(1), &bundles[1]);
        assert_eq!(scene.persisted(), vec![], "it came before");
        scene.cross.recover_bundle(bundles[4].clone());
        scene.bundle(sibling(1), &bundles[5]);
        assert_eq!(scene.persisted(), vec![bundles[5].record.digest()]);
        let delivery = scene.deliver(&close(5, certified(&[None, Some(&bundles[5])]), &[0, 6]), &[0, 3], 0);
        assert_eq!(sequences(&delivery), vec![(1, 3), (1, 4), (1, 5)]);
    }

    for missing in 0..pieces.len() {
        let mut pieces = pieces.clone();
        pieces.remove(missing);
        assert!(restored(&scene, pieces).is_err(), "piece {missing} is missing");
    }
    let mut disordered = pieces;
    disordered.swap(1, 2);
    assert!(restored(&scene, disordered).is_err());
}

#[test]
fn what_was_told_survives_a_restart_from_a_checkpoint() {
    let mut scene = scene(2, 100);
    let (mut honest, mut lying) = (Chain::new(1, 2), Chain::new(1, 2));
    let truth = [honest.next(2, 1, 10), honest.next(3, 1, 10)];
    [lying.next(2, 1, 99), lying.next(9, 1, 10)].iter().for_each(|lie| scene.bundle(sibling(1), lie));
    scene.certify(&[None, Some(&truth[0])]);
    assert_eq!(scene.held(), vec![0, 9], "never falls");
    let again = restored(&scene, scene.cross.snapshot().collect());
    let mut again = again.expect("an inbox without bundles");
    assert_eq!(again.held(), vec![0, 9]);
    again.bundle(sibling(1), &truth[1]);
    assert_eq!(again.persisted(), vec![], "the sibling is not believed any more");
}

/// Bundles dropped for room take their place in the range with them.
#[test]
fn a_checkpoint_goes_on_after_bundles_that_were_dropped() {
    let mut scene = scene(2, 1_000);
    let mut chain = Chain::new(1, 2);
    let requests = CONSUMED_BYTES_MAX / 2 / 6 / size_of::<Receipt>();
    let mut consumed = 0;
    for block in 1..=9 {
        let bundle = chain.next(block, requests as u64, 1);
        scene.bundle(sibling(1), &bundle);
        let close = close(block, certified(&[None, Some(&bundle)]), &[0, block]);
        scene.deliver(&close, &[0, consumed], 0);
        consumed += requests as u64;
    }
    let again = restored(&scene, scene.cross.snapshot().collect());
    let mut again = again.expect("whole");
    let next = chain.next(10, 1, 1);
    again.bundle(sibling(1), &next);
    assert_eq!(again.held(), vec![0, 10]);
}
