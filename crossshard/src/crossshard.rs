//! The sub-machine: an outbox for the own shard, an inbox and a fetch for every other.

use std::{collections::VecDeque, sync::Arc};

use fresnel_types::{
    AuthorityIndex, BlockIndex, Bundle, Close, Effect, Message, Party, PeerCounters, Receipt, Record,
    ShardId, Timestamp, commit::Certified, leaves::PairLeaf, verify::Rules,
};

use crate::{
    fetch::Fetch,
    inbox::{self, Inbox, Origin},
    limits::{ANSWER_BUNDLES_MAX, ANSWER_BYTES_MAX, CONSUMED_BYTES_MAX, QUANTUM},
    outbox::Outbox,
};

mod snapshot;

pub use snapshot::Piece;

/// The receipts of a worker.
#[derive(Debug)]
pub struct CrossShard {
    authority: AuthorityIndex,
    shard: ShardId,
    rules: Arc<Rules>,
    outbox: Outbox,
    /// One per shard; the own one stays empty.
    inboxes: Vec<Inbox>,
    fetches: Vec<Fetch>,
    counters: Counters,
}

/// What a block takes from other shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Bundles that the block needs are missing or do not match the certified record: they are being fetched. Ask
    /// again after the next message or tick.
    Waiting,
    /// The same at every worker of the shard.
    Ready {
        /// To be consumed in this order, each with its source.
        receipts: Vec<(ShardId, Receipt)>,
        /// What a block with input first copies into its pair leaves, ascending by shard.
        peers: Vec<PeerCounters>,
        /// For the totals leaf of a block with input.
        next_source: ShardId,
    },
}

/// What happened since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Bundles accepted.
    pub accepted: u64,
    /// Bundles that were known, did not fit or were not asked for.
    pub refused: u64,
    /// Requests for missing bundles.
    pub requested: u64,
    /// Times that bundles taken here were not what the log certified.
    pub contradicted: u64,
}

impl CrossShard {
    /// Nothing emitted, nothing received.
    pub fn new(authority: AuthorityIndex, shard: ShardId, rules: Arc<Rules>) -> Self {
        let count = rules.shards.count();
        Self {
            authority,
            shard,
            outbox: Outbox::default(),
            inboxes: (0..count).map(|_| Inbox::new(shard, CONSUMED_BYTES_MAX / count)).collect(),
            fetches: (0..count).map(|_| Fetch::default()).collect(),
            counters: Counters::default(),
            rules,
        }
    }

    /// Takes a bundle from the log, in the log's order. The own records come back through [`Self::emit`] as the blocks
    /// are executed again.
    pub fn recover_bundle(&mut self, bundle: Bundle) {
        let inbox = &mut self.inboxes[bundle.record.shard.index()];
        inbox.accept(bundle, Origin::Log);
        inbox.confirm(None);
    }

    /// What the own record of a block owes a shard, as long as it is kept.
    pub fn own_bundle(&self, destination: ShardId, block: BlockIndex) -> Option<Bundle> {
        let before = BlockIndex(block.0.checked_sub(1)?);
        self.outbox.after(destination, before).next().filter(|bundle| bundle.record.block == block)
    }

    /// The own shard's next record with what it owes, one list per shard: keeps it and tells the own siblings, each
    /// of which gets a bundle, maybe an empty one, since the chain of records has no gaps.
    pub fn emit(&mut self, record: &Record, outbox: Vec<Vec<Receipt>>, effects: &mut Vec<Effect>) {
        assert_eq!(record.shard, self.shard, "a worker emits records of its own shard");
        self.outbox.push(record, outbox);
        for destination in self.others() {
            let bundle = self.outbox.newest(destination).expect("just pushed");
            effects.push(send(Party::Worker(self.authority, destination), Message::Bundle(Box::new(bundle))));
        }
        let (own, inboxes) = (self.shard, &self.inboxes);
        let cursor = |shard: ShardId| {
            inboxes[shard.index()]
                .newest_verified()
                .map_or(0, |bundle| bundle.record.pairs[own.index()].cursor())
        };
        self.outbox.prune(cursor, own);
    }

    /// `Bundle`, which was checked for its form, and `BundleRequest`. Others are ignored.
    pub fn handle(&mut self, now: Timestamp, from: Party, message: Message, effects: &mut Vec<Effect>) {
        match message {
            Message::Bundle(bundle) => self.bundle(now, from, *bundle, effects),
            Message::BundleRequest { source, destination, after } => {
                self.answer(from, source, destination, after, effects);
            }
            _ => {}
        }
    }

