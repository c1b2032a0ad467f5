//! One authority's workers and the simplest order that treats them as the beacon would.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use fresnel_crypto::{SigningKey, Verifier};
use fresnel_shard::{Batching, Checkpointing, Config, Worker};
use fresnel_types::{
    Action, Address, Amount, Authority, AuthorityIndex, BatchRef, BlockIndex, ClientId, Close, CommitDigest,
    CommitIndex, Effect, Genesis, Input, LogDigest, Machine, Message, Nonce, Order, OrderEvent, OrderedBatch,
    Parameters, Party, PublicKey, RejectionCode, Round, ShardId, Shards, SignedTransaction, Timestamp,
    Transaction, TransactionId,
    commit::Certified,
    genesis::Allocation,
    status::{Answer, Level, Progress, Query},
    verify::Rules,
};

use crate::disk::Disk;

pub(crate) const CLIENT: ClientId = ClientId(1);
const AUTHORITY: AuthorityIndex = AuthorityIndex(0);

pub(crate) struct Toy {
    pub(crate) genesis: Arc<Genesis>,
    pub(crate) rules: Arc<Rules>,
    pub(crate) workers: Vec<Worker>,
    /// Of workers that were restarted: what replays the whole log instead. Both must do the same ever after.
    twins: Vec<Option<Worker>>,
    pub(crate) disks: Vec<Disk>,
    /// Shards whose workers get no messages for now.
    pub(crate) frozen: BTreeSet<ShardId>,
    withheld: VecDeque<(Party, Party, Message)>,
    submitted: Vec<TransactionId>,
    checkpointing: Checkpointing,
    pub(crate) news: Vec<Progress>,
    pub(crate) refused: Vec<RejectionCode>,
    /// What was answered to [`Toy::ask_early`].
    pub(crate) answers: Vec<(u64, Answer)>,
    verifier: Verifier,
    now: Timestamp,
    commit: CommitIndex,
    block: BlockIndex,
    last_close: Timestamp,
    batches: Vec<(ShardId, BatchRef)>,
    /// Of the batches, those that were ordered: each is ordered once.
    ordered: BTreeSet<(ShardId, BatchRef)>,
    certified: Vec<Certified>,
    held: Vec<Vec<BlockIndex>>,
    /// `certified` and, per destination, `held` as of the last close.
    snapshot: (Vec<Certified>, Vec<Vec<BlockIndex>>),
    queue: VecDeque<(Party, Party, Message)>,
}

/// The secret key of the `number`th account.
pub(crate) fn key(number: u8) -> SigningKey {
    SigningKey::from_bytes(&[number; 32])
}

pub(crate) fn address(number: u8) -> Address {
    PublicKey::of(&key(number)).address()
}

impl Toy {
    /// `accounts` accounts with 1,000 each.
    pub(crate) fn new(shards: u16, accounts: u8, parameters: Parameters) -> Self {
        Self::with(shards, accounts, parameters, Checkpointing::default())
    }

