//! Scenarios of one worker's mempool, its peers played by the test, and of small committees among themselves.

use std::{collections::BTreeMap, sync::Arc};

use fresnel_crypto::{SigningKey, Verifier};
use fresnel_types::{
    Action, Address, Amount, Authority, AuthorityIndex, Batch, BatchId, BatchRef, ClientId, CommitIndex,
    Effect, EntryNumber, Genesis, LogEntry, Message, Nonce, Order, OrderEvent, OrderedBatch, Parameters,
    Party, PublicKey, RejectionCode, Round, ShardId, Shards, SignedTransaction, Timestamp, Transaction,
    Verified,
    action::{Bytes, KvOperation},
    codec,
    genesis::Allocation,
    leaves::Account,
    limits::PROTOCOL_VERSION,
    verify::Rules,
};
use proptest::prelude::*;

use crate::{Batching, Candidate, Config, Mempool, Submission};

const SHARD: ShardId = ShardId(0);
const CLIENT: ClientId = ClientId(1);
const NOW: Timestamp = Timestamp(1_000_000);

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn rules(authorities: u8) -> Arc<Rules> {
    let genesis = Genesis {
        protocol: PROTOCOL_VERSION,
        name: "test".into(),
        shards: Shards::new(1).unwrap(),
        parameters: Parameters { floor_depth: 8, lag_max: 4, ..Parameters::default() },
        authorities: (0..authorities)
            .map(|i| Authority {
                name: format!("a{i}"),
                stake: 1,
                consensus_key: PublicKey::of(&key(100 + i)),
                network_keys: vec![PublicKey::of(&key(200 + i))],
            })
            .collect(),
        accounts: vec![Allocation { address: Address([1; 32]), amount: Amount(5) }],
    };
    genesis.check().unwrap();
    Arc::new(Rules::of(&genesis))
}

fn mempool(authority: u16, authorities: u8, batching: Batching) -> Mempool {
    Mempool::new(Config {
        authority: AuthorityIndex(authority),
        shard: SHARD,
        rules: rules(authorities),
        batching,
    })
}

fn transfer(sender: u8, nonce: u64) -> Transaction {
    Transaction {
        chain: rules(1).chain,
        sender: PublicKey::of(&key(sender)),
        nonce: Nonce(nonce),
        fee: Amount(10),
        valid_until: NOW.plus(1_000_000),
        action: Action::Transfer { recipient: Address([9; 32]), amount: Amount(1) },
    }
}

/// Candidates whose accounts, if there are any, own `balance` each.
fn candidates(
    transactions: Vec<SignedTransaction>,
    balance: Option<u64>,
) -> Vec<Result<Candidate, RejectionCode>> {
    let verdicts = rules(1).verify_submission(&mut Verifier::with_seed([0; 32]), SHARD, transactions);
    let account = balance.map(|balance| Account { balance: Amount(balance), ..Account::default() });
    let candidate = |signed: Verified<SignedTransaction>| Candidate {
        id: signed.transaction.id(),
        sender: signed.transaction.sender.address(),
        account,
        signed,
    };
    verdicts.into_iter().map(|verdict| verdict.map(candidate)).collect()
}

/// Submits for accounts that own `balance` each.
fn submit(
    mempool: &mut Mempool,
    transactions: &[Transaction],
    balance: u64,
    effects: &mut Vec<Effect>,
) -> Submission {
    let signed = transactions.iter().map(|transaction| {
        let seed = (0..=255).find(|seed| PublicKey::of(&key(*seed)) == transaction.sender).unwrap();
        transaction.clone().sign(&key(seed))
    });
    mempool.submit(NOW, CLIENT, candidates(signed.collect(), Some(balance)), NOW, effects)
}

fn submit_one(mempool: &mut Mempool, nonce: u64, effects: &mut Vec<Effect>) {
    assert_eq!(submit(mempool, &[transfer(1, nonce)], 1_000, effects).results, vec![None]);
}

/// A batch of `author` that differs for every `nonce`.
fn batch(author: u16, nonce: u64) -> (Vec<u8>, BatchRef) {
    let transactions = vec![transfer(2, nonce).sign(&key(2))];
    Batch { author: AuthorityIndex(author), shard: SHARD, transactions }.seal()
}

fn worker(authority: u16) -> Party {
    Party::Worker(AuthorityIndex(authority), SHARD)
}

fn beacon(authority: u16) -> Party {
    Party::Beacon(AuthorityIndex(authority))
}

fn order(floor: u64, lag: u64, events: Vec<OrderEvent>) -> Order {
    Order {
        shard: SHARD,
        commit: CommitIndex(1),
        time: NOW,
        floor: Round(floor),
        events,
        certified: vec![],
        lag,
    }
}

