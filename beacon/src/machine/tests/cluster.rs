//! A small cluster in one process: a message queue with delays and losses, a log and trivial workers per beacon.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use fresnel_crypto::{SigningKey, Verifier};
use fresnel_types::{
    AuthorityIndex, BatchId, BatchRef, CommitDigest, CommitIndex, Effect, Entries, EntryNumber, Input,
    LogEntry, Machine, Message, Order, Party, PublicKey, Round, ShardId, Timestamp, VertexId, message::Offer,
    verify::Rules,
};

use crate::{
    machine::{Beacon, Config},
    pacing::Pacing,
    scenario,
};

/// Beacons with their disks and workers, and everything on its way between them.
pub(super) struct Cluster {
    pub(super) rules: Arc<Rules>,
    pub(super) now: Timestamp,
    pub(super) nodes: Vec<Node>,
    /// Microseconds between two beacons.
    pub(super) delay: u64,
    /// Microseconds by which that varies.
    pub(super) jitter: u64,
    /// Whether a message gets lost, told its number.
    pub(super) loses: Losses,
    pub(super) messages: u64,
    /// How often a beacon was restored from a checkpoint, and how often it was compared in every step from there on.
    pub(super) restored: (usize, usize),
    /// Whether that is done.
    pub(super) compares: bool,
    /// Every commit that was ever seen.
    order: BTreeMap<CommitIndex, CommitDigest>,
    queue: BTreeMap<(Timestamp, u64), (Party, Party, Message)>,
    verifier: Verifier,
    /// Every vertex and vote that ever left an honest beacon, by signer and slot: invariant A3.
    signed: BTreeMap<(bool, AuthorityIndex, Round, AuthorityIndex), VertexId>,
}

/// Decides by number, sender, receiver and contents.
type Losses = Box<dyn FnMut(u64, Party, Party, &Message) -> bool>;

/// One authority.
pub(super) struct Node {
    pub(super) config: Config,
    pub(super) beacon: Option<Beacon>,
    /// Everything it ever wrote.
    pub(super) log: Vec<LogEntry>,
    /// Entries before this one are deleted.
    pub(super) forgotten: EntryNumber,
    /// The same beacon as the whole log without checkpoints restores it, given the same inputs.
    shadow: Option<Beacon>,
    /// The power goes when the log has this many entries.
    pub(super) crash_at: Option<usize>,
    /// The power goes when such an entry is in the log.
    pub(super) crashes: fn(&LogEntry) -> bool,
    /// One per shard.
    pub(super) workers: Vec<Worker>,
}

/// A worker that stores whatever it is told to, unless told otherwise.
#[derive(Default)]
pub(super) struct Worker {
    pub(super) orders: Vec<Order>,
    /// Whether it takes no orders.
    pub(super) is_stuck: bool,
    /// Batches it cannot get.
    pub(super) lacks: BTreeSet<BatchId>,
    pub(super) required: u64,
}

pub(super) fn key(index: usize) -> SigningKey {
    SigningKey::from_bytes(&[u8::try_from(index).expect("few") + 1; 32])
}

pub(super) fn batch(n: u64) -> BatchRef {
    BatchRef { id: BatchId::of(&n.to_le_bytes()), count: 1, bytes: 1_000 }
}

