//! Logs as they are found after a long life, in a committee of four: what others made is not lost, whatever came since.

use std::sync::Arc;

use fresnel_crypto::Verifier;
use fresnel_shard::{Batching, Checkpointing, Config, Worker};
use fresnel_types::{
    Action, Amount, Authority, AuthorityIndex, Batch, BatchRef, BlockIndex, Close, CommitDigest, CommitIndex,
    Effect, Genesis, Input, LogDigest, LogEntry, Machine, Message, Nonce, Order, OrderEvent, OrderedBatch,
    Parameters, Party, PublicKey, RecordDigest, Round, ShardId, Shards, Timestamp, Transaction, codec,
    commit::Certified,
    genesis::Allocation,
    status::{Answer, Query},
    verify::Rules,
};

use crate::toy::{Toy, address, key};

pub(crate) const SHARD: ShardId = ShardId(0);

/// Four authorities, one shard, one account.
pub(crate) fn genesis() -> Arc<Genesis> {
    let authority = |number: u8| Authority {
        name: number.to_string(),
        stake: 1,
        consensus_key: PublicKey::of(&key(200 + number)),
        network_keys: vec![PublicKey::of(&key(210 + number))],
    };
    Arc::new(Genesis {
        protocol: fresnel_types::limits::PROTOCOL_VERSION,
        name: "recovery".into(),
        shards: Shards::new(1).expect("a power of two"),
        parameters: Parameters::default(),
        authorities: (0..4).map(authority).collect(),
        accounts: vec![Allocation { address: address(1), amount: Amount(1_000) }],
    })
}

/// A batch of one transfer made by `author`.
pub(crate) fn batch(genesis: &Genesis, author: u16, nonce: u64) -> (Vec<u8>, BatchRef) {
    let transaction = Transaction {
        chain: genesis.chain(),
        sender: PublicKey::of(&key(1)),
        nonce: Nonce(nonce),
        fee: Amount(1),
        valid_until: Timestamp(600_000_000),
        action: Action::Transfer { recipient: address(2), amount: Amount(10) },
    };
    Batch { author: AuthorityIndex(author), shard: SHARD, transactions: vec![transaction.sign(&key(1))] }
        .seal()
}

pub(crate) fn order(commit: u64, floor: u64, events: Vec<OrderEvent>) -> LogEntry {
    LogEntry::Order(Order {
        shard: SHARD,
        commit: CommitIndex(commit),
        time: Timestamp(commit),
        floor: Round(floor),
        events,
        certified: vec![Certified::default()],
        lag: 0,
    })
}

pub(crate) fn named(author: u16, batch: BatchRef) -> OrderEvent {
    OrderEvent::Batch(OrderedBatch { author: AuthorityIndex(author), batch })
}

pub(crate) fn close(block: u64) -> OrderEvent {
    OrderEvent::Close(Close {
        block: BlockIndex(block),
        time: Timestamp(block),
        opened: Timestamp(0),
        log: LogDigest::of(CommitDigest::default(), Timestamp(block), &[]),
        certified: vec![Certified::default()],
        usable: vec![BlockIndex(0)],
    })
}

fn open(genesis: &Arc<Genesis>, log: Vec<LogEntry>) -> Worker {
    let config = Config {
        authority: AuthorityIndex(0),
        shard: SHARD,
        genesis: genesis.clone(),
        rules: Arc::new(Rules::of(genesis)),
        batching: Batching::default(),
        checkpointing: Checkpointing::default(),
        execution: None,
    };
    Worker::open(config, None, log.into(), Timestamp(1)).expect("a log without gaps")
}

/// D1, D2: the batch stands in the log, and no floor before its order takes it away.
#[test]
fn batches_of_others_outlive_the_floors_before_their_order() {
    let genesis = genesis();
    let (bytes, name) = batch(&genesis, 1, 0);
    let log = vec![
        order(1, 0, vec![]),
        order(2, 100_000, vec![]),
        LogEntry::Batch(bytes),
        order(3, 100_001, vec![named(1, name), close(1)]),
    ];
    let worker = open(&genesis, log);
    assert_eq!(worker.status().executed, BlockIndex(1));
    assert_eq!(worker.records(BlockIndex(0), 9)[0].burned, Amount(1));
}