fn ordered(author: u16, batch: BatchRef) -> OrderEvent {
    OrderEvent::Batch(OrderedBatch { author: AuthorityIndex(author), batch })
}

/// The messages among `effects` with their receivers.
fn sent(effects: &mut Vec<Effect>) -> Vec<(Vec<Party>, Message)> {
    let sends = effects.drain(..).filter_map(|effect| match effect {
        Effect::Send { to, message } => Some((to, message)),
        _ => None,
    });
    sends.collect()
}

fn persisted(effects: &[Effect]) -> Vec<BatchId> {
    let ids = effects.iter().filter_map(|effect| match effect {
        Effect::Persist(LogEntry::Batch(bytes)) => Some(BatchId::of(bytes)),
        _ => None,
    });
    ids.collect()
}

#[test]
fn alone_a_batch_is_durable_and_offered_at_once() {
    let mut mempool = mempool(0, 1, Batching::default());
    let mut effects = vec![];
    submit_one(&mut mempool, 0, &mut effects);
    let offers = mempool.take_offers();
    assert_eq!(offers.len(), 1);
    assert_eq!(persisted(&effects), vec![offers[0].id]);
    assert!(matches!(effects[0], Effect::Persist(_)), "durable before told");
    assert_eq!(sent(&mut effects), vec![(vec![beacon(0)], Message::Stored(vec![offers[0]]))]);
    assert_eq!(mempool.deadline(), None);
}

#[test]
fn a_quorum_of_acknowledgements_makes_an_offer_once() {
    let mut mempool = mempool(0, 4, Batching::default());
    let mut effects = vec![];
    submit_one(&mut mempool, 0, &mut effects);
    let id = persisted(&effects)[0];
    let all = sent(&mut effects);
    assert!(matches!(&all[1], (to, Message::Batch(_)) if *to == vec![worker(1), worker(2), worker(3)]));
    let acknowledge = |mempool: &mut Mempool, from| {
        mempool.handle(NOW, from, Message::BatchStored(vec![id]), &mut vec![]);
        mempool.take_offers().len()
    };
    assert_eq!(acknowledge(&mut mempool, worker(1)), 0);
    assert_eq!(acknowledge(&mut mempool, worker(1)), 0, "the same one counts once");
    assert_eq!(acknowledge(&mut mempool, Party::Worker(AuthorityIndex(9), SHARD)), 0, "nobody knows it");
    assert_eq!(acknowledge(&mut mempool, worker(3)), 1);
    assert_eq!(acknowledge(&mut mempool, worker(2)), 0);
    assert_eq!(mempool.outstanding().len(), 1);
}

#[test]
fn while_one_is_under_way_the_next_waits_for_size_delay_or_a_vertex() {
    let batching = Batching { batch_bytes_max: 12 + 3 * 196, ..Batching::default() };
    let mut mempool = mempool(0, 1, batching.clone());
    let mut effects = vec![];
    submit_one(&mut mempool, 0, &mut effects);
    assert_eq!(mempool.counters().sealed, 1, "idle: at once");
    let first = mempool.take_offers();
    submit_one(&mut mempool, 1, &mut effects);
    assert_eq!(mempool.counters().sealed, 1);
    assert_eq!(mempool.deadline(), Some(NOW.plus(batching.delay_max)));
    submit(&mut mempool, &[transfer(1, 2), transfer(1, 3)], 1_000, &mut effects);
    assert_eq!(mempool.counters().sealed, 2, "three fill a batch");
    submit_one(&mut mempool, 4, &mut effects);
    mempool.handle(NOW, beacon(0), Message::Proposing(Round(3)), &mut effects);
    assert_eq!(mempool.counters().sealed, 3, "a vertex is about to be made");
    submit_one(&mut mempool, 5, &mut effects);
    mempool.tick(NOW.plus(batching.delay_max), &mut effects);
    assert_eq!(mempool.counters().sealed, 4, "the delay is over");
    let offers = mempool.take_offers();
    assert_eq!(offers.iter().map(|offer| offer.count).collect::<Vec<_>>(), vec![3, 1, 1]);
    submit_one(&mut mempool, 6, &mut effects);
    let events = first.iter().chain(&offers).map(|offer| ordered(0, *offer)).collect();
    mempool.order(NOW, &order(0, 0, events), &mut effects);
    assert_eq!(mempool.counters().sealed, 5, "idle again: what waited goes at once");
}

