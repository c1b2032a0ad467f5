//! Restarts from a checkpoint: what comes back is what would have come from the whole log.

use std::{
    collections::BTreeSet,
    sync::{Arc, LazyLock},
};

use fresnel_crypto::Verifier;
use fresnel_shard::{Batching, Checkpointing, Config, RecoveryError, Worker};
use fresnel_types::{
    Action, Address, Amount, AuthorityIndex, BatchId, BatchRef, BlockIndex, ClientId, Effect, Entries,
    EntryNumber, Genesis, Input, LogEntry, Machine, Message, Nonce, Parameters, Party, PublicKey, ShardId,
    StateKey, Timestamp, Transaction,
    checkpoint::Restored,
    commit::Certified,
    status::{Answer, Level, Query},
    verify::Rules,
};
use proptest::prelude::*;

use crate::{
    disk::Disk,
    recovery::{SHARD, batch, close, genesis, named, order},
    toy::{Toy, address, key},
};

const ACCOUNTS: u8 = 20;

/// Due after every block.
const EAGER: Checkpointing = Checkpointing { blocks: u64::MAX, interval: 0, bytes_max: usize::MAX };

fn toy(shards: u16, checkpointing: Checkpointing) -> Toy {
    let parameters = Parameters { account_minimum: Amount(50), ..Parameters::default() };
    Toy::with(shards, ACCOUNTS, parameters, checkpointing)
}