/// A number that looks random, the same in every run.
pub(super) fn scatter(n: u64) -> u64 {
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

impl Node {
    /// Its log from an entry on.
    pub(super) fn left(&self, first: EntryNumber) -> Entries {
        let deleted = usize::try_from(first.0).expect("few");
        Entries { first, entries: self.log[deleted..].to_vec() }
    }
}

pub(super) fn is_checkpoint(entry: &LogEntry) -> bool {
    matches!(entry, LogEntry::Checkpoint(_))
}

/// What two beacons that were restored differently must both do: all but checkpoints and answers from a longer log.
fn comparable(effects: &[Effect]) -> impl Iterator<Item = &Effect> {
    effects.iter().filter(|effect| match effect {
        Effect::Persist(entry) => !is_checkpoint(entry),
        Effect::Send { message, .. } => !matches!(message, Message::CommitRange(_)),
        Effect::Checkpoint(_) | Effect::Forget(_) | Effect::Recall(_) | Effect::Snapshot(_) => false,
    })
}

/// Compares a beacon restored from a checkpoint with one that replayed everything; whether they must do the same from
/// now on. They need not when an own vertex fell to the floor before the checkpoint: what it carried then waits only
/// at the other one, until the worker offers it again.
fn is_restored_like(beacon: &Beacon, whole: &Beacon) -> bool {
    assert_eq!(beacon.status(), whole.status());
    assert_eq!(beacon.orderer.state(), whole.orderer.state());
    assert_eq!(beacon.orderer.last(), whole.orderer.last());
    assert_eq!(beacon.orderer.commit_vote(), whole.orderer.commit_vote());
    assert_eq!(format!("{:?}", beacon.dag), format!("{:?}", whole.dag));
    assert_eq!(format!("{:?}", beacon.slots), format!("{:?}", whole.slots));
    assert_eq!(format!("{:?}", beacon.own), format!("{:?}", whole.own));
    assert_eq!(beacon.waiting, whole.waiting);
    assert!(beacon.pending.past().eq(whole.pending.past()));
    let digests = beacon.commit_digests(CommitIndex(1));
    let first = digests.first().expect("the checkpoint's commit").0;
    assert_eq!(digests, whole.commit_digests(first));
    beacon.pending == whole.pending
}

impl Cluster {
    pub(super) fn new(size: usize, floor_depth: u64) -> Self {
        let rules = scenario::rules(size, 2, |genesis| {
            genesis.parameters.floor_depth = floor_depth;
            // Nobody attests here, and nothing shall be void for it.
            genesis.parameters.lag_max = 100_000;
            for (index, authority) in genesis.authorities.iter_mut().enumerate() {
                authority.consensus_key = PublicKey(key(index).public());
            }
        });
        let rules = Arc::new(rules);
        let now = Timestamp(1_000_000);
        let node = |index: usize| Node {
            config: Config {
                authority: AuthorityIndex(u16::try_from(index).expect("few")),
                rules: Arc::clone(&rules),
                key: key(index),
                pacing: Pacing::default(),
                checkpoint_commits: 0,
            },
            beacon: None,
            log: vec![],
            forgotten: EntryNumber(0),
            shadow: None,
            crash_at: None,
            crashes: |_| false,
            workers: vec![Worker::default(), Worker::default()],
        };
        Self {
            nodes: (0..size).map(node).collect(),
            rules,
            now,
            delay: 1_000,
            jitter: 0,
            loses: Box::new(|_, _, _, _| false),
            messages: 0,
            restored: (0, 0),
            compares: true,
            order: BTreeMap::new(),
            queue: BTreeMap::new(),
            verifier: Verifier::with_seed([7; 32]).remembering(100_000),
            signed: BTreeMap::new(),
        }
    }

    /// All of them running.
    pub(super) fn started(size: usize, floor_depth: u64) -> Self {
        let mut cluster = Self::new(size, floor_depth);
        (0..size).for_each(|index| cluster.start(index));
        cluster
    }

    /// Opens a beacon from what is left of its log; its workers ask for their orders, links to the others come up.
    pub(super) fn start(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        let beacon = Beacon::open(node.config.clone(), node.left(node.forgotten), self.now);
        let beacon = beacon.expect("its own log");
        if self.compares && node.forgotten > EntryNumber(0) {
            let whole: Vec<LogEntry> =
                node.log.iter().filter(|entry| !is_checkpoint(entry)).cloned().collect();
            let config = Config { checkpoint_commits: u64::MAX, ..node.config.clone() };
            let shadow = Beacon::open(config, whole.into(), self.now).expect("its own log");
            self.restored.0 += 1;
            if is_restored_like(&beacon, &shadow) {
                self.restored.1 += 1;
                node.shadow = Some(shadow);
            }
        }
        node.beacon = Some(beacon);
        for shard in self.rules.shards.iter() {
            let next = self.nodes[index].workers[shard.index()].orders.len() as u64 + 1;
            self.say(index, shard, Message::OrderRequest(CommitIndex(next)));
        }
        for other in 0..self.nodes.len() {
            if other != index && self.nodes[other].beacon.is_some() {
                self.connect(index, other);
            }
        }
    }

    pub(super) fn connect(&mut self, one: usize, other: usize) {
        for (at, peer) in [(one, other), (other, one)] {
            let peer = Party::Beacon(self.nodes[peer].config.authority);
            self.handle(at, Input::Connected(peer));
        }
    }

    /// Power off: what is not in the log is gone.
    pub(super) fn stop(&mut self, index: usize) {
        self.nodes[index].beacon = None;
        self.nodes[index].shadow = None;
        self.nodes[index].crash_at = None;
        self.nodes[index].crashes = |_| false;
    }

    pub(super) fn beacon(&self, index: usize) -> &Beacon {
        self.nodes[index].beacon.as_ref().expect("running")
    }

    pub(super) fn commits(&self, index: usize) -> Vec<(CommitIndex, CommitDigest)> {
        self.beacon(index).commit_digests(CommitIndex(1))
    }

    /// A worker's message to its own beacon.
    pub(super) fn say(&mut self, index: usize, shard: ShardId, message: Message) {
        let authority = self.nodes[index].config.authority;
        self.deliver(Party::Worker(authority, shard), Party::Beacon(authority), message);
    }

    pub(super) fn offer(&mut self, index: usize, shard: ShardId, batches: Vec<BatchRef>) {
        self.say(index, shard, Message::Offer(Offer { shard, batches, ..Offer::default() }));
    }

    /// A message that somebody sent, now.
    pub(super) fn deliver(&mut self, from: Party, to: Party, message: Message) {
        let Party::Beacon(authority) = to else { panic!("workers and clients are answered in `handle`") };
        let message = self.rules.verify_one(&mut self.verifier, message).expect("honest messages verify");
        if self.nodes[authority.index()].beacon.is_some() {
            self.handle(authority.index(), Input::Message { from, message });
        }
    }

    /// One step of one beacon, with all effects.
    pub(super) fn handle(&mut self, index: usize, input: Input) {
        let node = &mut self.nodes[index];
        let Some(beacon) = &mut node.beacon else { return };
        let mut effects = vec![];
        take(beacon, self.now, input.clone(), &mut effects);
        if let Some(shadow) = &mut node.shadow {
            let mut expected = vec![];
            take(shadow, self.now, input, &mut expected);
            assert!(comparable(&effects).eq(comparable(&expected)), "{effects:?}\nexpected {expected:?}");
        }
        if let Some(deadline) = beacon.deadline() {
            assert!(deadline > self.now, "a deadline in the past after it was handled: {deadline}");
        }
        for effect in &effects {
            if let Effect::Persist(entry) = effect {
                node.log.push(entry.clone());
                if node.crash_at == Some(node.log.len()) || (node.crashes)(entry) {
                    self.stop(index);
                    return;
                }
            }
        }
        let me = Party::Beacon(node.config.authority);
        for effect in &effects {
            if let Effect::Forget(number) = effect {
                assert!(*number >= node.forgotten, "what is forgotten stays forgotten");
                node.forgotten = *number;
            }
        }
        for effect in effects {
            if let Effect::Send { to, message } = effect {
                self.watch(index, &message);
                for party in to {
                    assert_ne!(party, me, "nobody sends to itself");
                    assert!(message.may_pass(me, party), "{message:?} to {party:?}");
                    self.post(me, party, message.clone());
                }
            }
        }
    }

    fn post(&mut self, from: Party, to: Party, message: Message) {
        self.messages += 1;
        match to {
            Party::Worker(authority, shard) => self.work(authority, shard, message),
            Party::Beacon(_) => {
                if !(self.loses)(self.messages, from, to, &message) {
                    let jitter = if self.jitter == 0 { 0 } else { scatter(self.messages) % self.jitter };
                    let at = self.now.plus(self.delay + jitter);
                    self.queue.insert((at, self.messages), (from, to, message));
                }
            }
            Party::Client(_) => {}
        }
    }

    fn work(&mut self, authority: AuthorityIndex, shard: ShardId, message: Message) {
        let worker = &mut self.nodes[authority.index()].workers[shard.index()];
        let answer = match message {
            Message::Require { batches, .. } => {
                worker.required += 1;
                let here = batches.into_iter().filter(|batch| !worker.lacks.contains(&batch.id));
                Message::Stored(here.collect())
            }
            Message::Order(_) if worker.is_stuck => return,
            Message::Order(order) => {
                let last = worker.orders.len() as u64;
                if order.commit.0 <= last {
                    assert_eq!(worker.orders[order.commit.0 as usize - 1], order, "orders never change");
                } else {
                    assert_eq!(order.commit.0, last + 1, "orders come without gaps");
                    worker.orders.push(order);
                }
                Message::OrderStored(CommitIndex(worker.orders.len() as u64))
            }
            _ => return,
        };
        self.messages += 1;
        let (from, to) = (Party::Worker(authority, shard), Party::Beacon(authority));
        self.queue.insert((self.now.plus(10), self.messages), (from, to, answer));
    }

    /// A3: nobody signs two vertices or two votes for a slot, whatever was lost in between.
    fn watch(&mut self, index: usize, message: &Message) {
        let me = self.nodes[index].config.authority;
        let mut note = |is_vote, slot: (Round, AuthorityIndex), id| {
            let earlier = *self.signed.entry((is_vote, me, slot.0, slot.1)).or_insert(id);
            assert_eq!(earlier, id, "A3: {me} signed twice in round {} of {}", slot.0, slot.1);
        };
        match message {
            Message::Proposal(vertex) => {
                let reference = vertex.vertex.head.reference();
                note(false, (reference.round, reference.author), reference.id);
            }
            Message::Votes(votes) => {
                for vote in votes {
                    note(true, (vote.vertex.round, vote.vertex.author), vote.vertex.id);
                }
            }
            _ => {}
        }
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, micros: u64) {
        let end = self.now.plus(micros);
        loop {
            let message = self.queue.first_key_value().map(|((at, _), _)| *at);
            let deadlines = self.nodes.iter().enumerate();
            let tick =
                deadlines.filter_map(|(index, node)| Some((node.beacon.as_ref()?.deadline()?, index))).min();
            let next = message.into_iter().chain(tick.map(|(at, _)| at)).min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = next.max(self.now);
            if message == Some(next) {
                let (_, (from, to, message)) = self.queue.pop_first().expect("looked at above");
                self.deliver(from, to, message);
            } else if let Some((_, index)) = tick {
                self.handle(index, Input::Tick);
            }
        }
        self.now = end;
    }

    /// A1: orders are prefixes of one another. Gives the length of the shortest and the longest.
    pub(super) fn check_agreement(&mut self) -> (usize, usize) {
        let running = (0..self.nodes.len()).filter(|index| self.nodes[*index].beacon.is_some());
        let mut lengths = vec![];
        for index in running.collect::<Vec<_>>() {
            for (commit, digest) in self.commits(index) {
                let known = *self.order.entry(commit).or_insert(digest);
                assert_eq!(known, digest, "A1: commit {commit} of {index} is another one");
            }
            lengths.push(usize::try_from(self.beacon(index).status().commit.0).expect("few"));
        }
        (*lengths.iter().min().expect("somebody runs"), *lengths.iter().max().expect("somebody runs"))
    }

    /// The batches that took effect for a shard at an authority, in order.
    pub(super) fn effective(&self, index: usize, shard: usize) -> Vec<BatchId> {
        let orders = &self.nodes[index].workers[shard].orders;
        let events = orders.iter().flat_map(|order| &order.events);
        events
            .filter_map(|event| match event {
                fresnel_types::OrderEvent::Batch(ordered) => Some(ordered.batch.id),
                _ => None,
            })
            .collect()
    }
}

/// Hands a beacon an input, and a tick when it wants one at once, as drivers do.
fn take(beacon: &mut Beacon, now: Timestamp, input: Input, effects: &mut Vec<Effect>) {
    beacon.handle(now, input, effects);
    if beacon.deadline().is_some_and(|deadline| deadline <= now) {
        beacon.handle(now, Input::Tick, effects);
    }
}