#[test]
fn unacknowledged_batches_go_again_with_back_off_until_ordered() {
    let mut mempool = mempool(0, 4, Batching::default());
    let mut effects = vec![];
    submit_one(&mut mempool, 0, &mut effects);
    let id = persisted(&effects)[0];
    sent(&mut effects);
    mempool.handle(NOW.plus(1_000), worker(1), Message::BatchStored(vec![id]), &mut effects);
    let mut times = BTreeMap::<Party, Vec<u64>>::new();
    for _ in 0..100 {
        let now = mempool.deadline().expect("two peers are silent");
        if now > NOW.plus(20_000_000) {
            break;
        }
        mempool.tick(now, &mut effects);
        for (to, message) in sent(&mut effects) {
            assert!(matches!(message, Message::Batch(_)));
            times.entry(to[0]).or_default().push(now.since(NOW));
        }
    }
    assert_eq!(times.keys().copied().collect::<Vec<_>>(), vec![worker(2), worker(3)]);
    let gaps: Vec<u64> = times[&worker(2)].windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.is_sorted() && *gaps.last().unwrap() == 2_000_000, "{gaps:?}");
    mempool.connected(NOW.plus(21_000_000), worker(3), &mut effects);
    assert_eq!(sent(&mut effects).len(), 1, "a new link: at once");
    let name = BatchRef { id, count: 1, bytes: 208 };
    mempool.order(NOW, &order(0, 0, vec![ordered(0, name)]), &mut effects);
    mempool.tick(NOW.plus(30_000_000), &mut effects);
    assert_eq!((sent(&mut effects), mempool.deadline()), (vec![], None), "whoever lacks it now fetches it");
    assert_eq!(mempool.pending(), 0);
}

#[test]
fn each_reason_to_refuse_is_named() {
    let batching = Batching {
        pending_per_sender_max: 3,
        pending_per_client_max: 5,
        pending_max: 7,
        ..Batching::default()
    };
    let mut mempool = mempool(0, 4, batching);
    let effects = &mut vec![];
    let mut one = |transaction, balance| submit(&mut mempool, &[transaction], balance, effects).results[0];
    let expired = |valid_until| Transaction { valid_until, ..transfer(1, 0) };
    assert_eq!(one(expired(Timestamp(NOW.0 - 1)), 100), Some(RejectionCode::Expired));
    assert_eq!(one(expired(NOW.plus(3_600_000_001)), 100), Some(RejectionCode::Expired));
    assert_eq!(one(transfer(1, 0), 100), None);
    assert_eq!(one(transfer(1, 0), 100), Some(RejectionCode::Duplicate));
    assert_eq!(one(transfer(1, 64), 100), Some(RejectionCode::Nonce));
    assert_eq!(one(transfer(1, 1), 19), Some(RejectionCode::Unfunded), "the bond covers all pending fees");
    assert_eq!((one(transfer(1, 1), 20), one(transfer(1, 2), 100)), (None, None));
    assert_eq!(one(transfer(1, 3), 100), Some(RejectionCode::Quota), "of the sender");
    assert_eq!((one(transfer(2, 0), 100), one(transfer(2, 1), 100)), (None, None));
    assert_eq!(one(transfer(3, 0), 100), Some(RejectionCode::Quota), "of the connection");
    let other = |mempool: &mut Mempool, sender| {
        let signed = candidates(vec![transfer(sender, 0).sign(&key(sender))], Some(100));
        mempool.submit(NOW, ClientId(2), signed, NOW, &mut vec![])
    };
    assert_eq!(other(&mut mempool, 3).results, vec![None]);
    assert_eq!(other(&mut mempool, 4).results, vec![None]);
    let refused = other(&mut mempool, 5);
    assert_eq!(refused.results, vec![Some(RejectionCode::Overloaded)]);
    assert!(refused.retry_after > 0);
    let none = candidates(vec![transfer(6, 0).sign(&key(6))], None);
    let none = mempool.submit(NOW, CLIENT, none, NOW, &mut vec![]);
    assert_eq!(none.results, vec![Some(RejectionCode::Unfunded)], "no account");
    let passed = mempool.submit(NOW, CLIENT, vec![Err(RejectionCode::BadSignature)], NOW, &mut vec![]);
    assert_eq!(passed.results, vec![Some(RejectionCode::BadSignature)]);
    assert_eq!(mempool.pending(), 7);
}

