//! A stand-in for a worker, for runs that are about beacons only: its batches come from itself, and it executes nothing.
//!
//! It spreads, stores and fetches batches as the real one does, and attests to each block a digest that follows from the
//! order, so that certification has something to do.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use fresnel_crypto::SigningKey;
use fresnel_types::{
    Action, Address, Amount, Attestation, AuthorityIndex, AuthoritySet, Batch, BatchId, BatchRef, BlockIndex,
    CommitIndex, Effect, Input, LogEntry, Machine, Message, Nonce, Order, OrderEvent, Party, PublicKey,
    RecordDigest, ShardId, Timestamp, Transaction, message::Offer, verify::Rules,
};

/// What it is started with.
pub(crate) struct Config {
    pub(crate) authority: AuthorityIndex,
    pub(crate) shard: ShardId,
    pub(crate) rules: Arc<Rules>,
    /// An account of the shard that signs everything.
    pub(crate) key: SigningKey,
    /// Microseconds between two batches.
    pub(crate) interval: u64,
}

/// The stand-in.
pub(crate) struct OpaqueWorker {
    config: Config,
    /// Batches held durably, with their authors.
    stored: BTreeMap<BatchId, Vec<u8>>,
    /// Own batches not yet ordered, with who acknowledged them.
    open: BTreeMap<BatchId, (BatchRef, AuthoritySet)>,
    /// Batches to get, with their authors.
    wanted: BTreeMap<BatchId, AuthorityIndex>,
    next: CommitIndex,
    /// Attestations not yet seen certified.
    attestations: Vec<Attestation>,
    next_batch: Timestamp,
    next_fetch: Timestamp,
    /// How often `wanted` was asked for since it was last empty.
    tries: usize,
    made: u64,
}

impl OpaqueWorker {
    pub(crate) fn open(config: Config, log: Vec<LogEntry>, now: Timestamp) -> Self {
        let next_batch = now.plus(config.interval);
        let mut worker = Self {
            config,
            stored: BTreeMap::new(),
            open: BTreeMap::new(),
            wanted: BTreeMap::new(),
            next: CommitIndex(1),
            attestations: Vec::new(),
            next_batch,
            next_fetch: now,
            tries: 0,
            made: now.0,
        };
        let mut effects = Vec::new();
        for entry in log {
            match entry {
                LogEntry::Batch(bytes) => {
                    let batch: Batch = fresnel_types::decode(&bytes).expect("only verified batches are kept");
                    let (bytes, name) = batch.seal();
                    if batch.author == worker.config.authority {
                        let own = [worker.config.authority].into_iter().collect();
                        worker.open.insert(name.id, (name, own));
                    }
                    worker.stored.insert(name.id, bytes);
                }
                LogEntry::Order(order) => worker.take_order(&order, &mut effects),
                other => panic!("a worker's log holds {other:?}"),
            }
        }
        worker
    }

    fn peers(&self) -> Vec<Party> {
        let others = self.config.rules.committee.indices().filter(|other| *other != self.config.authority);
        others.map(|other| Party::Worker(other, self.config.shard)).collect()
    }

    fn tell_beacon(&self, message: Message, effects: &mut Vec<Effect>) {
        effects.push(Effect::Send { to: vec![Party::Beacon(self.config.authority)], message });
    }

    fn offer(&self, batches: Vec<BatchRef>, attestations: Vec<Attestation>, effects: &mut Vec<Effect>) {
        let held = vec![BlockIndex(0); self.config.rules.shards.count()];
        let offer =
            Offer { shard: self.config.shard, batches, attestations, held, pending: !self.open.is_empty() };
        self.tell_beacon(Message::Offer(offer), effects);
    }

    /// Own batches that a quorum holds.
    fn named(&self) -> Vec<BatchRef> {
        let committee = &self.config.rules.committee;
        self.open.values().filter(|(_, acks)| committee.is_quorum(acks)).map(|(name, _)| *name).collect()
    }

    fn seal(&mut self, effects: &mut Vec<Effect>) {
        let Config { authority, shard, rules, key, .. } = &self.config;
        self.made += 1;
        let transaction = Transaction {
            chain: rules.chain,
            sender: PublicKey::of(key),
            nonce: Nonce(self.made),
            fee: Amount(u64::from(authority.0)),
            valid_until: Timestamp(u64::MAX),
            action: Action::Transfer { recipient: Address::default(), amount: Amount(1) },
        };
        let batch = Batch { author: *authority, shard: *shard, transactions: vec![transaction.sign(key)] };
        let (bytes, name) = batch.seal();
        self.stored.insert(name.id, bytes.clone());
        self.open.insert(name.id, (name, [*authority].into_iter().collect()));
        effects.push(Effect::Persist(LogEntry::Batch(bytes.clone())));
        effects.push(Effect::Send { to: self.peers(), message: Message::Batch(bytes) });
        if rules.committee.size() == 1 {
            self.offer(vec![name], Vec::new(), effects);
        }
    }