/// Everybody pays the next one, or, every third time, somebody who cannot be credited.
fn submit(toy: &mut Toy, nonce: u64, senders: impl Iterator<Item = u8>) {
    for from in senders {
        let to = if (nonce + u64::from(from)).is_multiple_of(3) {
            Address([(nonce as u8).wrapping_mul(20).wrapping_add(from); 32])
        } else {
            address(from % ACCOUNTS + 1)
        };
        let transfer = toy.transfer(from, nonce, to, 3);
        toy.submit(toy.shard_of(from), vec![transfer]);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Submit(u8),
    Commit,
    Freeze(u16),
    Thaw(u16),
    Store(u16),
    Restart(u16, u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1..6_u8).prop_map(Step::Submit),
        4 => Just(Step::Commit),
        1 => (0..4_u16).prop_map(Step::Freeze),
        2 => (0..4_u16).prop_map(Step::Thaw),
        3 => (0..4_u16).prop_map(Step::Store),
        2 => (0..4_u16, any::<u8>()).prop_map(|(shard, deleted)| Step::Restart(shard, deleted)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// E1, D2: whenever a worker restarts, from whatever checkpoint and however much of the log before it, it is what it
    /// would be from the whole log, and does the same ever after; the toy compares both at every step.
    #[test]
    fn a_checkpoint_is_worth_the_log_before_it(
        shards in prop_oneof![Just(1_u16), Just(2), Just(4)],
        interval in prop_oneof![Just(0_u64), Just(60_000)],
        steps in prop::collection::vec(step(), 20..120),
    ) {
        let mut toy = toy(shards, Checkpointing { interval, ..EAGER });
        let mut nonces = vec![0_u64; usize::from(ACCOUNTS) + 1];
        for step in steps {
            match step {
                Step::Submit(by) => {
                    for from in (by..=ACCOUNTS).step_by(5) {
                        let nonce = &mut nonces[usize::from(from)];
                        submit(&mut toy, *nonce, std::iter::once(from));
                        *nonce += 1;
                    }
                }
                Step::Commit => toy.commit(),
                Step::Freeze(shard) => drop(toy.frozen.insert(ShardId(shard % shards))),
                Step::Thaw(shard) => toy.thaw(ShardId(shard % shards)),
                Step::Store(shard) => toy.store(ShardId(shard % shards)),
                Step::Restart(shard, deleted) => toy.restart(ShardId(shard % shards), deleted),
            }
        }
        (0..shards).for_each(|shard| toy.thaw(ShardId(shard)));
        toy.settle();
        (0..shards).for_each(|shard| toy.restart(ShardId(shard), 255));
        toy.settle();
    }
}

/// X2, E3: bounces and receipts under way end once, whenever the workers restart.
#[test]
fn what_is_under_way_ends_once() {
    let run = |restart_at: Option<usize>| {
        let mut toy = toy(2, EAGER);
        let sender = (1..=ACCOUNTS).find(|n| toy.shard_of(*n) == ShardId(0)).expect("both have accounts");
        let payee = (1..=ACCOUNTS).find(|n| toy.shard_of(*n) == ShardId(1)).expect("both have accounts");
        let transfers =
            [toy.transfer(sender, 0, Address([0xff; 32]), 49), toy.transfer(sender, 1, address(payee), 7)];
        toy.submit(ShardId(0), transfers.to_vec());
        for step in 0..20 {
            toy.commit();
            [0, 1].into_iter().for_each(|shard| toy.store(ShardId(shard)));
            if restart_at == Some(step) {
                [0, 1].into_iter().for_each(|shard| toy.restart(ShardId(shard), 255));
            }
        }
        toy.settle();
        let ends = transfers.map(|transfer| {
            let query = Query::Transaction(transfer.transaction.id());
            let Answer::Transaction(Some(progress)) = toy.ask(ShardId(0), query) else { panic!("known") };
            (progress.level, progress.bounced)
        });
        assert_eq!(ends, [(Level::Settled, true), (Level::Settled, false)], "restarted at {restart_at:?}");
        assert_eq!([sender, payee].map(|n| toy.balance(address(n))), [Some(991), Some(1_007)]);
        toy.workers.iter().map(|worker| worker.records(BlockIndex(0), usize::MAX)).collect::<Vec<_>>()
    };
    let calm = run(None);
    for restart_at in 0..12 {
        assert_eq!(run(Some(restart_at)), calm);
    }
}

/// What a worker of two shards finds when it comes back.
struct Found {
    config: Config,
    log: Vec<LogEntry>,
    checkpoint: Restored,
}

static FOUND: LazyLock<Found> = LazyLock::new(|| {
    let mut toy = toy(2, EAGER);
    for nonce in 0..6 {
        submit(&mut toy, nonce, 1..=ACCOUNTS);
        toy.commit();
        toy.store(ShardId(0));
    }
    let checkpoint = toy.disks[0].checkpoint().expect("stored");
    Found { config: toy.config(ShardId(0)), log: toy.disks[0].log.clone(), checkpoint }
});

/// Opens the worker with another checkpoint, and the log from an entry on.
fn open(checkpoint: Option<Restored>, first: EntryNumber) -> Result<Worker, RecoveryError> {
    let entries = Entries { first, entries: FOUND.log[first.0 as usize..].to_vec() };
    Worker::open(FOUND.config.clone(), checkpoint, entries, Timestamp(1))
}

#[test]
fn a_damaged_checkpoint_is_an_error() {
    let whole = &FOUND.checkpoint;
    assert!(open(Some(whole.clone()), whole.entry).is_ok());
    let damaged = |what: &str, change: &dyn Fn(&mut Restored)| {
        let mut restored = whole.clone();
        change(&mut restored);
        assert!(matches!(open(Some(restored), whole.entry), Err(RecoveryError::Damaged(_))), "{what}");
    };
    for place in 0..whole.leaves.len() {
        damaged("a changed leaf", &|restored| restored.leaves[place].1[0] ^= 1);
    }
    damaged("a missing leaf", &|restored| drop(restored.leaves.pop()));
    damaged("leaves in disorder", &|restored| restored.leaves.swap(0, 1));
    damaged("a foreign leaf", &|restored| restored.leaves.push((StateKey([0xff; 32]), vec![])));
    damaged("another block", &|restored| restored.block = restored.block.next());
    damaged("no records", &|restored| restored.records.clear());
    for place in 0..whole.records.len() {
        damaged("a changed record", &|restored| restored.records[place][60] ^= 1);
        damaged("a missing record", &|restored| drop(restored.records.remove(place)));
    }
    damaged("too few outcomes", &|restored| drop(restored.outcomes.remove(0)));
    damaged("too many outcomes", &|restored| restored.outcomes.push(restored.outcomes[0].clone()));
    damaged("nothing in hand", &|restored| restored.in_hand.clear());
    for place in 0..whole.in_hand.len() {
        damaged("a malformed item", &|restored| restored.in_hand[place].push(0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever a disk gives back, opening ends.
    #[test]
    fn damage_never_panics(item in any::<prop::sample::Index>(), bit in any::<prop::sample::Index>()) {
        let mut restored = FOUND.checkpoint.clone();
        let items = [&mut restored.records, &mut restored.outcomes, &mut restored.in_hand];
        let mut items: Vec<_> = items.into_iter().flatten().collect();
        let item = item.index(items.len());
        let bit = bit.index(items[item].len() * 8);
        items[item][bit / 8] ^= 1 << (bit % 8);
        drop(open(Some(restored), FOUND.checkpoint.entry));
    }
}

#[test]
fn a_log_that_does_not_reach_the_checkpoint_is_an_error() {
    let (whole, entry) = (&FOUND.checkpoint, FOUND.checkpoint.entry);
    let apart = |result: Result<Worker, RecoveryError>| matches!(result, Err(RecoveryError::Apart { .. }));
    assert!(apart(open(Some(whole.clone()), EntryNumber(entry.0 + 1))), "a gap after the checkpoint");
    assert!(apart(open(None, EntryNumber(1))), "a pruned log without a checkpoint");
    let short = FOUND.log[..entry.0 as usize - 1].to_vec().into();
    let short = Worker::open(FOUND.config.clone(), Some(whole.clone()), short, Timestamp(1));
    assert!(apart(short), "the log ends before the checkpoint");
}

/// One worker of a committee of four, the test being everybody else.
struct Scene {
    genesis: Arc<Genesis>,
    worker: Worker,
    disk: Disk,
    sent: Vec<(Vec<Party>, Message)>,
}

impl Scene {
    fn config(genesis: &Arc<Genesis>) -> Config {
        Config {
            authority: AuthorityIndex(0),
            shard: SHARD,
            genesis: genesis.clone(),
            rules: Arc::new(Rules::of(genesis)),
            batching: Batching::default(),
            checkpointing: EAGER,
            execution: None,
        }
    }

    fn new() -> Self {
        let genesis = genesis();
        let worker = Worker::open(Self::config(&genesis), None, vec![].into(), Timestamp(1));
        Self { worker: worker.expect("an empty log"), genesis, disk: Disk::default(), sent: vec![] }
    }

    /// The same worker after a restart with this much of the log.
    fn reopened(&self, checkpoint: Option<Restored>, log: Entries) -> Self {
        let mut disk = Disk::default();
        disk.log.clone_from(&self.disk.log);
        disk.forgotten = log.first;
        let worker = Worker::open(Self::config(&self.genesis), checkpoint, log, Timestamp(1));
        let worker = worker.expect("its own disk");
        Self { worker, genesis: self.genesis.clone(), disk, sent: vec![] }
    }

    fn input(&mut self, input: Input) {
        let mut effects = Vec::new();
        self.worker.handle(Timestamp(1), input, &mut effects);
        for effect in effects {
            match effect {
                Effect::Persist(entry) => self.disk.log.push(entry),
                Effect::Checkpoint(checkpoint) => self.disk.hand(*checkpoint),
                Effect::Forget(entry) => self.disk.forgotten = entry,
                Effect::Recall(number) => {
                    let kept =
                        (number >= self.disk.forgotten).then(|| self.disk.log[number.0 as usize].clone());
                    let entry = kept.map(Box::new);
                    self.input(Input::Recalled(number, entry));
                }
                Effect::Snapshot(_) => panic!("nobody asks for a snapshot"),
                Effect::Send { to, message } => self.sent.push((to, message)),
            }
        }
    }

    fn message(&mut self, from: Party, message: Message) {
        let mut verifier = Verifier::with_seed([1; 32]);
        let message = Rules::of(&self.genesis).verify_one(&mut verifier, message).expect("of our own making");
        self.input(Input::Message { from, message });
    }

    fn order(&mut self, entry: LogEntry) {
        let LogEntry::Order(order) = entry else { panic!("an order") };
        self.message(BEACON, Message::Order(order));
    }

    /// Ids of batches that the beacon is told to be stored when its link comes up.
    fn stored(&mut self) -> BTreeSet<BatchId> {
        self.sent.clear();
        self.input(Input::Connected(BEACON));
        let stored = self.sent.iter().filter_map(|(_, message)| match message {
            Message::Stored(batches) => Some(batches.clone()),
            _ => None,
        });
        stored.flatten().map(|batch| batch.id).collect()
    }

    /// Whether a peer that asks for a batch gets it.
    fn serves(&mut self, batch: BatchRef) -> bool {
        self.sent.clear();
        self.message(worker(1), Message::BatchRequest(vec![batch.id]));
        self.sent.iter().any(|(_, message)| matches!(message, Message::Batch(_)))
    }
}

const BEACON: Party = Party::Beacon(AuthorityIndex(0));

fn worker(authority: u16) -> Party {
    Party::Worker(AuthorityIndex(authority), SHARD)
}

/// D1: batches of every kind, blocks that wait for one, and those for peers.
#[test]
fn batches_that_are_not_executed_outlive_the_log_before_a_checkpoint() {
    let mut scene = Scene::new();
    let genesis = scene.genesis.clone();
    let [executed, unnamed, named_one, absent, open] =
        [(1, 0), (2, 1), (3, 2), (1, 3), (2, 4)].map(|(author, nonce)| batch(&genesis, author, nonce));
    for (author, (bytes, _)) in [(1, &executed), (2, &unnamed), (3, &named_one), (2, &open)] {
        scene.message(worker(author), Message::Batch(bytes.clone()));
    }
    scene.message(BEACON, Message::Require { author: AuthorityIndex(3), batches: vec![named_one.1] });
    let own = Transaction {
        chain: genesis.chain(),
        sender: PublicKey::of(&key(1)),
        nonce: Nonce(9),
        fee: Amount(1),
        valid_until: Timestamp(600_000_000),
        action: Action::Transfer { recipient: address(2), amount: Amount(10) },
    };
    let rules = Rules::of(&genesis);
    let transactions =
        rules.verify_submission(&mut Verifier::with_seed([1; 32]), SHARD, vec![own.sign(&key(1))]);
    scene.input(Input::Submit { client: ClientId(1), request: 0, transactions });
    let pending: BTreeSet<_> = scene.stored();
    assert_eq!(pending.len(), 5, "none is ordered");
    scene.order(order(
        1,
        0,
        vec![named(1, executed.1), close(1), named(1, absent.1), close(2), named(2, open.1)],
    ));
    assert_eq!((scene.worker.status().executed, scene.worker.waiting_blocks()), (BlockIndex(1), 1));
    assert!(scene.disk.handed.is_none(), "not certified");
    let LogEntry::Order(mut second) = order(2, 0, vec![]) else { panic!("an order") };
    let record = scene.worker.records(BlockIndex(1), 1)[0].digest();
    second.certified = vec![Certified { block: BlockIndex(1), record }];
    scene.message(BEACON, Message::Order(second));
    let block = scene.disk.store().expect("certified");
    scene.input(Input::Checkpointed(block));

    let checkpoint = scene.disk.checkpoint();
    let entry = checkpoint.as_ref().expect("stored").entry;
    assert_eq!((block, entry), (BlockIndex(1), EntryNumber(6)), "five batches and an order are covered");
    assert_eq!(scene.disk.forgotten, EntryNumber(0), "who falls back to no checkpoint needs the whole log");
    // As once another checkpoint stands before which this one is the one to fall back to.
    scene.disk.forgotten = entry;
    let mut whole = scene.reopened(None, scene.disk.log(0));
    let mut pruned = scene.reopened(checkpoint.clone(), scene.disk.log(255));
    let mut kept = scene.reopened(checkpoint, scene.disk.log(0));
    assert_eq!([&mut whole, &mut pruned, &mut kept].map(|s| s.serves(executed.1)), [true, false, true]);
    let unordered: BTreeSet<_> =
        pending.into_iter().filter(|id| ![executed.1.id, open.1.id].contains(id)).collect();
    let own = *unordered.iter().find(|id| ![unnamed.1.id, named_one.1.id].contains(id)).expect("the own one");
    let own = BatchRef { id: own, ..executed.1 };
    for scene in [&mut whole, &mut pruned, &mut kept] {
        assert_eq!(scene.stored(), unordered);
        assert_eq!((scene.worker.status().pending, scene.worker.waiting_blocks()), (1, 1));
        scene.message(worker(3), Message::Batch(absent.0.clone()));
        assert_eq!(scene.worker.status().executed, BlockIndex(2), "it was still wanted");
        scene.order(order(3, 0, vec![named(0, own), named(2, unnamed.1), close(3)]));
        assert_eq!((scene.worker.status().executed, scene.worker.status().pending), (BlockIndex(3), 0));
        scene.order(order(4, 100_000, vec![]));
        assert_eq!(scene.stored(), BTreeSet::new(), "the floor has passed what was named");
    }
    let records = [&whole, &pruned, &kept].map(|scene| scene.worker.records(BlockIndex(0), 9));
    assert_eq!(records[0].len(), 3);
    assert!(records.iter().all(|other| *other == records[0]));
    assert_eq!(records[0][2].burned, Amount(5));
}