/// D3: bytes are bounded as well as numbers.
#[test]
fn long_transactions_fill_the_mempool_as_many_short_ones_do() {
    let long = |nonce| Transaction {
        action: Action::Kv(vec![KvOperation::Put {
            owner: None,
            name: Bytes(vec![1]),
            value: Bytes(vec![2; 1_000]),
            shared: false,
        }]),
        ..transfer(1, nonce)
    };
    let bytes = |transaction: Transaction| codec::encoded_len(&transaction.sign(&key(1)));
    let room = 2 * bytes(long(0)) + bytes(transfer(1, 0));
    let batching = Batching { pending_bytes_max: room, ..Batching::default() };
    let (mut mempool, mut effects) = (mempool(0, 1, batching), vec![]);
    let sent = [long(0), long(1), long(2), transfer(1, 3), transfer(1, 4)];
    let submission = submit(&mut mempool, &sent, 1_000, &mut effects);
    let full = Some(RejectionCode::Overloaded);
    assert_eq!(submission.results, [None, None, full, None, full]);
    assert!(submission.retry_after > 0);
    let own: Vec<_> = mempool.own_names();
    mempool.order(NOW, &order(0, 0, own.iter().map(|name| ordered(0, *name)).collect()), &mut effects);
    let again = submit(&mut mempool, &[long(2), long(4), transfer(1, 5)], 1_000, &mut effects);
    assert_eq!(again.results, [None, None, None], "what is ordered leaves its room");
}

#[test]
fn what_would_wait_too_long_is_refused_early_and_peers_never_are() {
    let mut mempool = mempool(0, 4, Batching { queue_age_max: 500_000, ..Batching::default() });
    let mut effects = vec![];
    let mut at = |mempool: &mut Mempool, now: Timestamp, nonce| {
        let signed = candidates(vec![transfer(1, nonce).sign(&key(1))], Some(100_000));
        mempool.submit(now, CLIENT, signed, now, &mut effects)
    };
    let expected = |code, retry_after| Submission { results: vec![code], retry_after };
    assert_eq!(at(&mut mempool, NOW, 0), expected(None, 0));
    assert_eq!(at(&mut mempool, NOW.plus(250_000), 1), expected(None, 0));
    let late = NOW.plus(500_001);
    let overloaded = Some(RejectionCode::Overloaded);
    assert_eq!(at(&mut mempool, late, 2), expected(overloaded, 250_000), "half as long again");
    assert_eq!(at(&mut mempool, late, 0), expected(Some(RejectionCode::Duplicate), 0), "it is here");
    let (bytes, name) = batch(1, 7);
    let mut taken = vec![];
    mempool.handle(late, worker(1), Message::Batch(bytes), &mut taken);
    assert_eq!(persisted(&taken), vec![name.id], "what a peer sends is not refused");
    let own: Vec<_> = mempool.own_names();
    mempool.order(late, &order(0, 0, own.iter().map(|name| ordered(0, *name)).collect()), &mut taken);
    assert_eq!(at(&mut mempool, late, 2), expected(None, 0));
    // So many blocks of 20 ms wait to be certified, while nothing waits to be ordered.
    let own: Vec<_> = mempool.own_names();
    mempool.order(late, &order(0, 26, own.iter().map(|name| ordered(0, *name)).collect()), &mut taken);
    assert_eq!(at(&mut mempool, late, 3), expected(overloaded, 260_000));
    mempool.order(late, &order(0, 12, vec![]), &mut taken);
    assert_eq!(at(&mut mempool, late, 3), expected(None, 0));
    // In between, a share that rises with the age: 30 ms of the 250 ms between half and all.
    let own: Vec<_> = mempool.own_names();
    let events = own.iter().map(|name| ordered(0, *name)).collect();
    mempool.order(late, &order(0, 14, events), &mut taken);
    let refused = (0..50).filter(|nonce| at(&mut mempool, late, 4 + nonce).results[0] == overloaded).count();
    assert_eq!(refused, 6, "of 50");
}

#[test]
fn who_sends_again_what_is_here_hears_so_whatever_became_of_it() {
    let mut mempool = mempool(0, 4, Batching::default());
    let effects = &mut vec![];
    submit_one(&mut mempool, 0, effects);
    let signed = candidates(vec![transfer(1, 0).sign(&key(1))], None);
    let later = NOW.plus(1_000_000_000_000);
    let again = mempool.submit(later, ClientId(2), signed, later, effects);
    assert_eq!(again.results, vec![Some(RejectionCode::Duplicate)], "expired and without funds by now");
}

#[test]
fn ordering_frees_the_quotas_and_remembers_the_ids() {
    let mut mempool =
        mempool(0, 1, Batching { pending_max: 1, pending_per_sender_max: 1, ..Batching::default() });
    let mut effects = vec![];
    submit_one(&mut mempool, 0, &mut effects);
    let offers = mempool.take_offers();
    let refused = submit(&mut mempool, &[transfer(1, 1)], 1_000, &mut effects);
    assert_eq!(refused.results, vec![Some(RejectionCode::Quota)]);
    mempool.order(NOW, &order(0, 0, vec![ordered(0, offers[0])]), &mut effects);
    assert_eq!(mempool.pending(), 0);
    let again = submit(&mut mempool, &[transfer(1, 0), transfer(1, 1)], 1_000, &mut effects);
    assert_eq!(again.results, vec![Some(RejectionCode::Duplicate), None]);
}