    pub(crate) fn with(
        shards: u16,
        accounts: u8,
        parameters: Parameters,
        checkpointing: Checkpointing,
    ) -> Self {
        let mut funded: Vec<_> = (1..=accounts)
            .map(|number| Allocation { address: address(number), amount: Amount(1_000) })
            .collect();
        funded.sort_by_key(|account| account.address);
        let genesis = Arc::new(Genesis {
            protocol: fresnel_types::limits::PROTOCOL_VERSION,
            name: "toy".into(),
            shards: Shards::new(shards).expect("a power of two"),
            parameters,
            authorities: vec![Authority {
                name: "only".into(),
                stake: 1,
                consensus_key: PublicKey::of(&key(201)),
                network_keys: vec![PublicKey::of(&key(202))],
            }],
            accounts: funded,
        });
        genesis.check().expect("valid");
        let rules = Arc::new(Rules::of(&genesis));
        let count = usize::from(shards);
        let mut toy = Self {
            workers: vec![],
            twins: vec![],
            disks: vec![Disk::default(); count],
            frozen: BTreeSet::new(),
            withheld: VecDeque::new(),
            submitted: vec![],
            checkpointing,
            news: vec![],
            refused: vec![],
            answers: vec![],
            verifier: Verifier::with_seed([1; 32]),
            now: Timestamp(1_000_000),
            commit: CommitIndex(0),
            block: BlockIndex(0),
            last_close: Timestamp(0),
            batches: vec![],
            ordered: BTreeSet::new(),
            certified: vec![Certified::default(); count],
            held: vec![vec![BlockIndex(0); count]; count],
            snapshot: (vec![Certified::default(); count], vec![vec![BlockIndex(0); count]; count]),
            queue: VecDeque::new(),
            genesis,
            rules,
        };
        for shard in toy.rules.shards.iter() {
            let worker = Worker::open(toy.config(shard), None, vec![].into(), toy.now);
            toy.workers.push(worker.expect("an empty log"));
            toy.twins.push(None);
        }
        for shard in toy.rules.shards.iter() {
            toy.connect(shard);
        }
        toy
    }

    pub(crate) fn config(&self, shard: ShardId) -> Config {
        Config {
            authority: AUTHORITY,
            shard,
            genesis: self.genesis.clone(),
            rules: self.rules.clone(),
            batching: Batching::default(),
            checkpointing: self.checkpointing.clone(),
            execution: None,
        }
    }

    fn connect(&mut self, shard: ShardId) {
        self.input(shard, Input::Connected(Party::Beacon(AUTHORITY)));
        for other in self.rules.shards.iter().filter(|other| *other != shard) {
            self.input(shard, Input::Connected(Party::Worker(AUTHORITY, other)));
        }
    }

    /// Loses the worker's memory and opens it again from its checkpoint and its log, of which a part is deleted (0 to
    /// 255). It is what it would be had it replayed the whole log, and does the same from now on.
    pub(crate) fn restart(&mut self, shard: ShardId, deleted: u8) {
        let disk = &mut self.disks[shard.index()];
        disk.handed = None;
        let (checkpoint, log) = (disk.checkpoint(), disk.log(deleted));
        let worker = Worker::open(self.config(shard), checkpoint, log, self.now).expect("its own disk");
        let log = self.disks[shard.index()].log.clone();
        let twin = Worker::open(self.config(shard), None, log.into(), self.now).expect("its own log");
        self.workers[shard.index()] = worker;
        self.twins[shard.index()] = Some(twin);
        self.compare(shard);
        self.connect(shard);
        for other in self.rules.shards.iter().filter(|other| *other != shard) {
            self.input(other, Input::Connected(Party::Worker(AUTHORITY, shard)));
        }
    }

    /// What anybody can see of the worker and its twin.
    fn compare(&mut self, shard: ShardId) {
        let queries = self.submitted.iter().map(|id| Query::Transaction(*id));
        let accounts = self.genesis.accounts.iter().map(|account| Query::Account(account.address));
        let queries: Vec<_> = queries.chain(accounts).chain([Query::Status]).collect();
        queries.into_iter().for_each(|query| drop(self.ask(shard, query)));
        let worker = &self.workers[shard.index()];
        let Some(twin) = &self.twins[shard.index()] else { return };
        assert_eq!(worker.records(BlockIndex(0), usize::MAX), twin.records(BlockIndex(0), usize::MAX));
        assert_eq!(worker.waiting_blocks(), twin.waiting_blocks());
    }

    /// The store has what it was handed.
    pub(crate) fn store(&mut self, shard: ShardId) {
        if let Some(block) = self.disks[shard.index()].store() {
            self.input(shard, Input::Checkpointed(block));
            self.deliver();
        }
    }

    pub(crate) fn shard_of(&self, number: u8) -> ShardId {
        self.rules.shards.of_prefix(address(number).prefix())
    }

