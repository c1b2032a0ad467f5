//! Whole toy networks: every authority's worker of every shard, random transfers and bounces, links that lose, delay and
//! reorder, a worker that is frozen for good, and one that restarts. The test plays the beacon.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::*;

const AUTHORITIES: u16 = 4;
const BLOCK: u64 = 20_000;
const ENDOWMENT: u64 = 10_000;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

#[derive(Clone, Copy, Debug)]
struct Setting {
    seed: u64,
    shards: u16,
    loss: u64,
    window: u64,
    delivery_max: u64,
    /// Blocks with transactions.
    busy: u64,
    frozen: Option<(u16, u16)>,
    restarting: (u16, u16),
}

/// A worker with a toy executor: a shard owns one balance and sends parts of it.
struct Toy {
    setting: Setting,
    authority: AuthorityIndex,
    shard: ShardId,
    cross: CrossShard,
    pairs: Vec<PairLeaf>,
    next_source: ShardId,
    balance: u64,
    range: Mmr,
    attested: BTreeMap<BlockIndex, RecordDigest>,
    closes: VecDeque<Close>,
    /// What survives a crash.
    log: (Vec<Bundle>, Vec<Close>),
}

impl Toy {
    fn new(setting: Setting, rules: &Arc<Rules>, authority: u16, shard: u16) -> Self {
        Self {
            setting,
            authority: AuthorityIndex(authority),
            shard: ShardId(shard),
            cross: CrossShard::new(AuthorityIndex(authority), ShardId(shard), rules.clone()),
            pairs: vec![PairLeaf::default(); usize::from(setting.shards)],
            next_source: ShardId(0),
            balance: ENDOWMENT,
            range: Mmr::default(),
            attested: BTreeMap::new(),
            closes: VecDeque::new(),
            log: (vec![], vec![]),
        }
    }

    /// The same worker after its memory was lost.
    fn restarted(&self, rules: &Arc<Rules>, now: Timestamp, effects: &mut Vec<Effect>) -> Self {
        let mut toy = Self::new(self.setting, rules, self.authority.0, self.shard.0);
        toy.log = self.log.clone();
        toy.closes = self.log.1.iter().cloned().collect();
        for bundle in &self.log.0 {
            toy.cross.recover_bundle(bundle.clone());
        }
        assert_eq!(toy.cross.held(), self.cross.held(), "what was told is durable");
        toy.execute(now, &mut vec![]);
        for source in (0..self.setting.shards).filter(|source| *source != self.shard.0) {
            toy.cross.connected(now, Party::Worker(self.authority, ShardId(source)), effects);
        }
        toy
    }

    /// Executes the closed blocks that are complete.
    fn execute(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        while let Some(close) = self.closes.front().cloned() {
            let pairs = self.pairs.clone();
            let leaves = |shard: ShardId| pairs[shard.index()];
            match self.cross.deliver(now, &close, &leaves, self.next_source, effects) {
                Delivery::Waiting => return,
                Delivery::Ready { receipts, peers, next_source } => {
                    self.closes.pop_front();
                    self.block(&close, &receipts, &peers, next_source, effects);
                }
            }
        }
    }

    fn block(
        &mut self,
        close: &Close,
        receipts: &[(ShardId, Receipt)],
        peers: &[PeerCounters],
        next_source: ShardId,
        effects: &mut Vec<Effect>,
    ) {
        let mut random =
            Random((self.setting.seed ^ close.block.0 << 20 ^ u64::from(self.shard.0) << 50) | 1);
        for _ in 0..8 {
            random.below(2);
        }
        let transactions =
            if close.block.0 <= self.setting.busy { random.below(6).saturating_sub(2) } else { 0 };
        if receipts.is_empty() && transactions == 0 {
            return;
        }
        for peer in peers {
            let leaf = &mut self.pairs[peer.shard.index()];
            assert!(peer.block > leaf.peer_block && peer.consumed.count >= leaf.peer_consumed.count);
            leaf.peer_block = peer.block;
            (leaf.peer_consumed, leaf.peer_bounced) = (peer.consumed, peer.bounced);
        }
        self.next_source = next_source;
        let mut outbox = vec![vec![]; self.pairs.len()];
        for (source, receipt) in receipts {
            let own = &mut self.pairs[source.index()].own;
            assert_eq!(receipt.sequence.0, own.cursor(), "X2: once and in order");
            match receipt.kind {
                ReceiptKind::Request { sender, amount, .. } if amount.0 % 7 == 0 => {
                    let kind = ReceiptKind::Bounce {
                        recipient: sender,
                        amount,
                        asset: fresnel_types::action::Asset::Native,
                        code: fresnel_types::FailureCode::BelowAccountMinimum,
                    };
                    let sequence = Sequence(own.emitted());
                    outbox[source.index()].push(Receipt { sequence, transaction: receipt.transaction, kind });
                    own.consumed.add(amount);
                    own.bounced.add(amount);
                }
                ReceiptKind::Request { amount, .. } => {
                    own.consumed.add(amount);
                    self.balance += amount.0;
                }
                ReceiptKind::Bounce { amount, .. } => {
                    own.returned.add(amount);
                    self.balance += amount.0;
                }
            }
        }
        for _ in 0..transactions {
            let destination = random.below(u64::from(self.setting.shards)) as usize;
            let amount = 1 + random.below(30);
            let leaf = &mut self.pairs[destination];
            let refused = leaf.outstanding() >= self.setting.window || self.balance < amount;
            if destination == self.shard.index() || refused {
                continue;
            }
            outbox[destination].push(request(leaf.own.emitted(), amount));
            leaf.own.sent.add(Amount(amount));
            self.balance -= amount;
        }
        let pairs = self.pairs.iter().map(|leaf| leaf.own).collect();
        let mut record = record(self.shard, close.block, &self.range, pairs, &outbox);
        record.supply = Amount(self.balance);
        self.range.append_record(&record.digest());
        self.attested.insert(close.block, record.digest());
        self.cross.emit(&record, outbox, effects);
    }
}