#[test]
fn void_batches_are_offered_again_once_the_lag_is_small() {
    let mut mempool = mempool(0, 1, Batching::default());
    let mut effects = vec![];
    submit_one(&mut mempool, 0, &mut effects);
    let offers = mempool.take_offers();
    mempool.order(NOW, &order(0, 2, vec![OrderEvent::Void(offers[0].id)]), &mut effects);
    assert_eq!(mempool.take_offers(), vec![], "half of the lag limit");
    mempool.order(NOW, &order(0, 1, vec![]), &mut effects);
    assert_eq!(mempool.take_offers(), offers);
    assert_eq!(mempool.take_offers(), vec![]);
    assert_eq!(mempool.outstanding(), offers);
}

#[test]
fn a_peers_batch_is_stored_once_and_acknowledged_every_time() {
    let mut mempool = mempool(0, 4, Batching::default());
    let (bytes, name) = batch(2, 0);
    let mut effects = vec![];
    mempool.handle(NOW, worker(2), Message::Batch(bytes.clone()), &mut effects);
    assert!(matches!(effects[0], Effect::Persist(_)));
    assert_eq!(
        sent(&mut effects),
        vec![
            (vec![beacon(0)], Message::Stored(vec![name])),
            (vec![worker(2)], Message::BatchStored(vec![name.id])),
        ]
    );
    mempool.handle(NOW, worker(2), Message::Batch(bytes.clone()), &mut effects);
    assert_eq!(persisted(&effects), vec![]);
    assert_eq!(sent(&mut effects), vec![(vec![worker(2)], Message::BatchStored(vec![name.id]))]);
    let (other, _) = batch(2, 1);
    mempool.handle(NOW, worker(3), Message::Batch(other), &mut effects);
    assert_eq!(effects, vec![], "only its author may bring what nobody asked for");
    mempool.handle(NOW, worker(1), Message::BatchRequest(vec![name.id; 100]), &mut effects);
    let answers = sent(&mut effects);
    assert_eq!(answers.len(), 16, "an answer is bounded");
    assert!(answers.iter().all(|answer| *answer == (vec![worker(1)], Message::Batch(bytes.clone()))));
    mempool.connected(NOW, beacon(0), &mut effects);
    assert_eq!(sent(&mut effects), vec![(vec![beacon(0)], Message::Stored(vec![name]))]);
}

#[test]
fn a_flood_is_bounded_and_what_is_named_gets_through() {
    let (first, name) = batch(2, 0);
    let batching = Batching { unnamed_bytes_per_author_max: 3 * first.len(), ..Batching::default() };
    let mut mempool = mempool(0, 4, batching);
    let mut effects = vec![];
    mempool.order(NOW, &order(1, 0, vec![]), &mut effects);
    mempool.handle(NOW, worker(2), Message::Batch(first), &mut effects);
    for nonce in 1..50 {
        mempool.handle(NOW, worker(2), Message::Batch(batch(2, nonce).0), &mut effects);
    }
    assert_eq!(persisted(&effects).len(), 3);
    assert_eq!(mempool.counters().refused, 47);
    sent(&mut effects);
    let named = batch(2, 49).1;
    let require = Message::Require { author: AuthorityIndex(2), batches: vec![name, named] };
    mempool.handle(NOW, beacon(0), require, &mut effects);
    assert_eq!(
        sent(&mut effects),
        vec![
            (vec![beacon(0)], Message::Stored(vec![name])),
            (vec![worker(2)], Message::BatchRequest(vec![named.id])),
        ]
    );
    mempool.handle(NOW, worker(2), Message::Batch(batch(2, 49).0), &mut effects);
    assert_eq!(persisted(&effects), vec![named.id], "a named one needs no room");
    mempool.handle(NOW, worker(2), Message::Batch(batch(2, 3).0), &mut effects);
    assert_eq!(persisted(&effects).len(), 2, "a named one leaves its room to others");
    mempool.order(NOW, &order(10, 0, vec![]), &mut effects);
    let here = |mempool: &Mempool, nonce| mempool.batch(&batch(2, nonce).1.id).is_some();
    assert!(!here(&mempool, 1) && here(&mempool, 0) && here(&mempool, 49), "unnamed ones go with the floor");
    mempool.order(NOW, &order(1_000, 0, vec![]), &mut effects);
    assert!(!here(&mempool, 0) && !here(&mempool, 49), "named ones when nothing can order them any more");
    sent(&mut effects);
    for nonce in 0..4 {
        mempool.handle(NOW, worker(2), Message::Batch(batch(2, nonce).0), &mut effects);
    }
    assert_eq!(persisted(&effects).len(), 3, "the room is free again, no more and no less");
}