    pub(crate) fn transfer(&self, from: u8, nonce: u64, to: Address, amount: u64) -> SignedTransaction {
        Transaction {
            chain: self.rules.chain,
            sender: PublicKey::of(&key(from)),
            nonce: Nonce(nonce),
            fee: Amount(1),
            valid_until: Timestamp(600_000_000),
            action: Action::Transfer { recipient: to, amount: Amount(amount) },
        }
        .sign(&key(from))
    }

    pub(crate) fn submit(&mut self, shard: ShardId, transactions: Vec<SignedTransaction>) {
        self.submitted.extend(transactions.iter().map(|signed| signed.transaction.id()));
        let transactions = self.rules.verify_submission(&mut self.verifier, shard, transactions);
        self.input(shard, Input::Submit { client: CLIENT, request: 0, transactions });
        self.deliver();
    }

    /// Orders whatever was offered and closes a block.
    pub(crate) fn commit(&mut self) {
        self.now = self.now.plus(25_000);
        for shard in self.rules.shards.iter() {
            let worker = &self.workers[shard.index()];
            if worker.deadline().is_some_and(|deadline| deadline <= self.now) {
                self.input(shard, Input::Tick);
            }
        }
        self.deliver();
        self.commit = self.commit.next();
        self.block = self.block.next();
        let mut batches = std::mem::take(&mut self.batches);
        batches.retain(|batch| self.ordered.insert(*batch));
        for shard in self.rules.shards.iter() {
            let mut events: Vec<_> = batches
                .iter()
                .filter(|(of, _)| *of == shard)
                .map(|(_, batch)| OrderEvent::Batch(OrderedBatch { author: AUTHORITY, batch: *batch }))
                .collect();
            let (certified, held) = &self.snapshot;
            let usable =
                (0..certified.len()).map(|source| held[shard.index()][source].min(certified[source].block));
            events.push(OrderEvent::Close(Close {
                block: self.block,
                time: self.now,
                opened: self.last_close,
                log: LogDigest::of(CommitDigest::default(), self.now, &[]),
                certified: certified.clone(),
                usable: usable.collect(),
            }));
            let order = Order {
                shard,
                commit: self.commit,
                time: self.now,
                floor: Round(0),
                events,
                certified: self.certified.clone(),
                lag: 0,
            };
            self.queue.push_back((
                Party::Beacon(AUTHORITY),
                Party::Worker(AUTHORITY, shard),
                Message::Order(order),
            ));
        }
        self.last_close = self.now;
        self.snapshot = (self.certified.clone(), self.held.clone());
        self.deliver();
    }

    /// Commits until nothing is pending or in flight anywhere.
    pub(crate) fn settle(&mut self) {
        for _ in 0..60 {
            self.commit();
        }
        for worker in &self.workers {
            let status = worker.status();
            assert_eq!((status.pending, status.in_flight, status.diverged), (0, 0, None), "{status:?}");
        }
    }

    pub(crate) fn balance(&mut self, owner: Address) -> Option<u64> {
        match self.ask(self.rules.shards.of_prefix(owner.prefix()), Query::Account(owner)) {
            Answer::Account { account, .. } => account.map(|account| account.balance.0),
            answer => panic!("{answer:?} answers another question"),
        }
    }

    pub(crate) fn ask(&mut self, shard: ShardId, query: Query) -> Answer {
        let message = Message::Query { request: 9, query };
        let message = self.rules.verify_one(&mut self.verifier, message).expect("a question");
        let effects = self.handle(shard, Input::Message { from: Party::Client(CLIENT), message });
        let answer = effects.into_iter().find_map(|effect| match effect {
            Effect::Send { message: Message::Answer { answer, .. }, .. } => Some(answer),
            _ => None,
        });
        answer.expect("every question has an answer")
    }

    /// Asks what may be answered later.
    pub(crate) fn ask_early(&mut self, shard: ShardId, request: u64, query: Query) {
        let message = Message::Query { request, query };
        let message = self.rules.verify_one(&mut self.verifier, message).expect("a question");
        self.input(shard, Input::Message { from: Party::Client(CLIENT), message });
        self.deliver();
    }