    fn batch(&mut self, from: Party, bytes: Vec<u8>, effects: &mut Vec<Effect>) {
        let batch: Batch = fresnel_types::decode(&bytes).expect("it was verified");
        let (bytes, name) = batch.seal();
        let id = name.id;
        if let Entry::Vacant(entry) = self.stored.entry(id) {
            entry.insert(bytes.clone());
            effects.push(Effect::Persist(LogEntry::Batch(bytes)));
        }
        self.wanted.remove(&id);
        self.tell_beacon(Message::Stored(vec![name]), effects);
        let author = Party::Worker(batch.author, self.config.shard);
        if from == author {
            effects.push(Effect::Send { to: vec![author], message: Message::BatchStored(vec![id]) });
        }
    }

    fn order(&mut self, order: Order, effects: &mut Vec<Effect>) {
        if order.commit == self.next {
            effects.push(Effect::Persist(LogEntry::Order(order.clone())));
            self.take_order(&order, effects);
            self.tell_beacon(Message::OrderStored(order.commit), effects);
        } else if order.commit > self.next {
            self.tell_beacon(Message::OrderRequest(self.next), effects);
        }
    }

    fn take_order(&mut self, order: &Order, effects: &mut Vec<Effect>) {
        self.next = order.commit.next();
        let certified = order.certified[self.config.shard.index()].block;
        self.attestations.retain(|attestation| attestation.block > certified);
        let mut fresh = Vec::new();
        let mut void = Vec::new();
        for event in &order.events {
            match event {
                OrderEvent::Batch(ordered) => {
                    self.open.remove(&ordered.batch.id);
                    if !self.stored.contains_key(&ordered.batch.id) {
                        self.wanted.insert(ordered.batch.id, ordered.author);
                    }
                }
                OrderEvent::Void(id) => void.extend(self.open.get(id).map(|(name, _)| *name)),
                OrderEvent::Close(close) => {
                    let record = RecordDigest(close.log.0);
                    fresh.push(Attestation { shard: self.config.shard, block: close.block, record });
                }
            }
        }
        self.attestations.extend(&fresh);
        if !void.is_empty() || !fresh.is_empty() {
            self.offer(void, fresh, effects);
        }
    }

    /// Asks the author of what is wanted at first, then everybody in turn.
    fn fetch(&mut self, effects: &mut Vec<Effect>) {
        let peers = self.peers();
        for (id, author) in &self.wanted {
            let mut to = Party::Worker(*author, self.config.shard);
            if self.tries > 0 || *author == self.config.authority {
                to = peers[self.tries % peers.len()];
            }
            effects.push(Effect::Send { to: vec![to], message: Message::BatchRequest(vec![*id]) });
        }
        self.tries += 1;
    }
}

impl Machine for OpaqueWorker {
    fn handle(&mut self, now: Timestamp, input: Input, effects: &mut Vec<Effect>) {
        let had_wants = !self.wanted.is_empty();
        match input {
            Input::Connected(Party::Beacon(_)) => {
                self.tell_beacon(Message::OrderRequest(self.next), effects);
                self.offer(self.named(), self.attestations.clone(), effects);
            }
            Input::Connected(peer) if self.peers().contains(&peer) => {
                for (id, _) in self.open.iter().filter(|(_, (_, acks))| {
                    peer.authority().is_some_and(|authority| !acks.contains(authority))
                }) {
                    let message = Message::Batch(self.stored[id].clone());
                    effects.push(Effect::Send { to: vec![peer], message });
                }
            }
            Input::Message { from, message } => match message.into_inner() {
                Message::Batch(bytes) => self.batch(from, bytes, effects),
                Message::BatchStored(ids) => {
                    let peer = from.authority().expect("a worker sent it");
                    for id in ids {
                        let committee = &self.config.rules.committee;
                        if let Some((name, acks)) = self.open.get_mut(&id)
                            && !committee.is_quorum(acks)
                        {
                            acks.insert(peer);
                            if committee.is_quorum(acks) {
                                let name = *name;
                                self.offer(vec![name], Vec::new(), effects);
                            }
                        }
                    }
                }
                Message::BatchRequest(ids) => {
                    for bytes in ids.iter().filter_map(|id| self.stored.get(id)) {
                        effects.push(Effect::Send { to: vec![from], message: Message::Batch(bytes.clone()) });
                    }
                }
                Message::Require { author, batches } => {
                    let (held, absent): (Vec<_>, Vec<_>) =
                        batches.into_iter().partition(|batch| self.stored.contains_key(&batch.id));
                    if !held.is_empty() {
                        self.tell_beacon(Message::Stored(held), effects);
                    }
                    self.wanted.extend(absent.into_iter().map(|batch| (batch.id, author)));
                }
                Message::Order(order) => self.order(order, effects),
                // It has no state, so it goes on from anywhere.
                Message::OrderGone(first) if first > self.next => {
                    self.next = first;
                    self.tell_beacon(Message::OrderRequest(first), effects);
                }
                _ => {}
            },
            _ => {}
        }
        if now >= self.next_batch {
            self.next_batch = now.plus(self.config.interval);
            self.seal(effects);
        }
        if !self.wanted.is_empty() && (!had_wants || now >= self.next_fetch) {
            if !had_wants {
                self.tries = 0;
            }
            self.next_fetch = now.plus(FETCH_AGAIN);
            self.fetch(effects);
        }
    }

    fn deadline(&self) -> Option<Timestamp> {
        let fetch = (!self.wanted.is_empty()).then_some(self.next_fetch);
        fetch.into_iter().chain([self.next_batch]).min()
    }
}

const FETCH_AGAIN: u64 = 200_000;
