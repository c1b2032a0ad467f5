//! Scenarios: what a listening client hears, in order.

use fresnel_types::{
    Address, Amount, Epoch, FailureCode, LogDigest, Record, StateRoot,
    hash::Root,
    merkle::Path,
    record::{Pair, Tally},
    transaction::VoidCode,
};

use super::*;

const OWN: ShardId = ShardId(0);
const OTHER: ShardId = ShardId(1);
const CLIENT: ClientId = ClientId(7);

fn id(byte: u8) -> TransactionId {
    TransactionId([byte; 32])
}

fn request(sequence: u64, transaction: u8) -> Receipt {
    Receipt {
        sequence: Sequence(sequence),
        transaction: id(transaction),
        kind: ReceiptKind::Request {
            sender: Address([1; 32]),
            recipient: Address([2; 32]),
            amount: Amount(1),
            asset: fresnel_types::action::Asset::Native,
        },
    }
}

/// A bundle of the other shard that has consumed `consumed` requests and bounces the given transactions.
fn bundle(consumed: u64, bounced: &[u8]) -> Bundle {
    let tally = |count| Tally { count, value: 0 };
    let pairs =
        vec![Pair { consumed: tally(consumed), bounced: tally(bounced.len() as u64), ..Pair::default() }; 2];
    let kind = ReceiptKind::Bounce {
        recipient: Address([1; 32]),
        amount: Amount(1),
        asset: fresnel_types::action::Asset::Native,
        code: FailureCode::BelowAccountMinimum,
    };
    let receipts =
        bounced.iter().map(|&t| Receipt { sequence: Sequence(0), transaction: id(t), kind }).collect();
    let record = Record {
        epoch: Epoch(0),
        shard: OTHER,
        block: BlockIndex(9),
        log: LogDigest([0; 32]),
        position: 0,
        earlier: Root::default(),
        state: StateRoot::default(),
        outbox: Root::default(),
        results: Root::default(),
        supply: Amount(0),
        burned: Amount(0),
        pairs,
    };
    Bundle { destination: OWN, record, receipts, path: Path { index: 0, count: 2, siblings: vec![] } }
}

fn heard(settlement: &mut Settlement) -> Vec<(u8, Level, bool)> {
    let mut effects = Vec::new();
    settlement.flush(&mut effects);
    effects
        .into_iter()
        .flat_map(|effect| match effect {
            Effect::Send { message: Message::Progress(news), .. } => news,
            other => panic!("only news was expected: {other:?}"),
        })
        .map(|news| (news.transaction.0[0], news.level, news.bounced))
        .collect()
}

fn run(
    settlement: &mut Settlement,
    block: u64,
    transactions: &[u8],
    requests: Vec<Receipt>,
    returned: &[u8],
) {
    let outcomes: Vec<_> = transactions.iter().map(|&t| (id(t), Outcome::Success)).collect();
    settlement.executed(BlockIndex(block), &outcomes, &[vec![], requests], returned.iter().map(|&t| id(t)));
}

#[test]
fn a_local_transfer_is_settled_when_final() {
    let mut settlement = Settlement::default();
    settlement.listen(CLIENT, id(1));
    settlement.ordered(&id(1));
    run(&mut settlement, 1, &[1, 2], vec![], &[]);
    assert!(settlement.is_open());
    settlement.certified(BlockIndex(1));
    assert!(!settlement.is_open());
    use Level::{Executed, Ordered, Settled};
    assert_eq!(
        heard(&mut settlement),
        vec![(1, Ordered, false), (1, Executed, false), (1, Settled, false)],
        "and nothing about the transaction that nobody asked for"
    );
}

#[test]
fn a_request_is_settled_when_consumed_in_a_certified_record() {
    let mut settlement = Settlement::default();
    settlement.listen(CLIENT, id(1));
    run(&mut settlement, 1, &[1], vec![request(0, 1)], &[]);
    settlement.certified(BlockIndex(1));
    settlement.consumed(OWN, &bundle(0, &[]), 0);
    assert_eq!(heard(&mut settlement).last(), Some(&(1, Level::Final, false)));
    assert_eq!(settlement.in_flight(), 1);
    settlement.consumed(OWN, &bundle(1, &[]), 0);
    assert_eq!(heard(&mut settlement), vec![(1, Level::Settled, false)]);
    assert_eq!(settlement.in_flight(), 0);
}

#[test]
fn a_bounced_request_is_settled_when_the_bounce_is_consumed_and_certified() {
    let mut settlement = Settlement::default();
    settlement.listen(CLIENT, id(1));
    run(&mut settlement, 1, &[1], vec![request(0, 1)], &[]);
    settlement.certified(BlockIndex(1));
    settlement.consumed(OWN, &bundle(1, &[1]), 0);
    run(&mut settlement, 5, &[], vec![], &[1]);
    assert_eq!(heard(&mut settlement).last(), Some(&(1, Level::Final, false)));
    assert_eq!(settlement.in_flight(), 1);
    settlement.certified(BlockIndex(5));
    assert_eq!(heard(&mut settlement), vec![(1, Level::Settled, true)]);
    assert!(!settlement.is_open());
}

#[test]
fn news_of_consumption_before_news_of_the_own_certificate_waits_for_it() {
    let mut settlement = Settlement::default();
    settlement.listen(CLIENT, id(1));
    run(&mut settlement, 1, &[1], vec![request(0, 1)], &[]);
    settlement.consumed(OWN, &bundle(1, &[]), 0);
    assert_eq!(heard(&mut settlement).last(), Some(&(1, Level::Executed, false)));
    settlement.certified(BlockIndex(1));
    assert_eq!(heard(&mut settlement), vec![(1, Level::Settled, false)]);
}

#[test]
fn a_repeated_transaction_keeps_its_first_outcome_and_a_late_listener_hears_it() {
    let mut settlement = Settlement::default();
    run(&mut settlement, 1, &[1], vec![], &[]);
    settlement.executed(BlockIndex(2), &[(id(1), Outcome::Void(VoidCode::Nonce))], &[], std::iter::empty());
    settlement.certified(BlockIndex(2));
    settlement.listen(CLIENT, id(1));
    assert_eq!(heard(&mut settlement), vec![(1, Level::Settled, false)]);
    let progress = settlement.progress(&id(1)).expect("known");
    assert_eq!((progress.outcome, progress.block), (Some(Outcome::Success), BlockIndex(1)));
}

#[test]
fn clients_that_are_gone_hear_nothing_and_leave_their_place_to_others() {
    let mut settlement = Settlement::default();
    for client in 0..LISTENERS_MAX as u64 {
        settlement.listen(ClientId(100 + client), id(1));
    }
    settlement.forget_client(ClientId(100));
    settlement.listen(CLIENT, id(1));
    settlement.ordered(&id(1));
    let mut effects = Vec::new();
    settlement.flush(&mut effects);
    let told: Vec<_> = effects
        .iter()
        .map(|effect| match effect {
            Effect::Send { to, .. } => to[0],
            _ => panic!("news are not kept"),
        })
        .collect();
    let expected = [7, 101, 102, 103].map(|client| Party::Client(ClientId(client)));
    assert_eq!(told, expected);
}

#[test]
fn memory_is_bounded() {
    let mut settlement = Settlement::default();
    for number in 0..(NEWS_RETAINED as u64 + 10) {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        settlement.listen(CLIENT, TransactionId(bytes));
    }
    assert_eq!((settlement.news.known.len(), settlement.news.numbers.len()), (NEWS_RETAINED, NEWS_RETAINED));
}