    /// The levels that were told about a transaction, in order.
    pub(crate) fn levels(&self, transaction: &SignedTransaction) -> Vec<Level> {
        let id = transaction.transaction.id();
        self.news.iter().filter(|news| news.transaction == id).map(|news| news.level).collect()
    }

    /// The shard's worker gets what it was sent meanwhile.
    pub(crate) fn thaw(&mut self, shard: ShardId) {
        self.frozen.remove(&shard);
        self.queue.extend(std::mem::take(&mut self.withheld));
        self.deliver();
    }

    fn deliver(&mut self) {
        while let Some((from, to, message)) = self.queue.pop_front() {
            assert!(message.may_pass(from, to), "{from:?} may not say {message:?} to {to:?}");
            if matches!(to, Party::Worker(_, shard) if self.frozen.contains(&shard)) {
                self.withheld.push_back((from, to, message));
                continue;
            }
            match to {
                Party::Worker(_, shard) => {
                    let message =
                        self.rules.verify_one(&mut self.verifier, message).expect("of our own making");
                    self.input(shard, Input::Message { from, message });
                }
                Party::Beacon(_) => self.beacon(from, message),
                Party::Client(_) => match message {
                    Message::Progress(news) => self.news.extend(news),
                    Message::Admission { results, .. } => self.refused.extend(results.into_iter().flatten()),
                    Message::Answer { request, answer } => self.answers.push((request, answer)),
                    _ => {}
                },
            }
        }
    }

    fn beacon(&mut self, from: Party, message: Message) {
        let Party::Worker(_, shard) = from else { panic!("only workers talk to the beacon") };
        if let Message::Offer(offer) = message {
            for batch in offer.batches {
                if !self.batches.contains(&(shard, batch)) {
                    self.batches.push((shard, batch));
                }
            }
            self.held[shard.index()] = offer.held;
            if let Some(last) = offer.attestations.last()
                && last.block > self.certified[shard.index()].block
            {
                self.certified[shard.index()] = Certified { block: last.block, record: last.record };
            }
        }
    }

    /// What the worker does, which is what its twin does.
    fn handle(&mut self, shard: ShardId, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        let worker = &mut self.workers[shard.index()];
        worker.handle(self.now, input.clone(), &mut effects);
        if let Some(twin) = &mut self.twins[shard.index()]
            && !matches!(input, Input::Checkpointed(_))
        {
            let mut expected = Vec::new();
            twin.handle(self.now, input, &mut expected);
            expected.retain(|effect| !matches!(effect, Effect::Checkpoint(_)));
            let checkpoint = |effect: &&Effect| matches!(effect, Effect::Checkpoint(_) | Effect::Forget(_));
            let others: Vec<_> = effects.iter().filter(|effect| !checkpoint(effect)).collect();
            assert_eq!(others, expected.iter().collect::<Vec<_>>(), "worker and twin part");
            assert_eq!(worker.deadline(), twin.deadline());
        }
        effects
    }

    fn input(&mut self, shard: ShardId, input: Input) {
        for effect in self.handle(shard, input) {
            match effect {
                Effect::Persist(entry) => self.disks[shard.index()].log.push(entry),
                Effect::Checkpoint(checkpoint) => {
                    assert!(checkpoint.block <= self.workers[shard.index()].status().certified.block);
                    self.disks[shard.index()].hand(*checkpoint);
                }
                Effect::Forget(entry) => self.disks[shard.index()].forgotten = entry,
                Effect::Recall(number) => {
                    let entry = self.disks[shard.index()].log[number.0 as usize].clone();
                    self.input(shard, Input::Recalled(number, Some(Box::new(entry))));
                }
                Effect::Snapshot(_) => panic!("nobody asks for a snapshot"),
                Effect::Send { to, message } => {
                    for to in to {
                        self.queue.push_back((Party::Worker(AUTHORITY, shard), to, message.clone()));
                    }
                }
            }
        }
    }
}
