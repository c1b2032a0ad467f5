//! The replay is of use only if it finds what differs.

use fresnel_types::{
    Action, Address, Amount, AuthorityIndex, BatchRef, CommitDigest, FailureCode, LogDigest, Nonce,
    OrderedBatch, PublicKey, Round, StateRoot, Timestamp, Transaction, commit::Certified, hash::Root,
};

use super::*;
use crate::{Options, options::Chain};

/// Two shards, and one batch of shard 0: payments of its first account to itself and to a new account of shard 1.
struct Scene {
    chain: Chain,
    id: BatchId,
    bytes: Vec<u8>,
    order: Order,
    transactions: Vec<TransactionId>,
}

impl Scene {
    fn new() -> Self {
        let options = Options { authorities: 4, shards: 2, ..Options::of_seed(0) };
        let chain = Chain::new(&options);
        let key = chain.accounts[0].clone();
        let payment = |nonce, recipient| Transaction {
            chain: chain.genesis.chain(),
            sender: PublicKey::of(&key),
            nonce: Nonce(nonce),
            fee: Amount(1),
            valid_until: Timestamp(u64::MAX),
            action: Action::Transfer { recipient, amount: Amount(20) },
        };
        let own = PublicKey::of(&key).address();
        let payments = [payment(0, own), payment(1, Address([0xfe; 32]))];
        let transactions = payments.iter().map(Transaction::id).collect();
        let signed = payments.map(|payment| payment.sign(&key)).to_vec();
        let (author, shard) = (AuthorityIndex(0), ShardId(0));
        let (bytes, batch): (Vec<u8>, BatchRef) = Batch { author, shard, transactions: signed }.seal();
        let close = Close {
            block: BlockIndex(1),
            time: Timestamp(9),
            opened: Timestamp(8),
            log: LogDigest::of(CommitDigest::default(), Timestamp(9), &[]),
            certified: vec![Certified::default(); 2],
            usable: vec![BlockIndex(0); 2],
        };
        let order = Order {
            shard,
            commit: CommitIndex(1),
            time: Timestamp(9),
            floor: Round(0),
            events: vec![OrderEvent::Batch(OrderedBatch { author, batch }), OrderEvent::Close(close)],
            certified: vec![Certified::default(); 2],
            lag: 0,
        };
        Self { chain, id: batch.id, bytes, order, transactions }
    }

    fn replay(&self) -> Replay {
        let mut replay = Replay::new(&self.chain.genesis);
        replay.batch(self.id, &self.bytes);
        replay.order(&self.order);
        replay
    }

    /// What the reference computes.
    fn record(&self) -> Record {
        let mut replay = self.replay();
        let (close, batches) = replay.lanes[0].next_block().expect("one is closed");
        let record = replay.execute(ShardId(0), &close, &batches);
        record.unwrap_or_else(|broken| panic!("{broken:?}")).expect("it has input")
    }
}

#[test]
fn whatever_differs_is_found() {
    let scene = Scene::new();
    let record = scene.record();
    assert_eq!((record.burned, record.pairs[1].sent.value), (Amount(2), 20));
    let compare = |alter: &dyn Fn(&mut Record)| {
        let mut other = record.clone();
        alter(&mut other);
        scene.replay().compare(&other).map_err(|broken| broken.invariant)
    };
    assert_eq!(compare(&|_| {}), Ok(()));
    let alterations: [&dyn Fn(&mut Record); 7] = [
        &|record| record.state = StateRoot([1; 32]),
        &|record| record.results = Root::default(),
        &|record| record.outbox = Root::default(),
        &|record| record.supply.0 += 1,
        &|record| record.burned.0 += 1,
        &|record| record.pairs[1].sent.count += 1,
        &|record| record.position += 1,
    ];
    for alter in alterations {
        assert_eq!(compare(alter), Err("E1"));
    }
    assert_eq!(compare(&|record| record.block = BlockIndex(2)), Err("E1"), "a block is left out");
    let ahead = Replay::new(&scene.chain.genesis).compare(&record).map_err(|broken| broken.invariant);
    assert_eq!(ahead, Err("E1"), "before its order");
}

#[test]
fn clients_are_told_how_it_ended() {
    let scene = Scene::new();
    let mut replay = scene.replay();
    let ended = |replay: &Replay, outcome| {
        replay.ended(&scene.transactions[0], outcome).map_err(|broken| broken.invariant)
    };
    assert_eq!(ended(&replay, Outcome::Success), Err("E3"), "not yet");
    replay.compare(&scene.record()).unwrap_or_else(|broken| panic!("{broken:?}"));
    assert_eq!(ended(&replay, Outcome::Success), Ok(()));
    assert_eq!(ended(&replay, Outcome::Failed(FailureCode::WindowFull)), Err("E3"));
}