#[test]
fn a_missing_ordered_batch_is_asked_for_in_turn_until_it_comes() {
    let mut mempool = mempool(0, 4, Batching::default());
    let (bytes, name) = batch(2, 0);
    let mut effects = vec![];
    mempool.order(NOW, &order(0, 0, vec![ordered(2, name)]), &mut effects);
    let mut asked = vec![];
    for _ in 0..5 {
        for (to, message) in sent(&mut effects) {
            assert_eq!(message, Message::BatchRequest(vec![name.id]));
            asked.push(to[0]);
        }
        mempool.tick(mempool.deadline().unwrap(), &mut effects);
    }
    assert_eq!(asked, vec![worker(2), worker(3), worker(1), worker(2), worker(3)]);
    sent(&mut effects);
    mempool.want(NOW, AuthorityIndex(2), name, &mut effects);
    assert_eq!(effects, vec![], "wanting again changes nothing");
    mempool.handle(NOW, worker(1), Message::Batch(bytes.clone()), &mut effects);
    assert_eq!(persisted(&effects), vec![name.id]);
    assert_eq!((mempool.batch(&name.id), mempool.deadline()), (Some(&bytes[..]), None));
}

#[test]
fn catching_up_asks_for_few_at_a_time_and_does_not_hold_up_proposals() {
    let mut mempool = mempool(0, 4, Batching::default());
    let mut effects = vec![];
    let events = (0..100).map(|nonce| ordered(1, batch(1, nonce).1)).collect();
    mempool.order(NOW, &order(0, 0, events), &mut effects);
    let count = |effects: &mut Vec<Effect>| -> usize {
        let sizes = sent(effects).into_iter().map(|(_, message)| match message {
            Message::BatchRequest(ids) => ids.len(),
            _ => 0,
        });
        sizes.sum()
    };
    assert_eq!(count(&mut effects), 32);
    let urgent = batch(3, 7).1;
    let require = Message::Require { author: AuthorityIndex(3), batches: vec![urgent] };
    mempool.handle(NOW, beacon(0), require, &mut effects);
    assert_eq!(sent(&mut effects), vec![(vec![worker(3)], Message::BatchRequest(vec![urgent.id]))]);
    mempool.handle(NOW, worker(1), Message::Batch(batch(1, 0).0), &mut effects);
    assert_eq!(count(&mut effects), 1, "the next in the place of the one that came");
    for nonce in 1..100 {
        mempool.handle(NOW, worker(1), Message::Batch(batch(1, nonce).0), &mut effects);
    }
    mempool.handle(NOW, worker(3), Message::Batch(batch(3, 7).0), &mut effects);
    assert_eq!(mempool.deadline(), None, "nothing is missing any more");
}

#[test]
fn executed_batches_are_kept_as_long_as_there_is_room() {
    let (bytes, _) = batch(1, 0);
    let mut mempool = mempool(0, 4, Batching { retained_bytes: 2 * bytes.len(), ..Batching::default() });
    for nonce in 0..4 {
        let (bytes, name) = batch(1, nonce);
        mempool.handle(NOW, worker(1), Message::Batch(bytes), &mut vec![]);
        mempool.order(NOW, &order(0, 0, vec![ordered(1, name)]), &mut vec![]);
        mempool.executed(&name.id);
        mempool.executed(&name.id);
    }
    let kept: Vec<bool> = (0..4).map(|nonce| mempool.batch(&batch(1, nonce).1.id).is_some()).collect();
    assert_eq!(kept, vec![false, false, true, true]);
}

#[test]
fn after_a_restart_own_unordered_batches_go_out_again() {
    let mut mempool = mempool(0, 4, Batching::default());
    let (done, done_name) = batch(0, 0);
    let (waiting, waiting_name) = batch(0, 1);
    let (foreign, foreign_name) = batch(1, 2);
    let mut effects = vec![];
    for bytes in [&done, &waiting, &foreign] {
        mempool.recover_batch(EntryNumber(0), bytes.clone());
    }
    mempool.order(NOW, &order(0, 0, vec![ordered(0, done_name)]), &mut effects);
    assert_eq!(mempool.pending(), 1);
    effects.clear();
    let now = mempool.deadline().unwrap().max(NOW);
    mempool.tick(now, &mut effects);
    let again = sent(&mut effects);
    assert_eq!(again.len(), 3);
    assert!(again.iter().all(|(_, message)| *message == Message::Batch(waiting.clone())));
    assert_eq!(mempool.take_offers(), vec![], "acknowledged by nobody else yet");
    for peer in [1, 2] {
        mempool.handle(now, worker(peer), Message::BatchStored(vec![waiting_name.id]), &mut effects);
    }
    assert_eq!(mempool.take_offers(), vec![waiting_name]);
    mempool.connected(now, beacon(0), &mut effects);
    let Some((_, Message::Stored(mut stored))) = sent(&mut effects).pop() else { panic!("one message") };
    stored.sort();
    let mut unordered = vec![waiting_name, foreign_name];
    unordered.sort();
    assert_eq!(stored, unordered);
    let duplicate = submit(&mut mempool, &[transfer(2, 1)], 1_000, &mut effects);
    assert_eq!(duplicate.results, vec![Some(RejectionCode::Duplicate)]);
}