/// Everybody, the links, and what the order has said.
struct Network {
    setting: Setting,
    rules: Arc<Rules>,
    random: Random,
    now: Timestamp,
    toys: Vec<Toy>,
    wire: Vec<(Timestamp, Party, Party, Message)>,
    certified: Vec<Certified>,
    /// Per destination and source.
    usable: Vec<Vec<BlockIndex>>,
    block: u64,
}

impl Network {
    fn new(setting: Setting) -> Self {
        let rules = rules(AUTHORITIES as u8, setting.shards, setting.delivery_max, setting.window);
        let toys = (0..AUTHORITIES)
            .flat_map(|a| (0..setting.shards).map(move |s| (a, s)))
            .map(|(a, s)| Toy::new(setting, &rules, a, s))
            .collect();
        let shards = usize::from(setting.shards);
        Self {
            setting,
            rules,
            random: Random(setting.seed | 1),
            now: Timestamp(1_000_000),
            toys,
            wire: vec![],
            certified: vec![Certified::default(); shards],
            usable: vec![vec![BlockIndex(0); shards]; shards],
            block: 0,
        }
    }

    fn place(&self, authority: u16, shard: u16) -> usize {
        usize::from(authority * self.setting.shards + shard)
    }

    fn is_frozen(&self, place: usize) -> bool {
        self.setting.frozen.is_some_and(|(a, s)| self.place(a, s) == place)
    }

    fn release(&mut self, place: usize, effects: Vec<Effect>) {
        let from = Party::Worker(self.toys[place].authority, self.toys[place].shard);
        for effect in effects {
            match effect {
                Effect::Persist(LogEntry::Bundle(bundle)) => self.toys[place].log.0.push(bundle),
                Effect::Persist(_)
                | Effect::Checkpoint(_)
                | Effect::Forget(_)
                | Effect::Recall(_)
                | Effect::Snapshot(_) => {
                    panic!("{effect:?} is not for the log of a worker's receipts")
                }
                Effect::Send { to, message } => {
                    for to in to {
                        assert!(message.may_pass(from, to), "{from:?} to {to:?}");
                        if self.random.below(100) >= self.setting.loss {
                            let at = self.now.plus(self.random.below(3 * BLOCK));
                            self.wire.push((at, from, to, message.clone()));
                        }
                    }
                }
            }
        }
    }

    /// Messages and deadlines up to the next close, then the close.
    fn step(&mut self) {
        let end = self.now.plus(BLOCK);
        while let Some(next) = self.next_event().filter(|next| *next < end) {
            self.now = self.now.max(next);
            self.run_due();
        }
        self.now = end;
        self.close();
    }

    fn next_event(&self) -> Option<Timestamp> {
        let deadlines = self.toys.iter().enumerate().filter(|(place, _)| !self.is_frozen(*place));
        let deadlines = deadlines.filter_map(|(_, toy)| toy.cross.deadline());
        deadlines.chain(self.wire.iter().map(|(at, ..)| *at)).min()
    }

    fn run_due(&mut self) {
        let now = self.now;
        let due: Vec<_> = self.wire.extract_if(.., |(at, ..)| *at <= now).collect();
        for (_, from, to, message) in due {
            let Party::Worker(authority, shard) = to else { panic!("only workers are spoken to") };
            let place = self.place(authority.0, shard.0);
            if self.is_frozen(place) {
                continue;
            }
            if let Message::Bundle(bundle) = &message {
                assert!(bundle.is_consistent());
            }
            let mut effects = vec![];
            self.toys[place].cross.handle(now, from, message, &mut effects);
            self.toys[place].execute(now, &mut effects);
            self.release(place, effects);
        }
        for place in 0..self.toys.len() {
            if !self.is_frozen(place) && self.toys[place].cross.deadline().is_some_and(|at| at <= now) {
                let mut effects = vec![];
                self.toys[place].cross.tick(now, &mut effects);
                self.toys[place].execute(now, &mut effects);
                self.release(place, effects);
            }
        }
    }