    fn bundle(&mut self, now: Timestamp, from: Party, bundle: Bundle, effects: &mut Vec<Effect>) {
        let source = bundle.record.shard;
        if source == self.shard || bundle.destination != self.shard || !self.rules.shards.contains(source) {
            self.counters.refused += 1;
            return;
        }
        let inbox = &mut self.inboxes[source.index()];
        let fetch = &mut self.fetches[source.index()];
        let asked = fetch.target == Some(from);
        let sibling = from == Party::Worker(self.authority, source) && inbox.believes_sibling();
        if !sibling && !asked {
            self.counters.refused += 1;
            return;
        }
        let verified = inbox.verified_block();
        if inbox.accept(bundle, if sibling { Origin::Sibling } else { Origin::Peer }) {
            self.counters.accepted += 1;
        } else {
            self.counters.refused += 1;
        }
        if self.confirm(now, source, effects) {
            return;
        }
        let inbox = &self.inboxes[source.index()];
        let fetch = &mut self.fetches[source.index()];
        if sibling {
            fetch.sibling_speaks();
        }
        if asked && inbox.verified_block() > verified {
            fetch.progress(now);
        }
        if asked {
            fetch.answered += 1;
            if fetch.answered >= ANSWER_BUNDLES_MAX && inbox.is_missing() {
                fetch.answered = 0;
                self.counters.requested += 1;
                effects.push(request(from, source, self.shard, inbox.last_block()));
            }
        }
        self.settle_fetch(now, source);
    }

    fn answer(
        &self,
        from: Party,
        source: ShardId,
        destination: ShardId,
        after: BlockIndex,
        effects: &mut Vec<Effect>,
    ) {
        let known = self.rules.shards.contains(source) && self.rules.shards.contains(destination);
        if !known || source == destination {
            return;
        }
        let mut bytes = 0;
        let mut give = |bundle: Bundle| {
            bytes += inbox::size(&bundle);
            effects.push(send(from, Message::Bundle(Box::new(bundle))));
            bytes < ANSWER_BYTES_MAX
        };
        if source == self.shard && from == Party::Worker(self.authority, destination) {
            let _full = self.outbox.after(destination, after).take(ANSWER_BUNDLES_MAX).all(give);
        } else if destination == self.shard && matches!(from, Party::Worker(_, shard) if shard == self.shard)
        {
            let mut bundles = self.inboxes[source.index()].verified_after(after).take(ANSWER_BUNDLES_MAX);
            let _full = bundles.all(|bundle| give(bundle.clone()));
        }
    }

    /// What the log certified, after each order.
    pub fn certified(&mut self, now: Timestamp, certified: &[Certified], effects: &mut Vec<Effect>) {
        assert_eq!(certified.len(), self.rules.shards.count(), "an order has one certified record per shard");
        for source in self.others() {
            self.inboxes[source.index()].claim(&certified[source.index()]);
            if !self.confirm(now, source, effects) {
                self.settle_fetch(now, source);
            }
        }
    }

    /// Whether the chain of `source` was contradicted; others are then asked for it.
    fn confirm(&mut self, now: Timestamp, source: ShardId, effects: &mut Vec<Effect>) -> bool {
        let contradicted = self.inboxes[source.index()].confirm(Some(effects));
        if contradicted {
            self.counters.contradicted += 1;
            self.fetches[source.index()].contradicted(now);
        }
        contradicted
    }

    fn settle_fetch(&mut self, now: Timestamp, source: ShardId) {
        if self.inboxes[source.index()].is_missing() {
            self.fetches[source.index()].missing(now);
        } else {
            self.fetches[source.index()].complete();
        }
    }

    /// Per source, up to which block all bundles are here, durably once the effects so far are; the own entry is 0.
    /// Never falls: if the own sibling told other bundles than were certified, this authority has told a falsehood,
    /// which counts towards f, and gets the true ones from others.
    pub fn held(&self) -> Vec<BlockIndex> {
        self.inboxes.iter().map(Inbox::told).collect()
    }