/// What is in hand of a mempool, in another one.
fn restored(mempool: &Mempool, waiting: &[BatchRef]) -> Mempool {
    let waiting = waiting.iter().map(|batch| batch.id).collect();
    let config =
        Config { authority: AuthorityIndex(0), shard: SHARD, rules: rules(4), batching: Batching::default() };
    Mempool::restore(config, mempool.snapshot(&waiting)).expect("whole")
}

#[test]
fn a_checkpoint_holds_what_is_not_executed() {
    let mut before = mempool(0, 4, Batching::default());
    let mut effects = vec![];
    for (author, nonce) in [(0, 0), (0, 1), (1, 2), (1, 3), (0, 4), (0, 5)] {
        before.recover_batch(EntryNumber(0), batch(author, nonce).0);
    }
    before.handle(NOW, worker(2), Message::Batch(batch(2, 6).0), &mut effects);
    let own = [0, 1, 5].map(|nonce| batch(0, nonce).1);
    let [done, ordered_one, again] = [batch(1, 2).1, batch(0, 4).1, batch(1, 3).1];
    let events = [done, ordered_one, again].map(|batch| ordered(1, batch));
    before.order(NOW, &order(0, 1, events.to_vec()), &mut effects);
    before.executed(&done.id);
    before.executed(&again.id);

    let mut after = restored(&before, &[again]);
    assert_eq!((after.pending(), before.pending()), (3, 3));
    assert!(after.batch(&done.id).is_none());
    after.recover_covered(EntryNumber(0), batch(1, 2).0);
    after.recover_covered(EntryNumber(0), batch(0, 1).0);
    assert!([done, ordered_one, again, batch(2, 6).1].iter().all(|batch| after.batch(&batch.id).is_some()));
    for nonce in [1, 4] {
        let duplicate = submit(&mut after, &[transfer(2, nonce)], 1_000, &mut effects);
        assert_eq!(duplicate.results, vec![Some(RejectionCode::Duplicate)]);
    }
    for peer in [1, 2] {
        let stored = Message::BatchStored(own.iter().rev().map(|batch| batch.id).collect());
        after.handle(NOW, worker(peer), stored, &mut effects);
    }
    assert_eq!(after.take_offers(), own, "in seal order");
    after.order(NOW, &order(6, 0, vec![]), &mut effects);
    assert!(after.batch(&batch(2, 6).1.id).is_none(), "unnamed ones go with the floor as before");
}

#[test]
fn an_executed_batch_that_is_ordered_again_is_not_dropped_for_room() {
    let (_, name) = batch(1, 0);
    let (large, large_name) = batch(1, 1);
    let mut mempool = mempool(0, 4, Batching { retained_bytes: large.len(), ..Batching::default() });
    mempool.recover_covered(EntryNumber(0), batch(1, 0).0);
    mempool.order(NOW, &order(0, 0, vec![ordered(1, name), ordered(1, large_name)]), &mut vec![]);
    mempool.recover_batch(EntryNumber(0), large);
    mempool.executed(&large_name.id);
    assert!([name, large_name].iter().all(|batch| mempool.batch(&batch.id).is_some()));
    mempool.executed(&name.id);
    let kept = [name, large_name].iter().filter(|batch| mempool.batch(&batch.id).is_some()).count();
    assert_eq!(kept, 1, "there is room for one");
}