#[test]
fn batches_and_orders_come_in_any_order() {
    let genesis = genesis();
    let (first, second) = (batch(&genesis, 1, 0), batch(&genesis, 2, 1));
    let log = vec![
        order(1, 0, vec![named(1, first.1), named(2, second.1), close(1)]),
        LogEntry::Batch(second.0),
        LogEntry::Batch(first.0),
    ];
    let worker = open(&genesis, log);
    assert_eq!(worker.status().executed, BlockIndex(1));
    assert_eq!(worker.records(BlockIndex(0), 9)[0].burned, Amount(2));
}

/// A4, and against censorship: whoever names a batch first, it takes effect, and its author is done with it.
#[test]
fn a_batch_that_another_author_names_takes_effect() {
    let genesis = genesis();
    let (own, others) = (batch(&genesis, 0, 0), batch(&genesis, 1, 1));
    let log = vec![
        LogEntry::Batch(own.0),
        LogEntry::Batch(others.0),
        order(1, 0, vec![named(2, own.1), named(2, others.1), close(1)]),
    ];
    let worker = open(&genesis, log);
    assert_eq!(worker.records(BlockIndex(0), 9)[0].burned, Amount(2));
    assert_eq!(worker.status().pending, 0);
}

/// D3: a worker whose own record is not the certified one executes no more, and what it need not execute does not pile up.
#[test]
fn a_diverged_worker_lets_go_of_what_it_will_not_execute() {
    let genesis = genesis();
    let mut log = vec![];
    for block in 1..=3 {
        let (bytes, name) = batch(&genesis, 1, block - 1);
        log.extend([LogEntry::Batch(bytes), order(block, 0, vec![named(1, name), close(block)])]);
    }
    let LogEntry::Order(second) = &mut log[3] else { panic!("an order stands there") };
    second.certified = vec![Certified { block: BlockIndex(1), record: RecordDigest([9; 32]) }];
    let worker = open(&genesis, log);
    let status = worker.status();
    assert_eq!((status.commit, status.executed), (CommitIndex(3), BlockIndex(1)));
    assert_eq!((status.diverged, worker.waiting_blocks()), (Some(BlockIndex(1)), 0));
}

/// An answer that is longer than its frame may be would cost the client its connection.
#[test]
fn records_of_many_shards_fit_an_answer() {
    let mut toy = Toy::new(64, 1, Parameters::default());
    let shard = toy.shard_of(1);
    for nonce in 0..250 {
        let transfer = toy.transfer(1, nonce, address(1), 1);
        toy.submit(shard, vec![transfer]);
        toy.commit();
    }
    let Answer::Records(records) = toy.ask(shard, Query::Records(BlockIndex(0))) else { panic!("records") };
    assert!(records.len() >= 150, "{}", records.len());
    let answer = Message::Answer { request: 0, answer: Answer::Records(records) };
    assert!(codec::encode(&answer).len() <= answer.kind().body_bytes_max());
}

#[test]
fn a_gap_in_the_order_is_asked_for_once() {
    let genesis = genesis();
    let mut worker = open(&genesis, vec![]);
    let mut effects = Vec::new();
    for commit in [3, 4, 5] {
        let LogEntry::Order(order) = order(commit, 0, vec![]) else { panic!("an order") };
        let message = Rules::of(&genesis)
            .verify_one(&mut Verifier::with_seed([1; 32]), Message::Order(order))
            .expect("of our own making");
        let from = Party::Beacon(AuthorityIndex(0));
        worker.handle(Timestamp(1), Input::Message { from, message }, &mut effects);
    }
    let asked = |effect: &&Effect| matches!(effect, Effect::Send { message: Message::OrderRequest(_), .. });
    assert_eq!(effects.iter().filter(asked).count(), 1);
}