    /// What the block that `close` ends takes. `pairs` and `next_source` are the leaves before the block. Blocks come
    /// in order; one may be asked for again.
    pub fn deliver(
        &mut self,
        now: Timestamp,
        close: &Close,
        pairs: &dyn Fn(ShardId) -> PairLeaf,
        next_source: ShardId,
        effects: &mut Vec<Effect>,
    ) -> Delivery {
        self.certified(now, &close.certified, effects);
        let mut waiting = false;
        for source in self.others() {
            if !self.inboxes[source.index()].is_ready(close.usable[source.index()]) {
                self.fetches[source.index()].urgent(now);
                waiting = true;
            }
        }
        if waiting {
            return Delivery::Waiting;
        }
        let mut peers = Vec::new();
        for source in self.others() {
            let (leaf, usable) = (pairs(source), close.usable[source.index()]);
            let inbox = &mut self.inboxes[source.index()];
            inbox.prune(leaf.own.cursor(), usable);
            if let Some(record) = inbox.usable_record(usable).filter(|record| record.block > leaf.peer_block)
            {
                let pair = &record.pairs[self.shard.index()];
                peers.push(PeerCounters {
                    shard: source,
                    block: record.block,
                    consumed: pair.consumed,
                    bounced: pair.bounced,
                });
            }
        }
        let (receipts, next_source) = self.take(close, pairs, next_source);
        Delivery::Ready { receipts, peers, next_source }
    }

    /// Deficit round robin with a quantum of receipts per turn; every receipt costs the same, so no deficit is carried.
    fn take(
        &self,
        close: &Close,
        pairs: &dyn Fn(ShardId) -> PairLeaf,
        next_source: ShardId,
    ) -> (Vec<(ShardId, Receipt)>, ShardId) {
        let count = self.rules.shards.count();
        let after = |shard: ShardId, steps: usize| ShardId(((shard.index() + steps) % count) as u16);
        let mut turns: VecDeque<_> = (0..count)
            .map(|steps| after(next_source, steps))
            .filter(|source| *source != self.shard)
            .map(|source| {
                let (cursor, usable) = (pairs(source).own.cursor(), close.usable[source.index()]);
                (source, self.inboxes[source.index()].deliverable(cursor, usable))
            })
            .collect();
        let budget = self.rules.parameters.delivery_max as usize;
        let (mut receipts, mut next_source) = (Vec::new(), next_source);
        while receipts.len() < budget
            && let Some((source, mut lane)) = turns.pop_front()
        {
            let before = receipts.len();
            let turn = QUANTUM.min(budget - before);
            receipts.extend(lane.by_ref().take(turn).map(|receipt| (source, *receipt)));
            if receipts.len() > before {
                next_source = after(source, 1);
            }
            if receipts.len() == before + turn {
                turns.push_back((source, lane));
            }
        }
        (receipts, next_source)
    }

    /// The bundles of `source` after a block whose records are known to be certified, ascending, as long as they are
    /// kept: what `source` consumed and bounced.
    pub fn verified(&self, source: ShardId, after: BlockIndex) -> impl Iterator<Item = &Bundle> {
        self.inboxes[source.index()].verified_after(after)
    }

    /// Whether receipts are here that no block has consumed yet: a reason for the order to go on.
    pub fn has_undelivered(&self, pairs: &dyn Fn(ShardId) -> PairLeaf) -> bool {
        self.others().any(|source| self.inboxes[source.index()].has_undelivered(pairs(source).own.cursor()))
    }

    /// A link was established (again): what the sibling emitted meanwhile is asked for.
    pub fn connected(&mut self, _now: Timestamp, party: Party, effects: &mut Vec<Effect>) {
        if let Party::Worker(authority, source) = party
            && authority == self.authority
            && source != self.shard
            && self.inboxes[source.index()].believes_sibling()
        {
            self.counters.requested += 1;
            effects.push(request(party, source, self.shard, self.inboxes[source.index()].last_block()));
        }
    }

    /// Asks for what is missing.
    pub fn tick(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        for source in self.others() {
            let inbox = &self.inboxes[source.index()];
            let fetch = &mut self.fetches[source.index()];
            if fetch.deadline.is_none_or(|deadline| deadline > now) {
                continue;
            }
            if !inbox.is_missing() {
                fetch.complete();
                continue;
            }
            let sibling = inbox.believes_sibling().then_some(source);
            if let Some(target) = fetch.next(now, &self.rules, (self.authority, self.shard), sibling) {
                let after = if fetch.from_confirmed { inbox.confirmed_block() } else { inbox.last_block() };
                self.counters.requested += 1;
                effects.push(request(target, source, self.shard, after));
            }
        }
    }

    /// When [`Self::tick`] must be called.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.fetches.iter().filter_map(|fetch| fetch.deadline).min()
    }

    /// What happened since the start.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    fn others(&self) -> impl Iterator<Item = ShardId> + use<> {
        let own = self.shard;
        self.rules.shards.iter().filter(move |shard| *shard != own)
    }
}

fn send(to: Party, message: Message) -> Effect {
    Effect::Send { to: vec![to], message }
}

fn request(to: Party, source: ShardId, destination: ShardId, after: BlockIndex) -> Effect {
    send(to, Message::BundleRequest { source, destination, after })
}