/// D3: what was executed, and what waits behind much else, is in the log alone, from which it comes back.
#[test]
fn the_log_gives_back_what_is_not_in_memory() {
    let mut mempool = mempool(0, 4, Batching::default());
    mempool.replayed();
    let mut effects = vec![];
    let (bytes, name) = batch(2, 0);
    mempool.handle(NOW, worker(2), Message::Batch(bytes.clone()), &mut effects);
    mempool.logged(EntryNumber(7));
    mempool.order(NOW, &order(0, 0, vec![ordered(2, name)]), &mut effects);
    assert_eq!(mempool.batch(&name.id), Some(&bytes[..]), "little waits");
    mempool.executed(&name.id);
    assert!(mempool.batch(&name.id).is_none() && mempool.holds(&name.id));
    effects.clear();
    for peer in [1, 3, 1] {
        mempool.handle(NOW, worker(peer), Message::BatchRequest(vec![name.id]), &mut effects);
    }
    assert_eq!(effects, vec![Effect::Recall(EntryNumber(7))], "asked for once");
    effects.clear();
    mempool.recalled(EntryNumber(7), Some(bytes.clone()), &mut effects);
    let given = [1, 3].map(|peer| (vec![worker(peer)], Message::Batch(bytes.clone())));
    assert_eq!(sent(&mut effects), given);
    assert!(mempool.batch(&name.id).is_none(), "it was for others");
    mempool.want(NOW, AuthorityIndex(2), name, &mut effects);
    assert_eq!(effects, vec![Effect::Recall(EntryNumber(7))], "ordered once more");
    mempool.recalled(EntryNumber(7), Some(bytes.clone()), &mut effects);
    assert_eq!(mempool.batch(&name.id), Some(&bytes[..]));
    mempool.executed(&name.id);
    effects.clear();
    mempool.want(NOW, AuthorityIndex(2), name, &mut effects);
    mempool.recalled(EntryNumber(7), None, &mut effects);
    effects.clear();
    mempool.want(NOW, AuthorityIndex(2), name, &mut effects);
    assert_eq!(
        sent(&mut effects),
        vec![(vec![worker(2)], Message::BatchRequest(vec![name.id]))],
        "from others"
    );
}

#[test]
fn bytes_of_another_shard_or_none_are_refused() {
    let mut mempool = mempool(0, 4, Batching::default());
    let mut effects = vec![];
    let transactions = vec![transfer(2, 0).sign(&key(2))];
    let (other, _) = Batch { author: AuthorityIndex(1), shard: ShardId(1), transactions }.seal();
    for bytes in [other, vec![], vec![1, 0, 0]] {
        mempool.handle(NOW, worker(1), Message::Batch(bytes), &mut effects);
    }
    assert_eq!((effects, mempool.counters().refused), (vec![], 3));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// Whatever is lost, repeated or reordered among the workers, every batch of everybody ends up offered exactly
    /// once and stored everywhere.
    #[test]
    fn lossy_links_only_delay(seed in any::<u64>(), loss in 0_u64..60) {
        let mut random = seed | 1;
        let mut next = move || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random
        };
        let mut pools: Vec<Mempool> = (0..4).map(|a| mempool(a, 4, Batching::default())).collect();
        let mut wire: Vec<(u64, Party, Party, Message)> = vec![];
        let mut offers = vec![vec![]; 4];
        let mut now = NOW;
        let mut submitted = 0;
        for step in 0..20_000 {
            let mut effects: Vec<(u16, Vec<Effect>)> = vec![];
            if step < 40 {
                let a = (step % 4) as u16;
                let mut own = vec![];
                submit_one(&mut pools[usize::from(a)], step / 4, &mut own);
                submitted += 1;
                effects.push((a, own));
            }
            let due = wire.iter().position(|(at, ..)| *at <= now.0);
            if let Some(place) = due {
                let (_, from, to, message) = wire.swap_remove(place);
                let a = to.authority().unwrap().0;
                let mut own = vec![];
                pools[usize::from(a)].handle(now, from, message, &mut own);
                effects.push((a, own));
            } else if step >= 40 {
                let ticks = pools.iter().filter_map(Mempool::deadline).map(|deadline| deadline.0);
                let Some(then) = ticks.chain(wire.iter().map(|(at, ..)| *at)).min() else { break };
                now = now.max(Timestamp(then));
                for a in 0..4_u16 {
                    let mut own = vec![];
                    pools[usize::from(a)].tick(now, &mut own);
                    effects.push((a, own));
                }
            }
            for (a, mut own) in effects {
                for (to, message) in sent(&mut own) {
                    for to in to.into_iter().filter(|to| matches!(to, Party::Worker(..))) {
                        if next() % 100 >= loss {
                            wire.push((now.0 + next() % 30_000, worker(a), to, message.clone()));
                        }
                    }
                }
                offers[usize::from(a)].extend(pools[usize::from(a)].take_offers());
            }
        }
        prop_assert_eq!(submitted, 40);
        let mut names: Vec<BatchRef> = offers.concat();
        prop_assert_eq!(names.iter().map(|name| name.count).sum::<u32>(), 40);
        prop_assert!(pools.iter().all(|pool| names.iter().all(|name| pool.batch(&name.id).is_some())));
        names.sort();
        names.dedup();
        prop_assert_eq!(names.len() as u64, pools.iter().map(|pool| pool.counters().sealed).sum::<u64>());
    }
}