    /// Closes a block for everybody, then counts attestations and what is held, as the beacons would.
    fn close(&mut self) {
        self.block += 1;
        let shards = usize::from(self.setting.shards);
        let (certified, usable) = (self.certified.clone(), self.usable.clone());
        self.count();
        for place in 0..self.toys.len() {
            if self.is_frozen(place) {
                continue;
            }
            let shard = self.toys[place].shard.index();
            let close = Close {
                block: BlockIndex(self.block),
                time: self.now,
                opened: self.now,
                log: LogDigest::default(),
                certified: certified.clone(),
                usable: usable[shard].clone(),
            };
            let mut effects = vec![];
            let toy = &mut self.toys[place];
            toy.log.1.push(close.clone());
            toy.closes.push_back(close);
            toy.cross.certified(self.now, &self.certified, &mut effects);
            toy.execute(self.now, &mut effects);
            self.release(place, effects);
        }
        for shard in 0..shards {
            let attested: Vec<_> = self.of_shard(shard).map(|toy| &toy.attested).collect();
            for (block, digest) in attested[0] {
                assert!(
                    attested.iter().all(|other| other.get(block).is_none_or(|other| other == digest)),
                    "E1: records of shard {shard} differ at block {block}"
                );
            }
        }
    }

    fn of_shard(&self, shard: usize) -> impl Iterator<Item = &Toy> {
        self.toys.iter().filter(move |toy| toy.shard.index() == shard)
    }

    fn count(&mut self) {
        let shards = usize::from(self.setting.shards);
        for source in 0..shards {
            let mut lasts: Vec<_> = self
                .of_shard(source)
                .map(|toy| toy.attested.last_key_value().map(|(b, d)| (*b, *d)))
                .collect();
            lasts.sort();
            // Three of four attested this block or a later one.
            if let Some((block, record)) = lasts[1]
                && block > self.certified[source].block
            {
                self.certified[source] = Certified { block, record };
            }
        }
        for destination in 0..shards {
            for source in 0..shards {
                let mut held: Vec<_> =
                    self.of_shard(destination).map(|toy| toy.cross.held()[source]).collect();
                held.sort();
                let usable = held[2].min(self.certified[source].block);
                let before = self.usable[destination][source];
                self.usable[destination][source] = usable.max(before);
            }
        }
    }

    fn is_settled(&self) -> bool {
        self.toys.iter().enumerate().filter(|(place, _)| !self.is_frozen(*place)).all(|(_, toy)| {
            toy.closes.is_empty()
                && toy.pairs.iter().enumerate().all(|(other, leaf)| {
                    self.of_shard(other).any(|peer| {
                        let back = &peer.pairs[toy.shard.index()].own;
                        back.emitted() == leaf.own.cursor() && back.cursor() == leaf.own.emitted()
                    })
                })
        })
    }
}

fn run(setting: Setting) {
    let mut network = Network::new(setting);
    let (a, s) = setting.restarting;
    while network.block <= setting.busy || !network.is_settled() {
        assert!(network.block < setting.busy + 2_000, "X4: {setting:?} does not settle");
        network.step();
        if network.block == setting.busy / 2 {
            let place = network.place(a, s);
            let mut effects = vec![];
            network.toys[place] = network.toys[place].restarted(&network.rules, network.now, &mut effects);
            network.release(place, effects);
        }
    }
    let mut sum = 0;
    let mut sent = 0;
    for shard in 0..usize::from(setting.shards) {
        let toys: Vec<_> = network
            .toys
            .iter()
            .enumerate()
            .filter(|(place, toy)| !network.is_frozen(*place) && toy.shard.index() == shard)
            .map(|(_, toy)| toy)
            .collect();
        assert!(toys.iter().all(|toy| toy.balance == toys[0].balance && toy.pairs == toys[0].pairs));
        sum += toys[0].balance;
        sent += toys[0].pairs.iter().map(|leaf| leaf.own.sent.count).sum::<u64>();
    }
    assert_eq!(sum, ENDOWMENT * u64::from(setting.shards), "X1: nothing is lost and nothing made");
    assert!(sent > 0, "the network did something");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 0, ..ProptestConfig::default() })]
    /// X1, X2, X4 and, with a frozen worker, X3.
    #[test]
    fn receipts_arrive_once_and_in_order(
        seed in any::<u64>(),
        shards in prop::sample::select(vec![2_u16, 4]),
        loss in 0_u64..40,
        window in prop::sample::select(vec![1_u64, 3, 1_000]),
        delivery_max in prop::sample::select(vec![1_u64, 7, 4_096]),
        frozen in prop::option::of((0_u16..1, 0_u16..2)),
        restarting in (1_u16..4, 0_u16..2),
    ) {
        run(Setting { seed, shards, loss, window, delivery_max, busy: 60, frozen, restarting });
    }
}
