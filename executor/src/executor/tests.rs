use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicU64, Ordering},
};

use fresnel_types::{
    Action, BlockIndex, ChainId, FailureCode, Nonce, Pair, PublicKey, ReceiptKind, Sequence, Signature,
    SignedTransaction, Timestamp, Transaction, action::Asset, genesis::Allocation, leaves::Holding,
    limits::NONCE_WINDOW, transaction::VoidCode,
};
use proptest::prelude::*;

use super::*;
use crate::engine::{Clock, Policy};

mod programs;

const OWNERS: u16 = 24;
const FUNDED: u16 = 12;

fn public(owner: u16) -> PublicKey {
    let mut key = [0; 32];
    key[..2].copy_from_slice(&owner.to_be_bytes());
    PublicKey(key)
}

fn genesis(shards: u16, window: u64) -> Genesis {
    let accounts: BTreeMap<_, _> =
        (0..FUNDED).map(|owner| (public(owner).address(), Amount(1_000))).collect();
    Genesis {
        protocol: fresnel_types::limits::PROTOCOL_VERSION,
        name: "test".into(),
        shards: Shards::new(shards).expect("valid"),
        parameters: Parameters { window, account_minimum: Amount(10), ..Parameters::default() },
        authorities: vec![],
        accounts: accounts.into_iter().map(|(address, amount)| Allocation { address, amount }).collect(),
    }
}

fn shard_of(shards: Shards, owner: u16) -> ShardId {
    shards.of_prefix(public(owner).address().prefix())
}

/// The `place`-th funded or not funded owner in a shard.
fn owner(shards: Shards, shard: u16, funded: bool, place: usize) -> u16 {
    let range = if funded { 0..FUNDED } else { FUNDED..OWNERS };
    range.filter(|owner| shard_of(shards, *owner).0 == shard).nth(place).expect("enough owners in each shard")
}

fn pay(from: u16, nonce: u64, fee: u64, to: u16, amount: u64) -> SignedTransaction {
    SignedTransaction {
        transaction: Transaction {
            chain: ChainId::default(),
            sender: public(from),
            nonce: Nonce(nonce),
            fee: Amount(fee),
            valid_until: Timestamp(100),
            action: Action::Transfer { recipient: public(to).address(), amount: Amount(amount) },
        },
        signature: Signature::default(),
    }
}

fn block(
    executor: &mut Executor,
    receipts: &[(ShardId, Receipt)],
    batch: &[SignedTransaction],
) -> BlockOutput {
    executor.execute(&BlockInput {
        opened: Timestamp(100),
        peers: &[],
        next_source: ShardId(0),
        receipts,
        batches: &[batch],
    })
}

fn outcomes(output: &BlockOutput) -> Vec<Outcome> {
    output.outcomes.iter().map(|(_, outcome)| *outcome).collect()
}

fn from(source: u16, receipts: &[Receipt]) -> Vec<(ShardId, Receipt)> {
    receipts.iter().map(|receipt| (ShardId(source), *receipt)).collect()
}

#[test]
fn every_outcome_inside_a_shard() {
    use fresnel_types::transaction::VoidCode::{Expired, Fee, Nonce as Used};
    let genesis = genesis(1, 1);
    let (mut executor, _) = Executor::genesis(ShardId(0), &genesis);
    let mut late = pay(0, 60, 1, 1, 1);
    late.transaction.valid_until = Timestamp(99);
    let output = block(
        &mut executor,
        &[],
        &[
            pay(0, 0, 1, 1, 100),
            pay(0, 0, 1, 1, 100),
            pay(0, 64 + 1, 1, 1, 1),
            pay(0, 5, 900, 1, 1),
            pay(0, 5, 1, 1, 899),
            pay(0, 6, 1, 20, 9),
            pay(0, 7, 1, 20, 10),
            pay(0, 8, 1, 20, 1),
            pay(0, 9, 1, 0, 5),
            pay(23, 0, 0, 0, 1),
            late,
        ],
    );
    let failed = |code| Outcome::Failed(code);
    assert_eq!(
        outcomes(&output),
        [
            Outcome::Success,
            Outcome::Void(Used),
            Outcome::Void(Used),
            Outcome::Void(Fee),
            failed(FailureCode::InsufficientBalance),
            failed(FailureCode::BelowAccountMinimum),
            Outcome::Success,
            Outcome::Success,
            Outcome::Success,
            Outcome::Void(Fee),
            Outcome::Void(Expired),
        ]
    );
    let sender = executor.account(&public(0).address()).expect("funded");
    assert_eq!((sender.balance, sender.nonce_base), (Amount(1_000 - 100 - 10 - 1 - 6), 1));
    assert_eq!(executor.account(&public(20).address()).expect("opened").balance, Amount(11));
    assert_eq!(output.totals.burned, Amount(6));
    assert_eq!(output.totals.supply, Amount(12_000 - 6));
    assert_eq!(outcomes(&block(&mut executor, &[], &[pay(0, 5, 1, 1, 1)])), [Outcome::Void(Used)]);
}

/// A request to an account that it would open too small comes back, and its window slot with it.
#[test]
fn a_bounce_returns_amount_and_window_slot() {
    let genesis = genesis(2, 1);
    let (mut near, _) = Executor::genesis(ShardId(0), &genesis);
    let (mut far, _) = Executor::genesis(ShardId(1), &genesis);
    let (sender, missing) = (owner(genesis.shards, 0, true, 0), owner(genesis.shards, 1, false, 0));
    let sent = block(&mut near, &[], &[pay(sender, 0, 1, missing, 9), pay(sender, 1, 1, missing, 9)]);
    assert_eq!(outcomes(&sent), [Outcome::Success, Outcome::Failed(FailureCode::WindowFull)]);
    assert_eq!(near.account(&public(sender).address()).expect("funded").balance, Amount(1_000 - 9 - 2));

    let bounced = block(&mut far, &from(0, &sent.outbox[1]), &[]);
    assert_eq!(bounced.applied[0].bounced, Some(FailureCode::BelowAccountMinimum));
    assert_eq!(far.account(&public(missing).address()), None);
    assert_eq!(bounced.outbox[0].len(), 1);

    let back = near.execute(&BlockInput {
        opened: Timestamp(0),
        peers: &[PeerCounters {
            shard: ShardId(1),
            block: BlockIndex(1),
            consumed: bounced.pairs[0].consumed,
            bounced: bounced.pairs[0].bounced,
        }],
        next_source: ShardId(1),
        receipts: &from(1, &bounced.outbox[0]),
        batches: &[&[pay(sender, 2, 0, missing, 10)]],
    });
    assert_eq!(outcomes(&back), [Outcome::Success], "the slot is free again in the block of the bounce");
    assert_eq!(near.account(&public(sender).address()).expect("funded").balance, Amount(1_000 - 2 - 10));
    assert_eq!(back.outbox[1][0].sequence, Sequence(1));
    assert_eq!(back.totals.next_source, ShardId(1));
    block(&mut far, &from(0, &back.outbox[1]), &[]);
    assert_eq!(far.account(&public(missing).address()).expect("opened").balance, Amount(10));
}

#[test]
#[should_panic(expected = "X2")]
fn a_receipt_is_consumed_once() {
    let genesis = genesis(2, 4);
    let (mut near, _) = Executor::genesis(ShardId(0), &genesis);
    let (mut far, _) = Executor::genesis(ShardId(1), &genesis);
    let (sender, other) = (owner(genesis.shards, 0, true, 0), owner(genesis.shards, 1, true, 0));
    let sent = block(&mut near, &[], &[pay(sender, 0, 1, other, 9)]);
    block(&mut far, &from(0, &sent.outbox[1]), &[]);
    block(&mut far, &from(0, &sent.outbox[1]), &[]);
}

#[test]
#[should_panic(expected = "as this executor's resolver resolved them")]
fn places_of_another_executor_are_refused() {
    let genesis = genesis(1, 1);
    let (mut executor, _) = Executor::genesis(ShardId(0), &genesis);
    let (other, _) = Executor::genesis(ShardId(0), &genesis);
    let batch = [pay(0, 0, 1, 1, 1)];
    let input = BlockInput {
        opened: Timestamp(0),
        peers: &[],
        next_source: ShardId(0),
        receipts: &[],
        batches: &[&batch],
    };
    executor.execute_resolved(&input, vec![other.resolver().resolve(&batch)]);
}

/// A clock by which every step takes a second.
fn ticking() -> u64 {
    static NOW: AtomicU64 = AtomicU64::new(0);
    NOW.fetch_add(1_000_000_000, Ordering::Relaxed)
}

/// A ledger without shards, tables or leaves, written from the rules.
#[derive(Default)]
struct Ledger {
    balances: BTreeMap<Address, u64>,
    used: BTreeMap<Address, BTreeSet<u64>>,
}

impl Ledger {
    fn execute(&mut self, signed: &SignedTransaction, minimum: u64) -> Outcome {
        let Transaction { sender, nonce, fee, ref action, .. } = signed.transaction;
        let Action::Transfer { recipient, amount } = *action else {
            panic!("the ledger knows transfers only")
        };
        let sender = sender.address();
        let Some(&balance) = self.balances.get(&sender) else { return Outcome::Void(VoidCode::Fee) };
        let used = self.used.entry(sender).or_default();
        let base = (0..).find(|nonce| !used.contains(nonce)).expect("unbounded");
        if used.contains(&nonce.0) || nonce.0 < base || nonce.0 >= base + NONCE_WINDOW {
            return Outcome::Void(VoidCode::Nonce);
        }
        if balance < fee.0 {
            return Outcome::Void(VoidCode::Fee);
        }
        used.insert(nonce.0);
        self.balances.insert(sender, balance - fee.0);
        if balance - fee.0 < amount.0 {
            return Outcome::Failed(FailureCode::InsufficientBalance);
        }
        if !self.balances.contains_key(&recipient) && amount.0 < minimum {
            return Outcome::Failed(FailureCode::BelowAccountMinimum);
        }
        *self.balances.get_mut(&sender).expect("looked up above") -= amount.0;
        *self.balances.entry(recipient).or_default() += amount.0;
        Outcome::Success
    }
}

fn payments(count: usize) -> impl Strategy<Value = Vec<SignedTransaction>> {
    let payment = (0..OWNERS, 0_u64..90, 0_u64..40, 0..OWNERS, 1_u64..400).prop_map(
        |(from, nonce, fee, to, amount)| pay(from, nonce, fee, to, amount / if amount < 60 { 6 } else { 1 }),
    );
    prop::collection::vec(payment, 0..count)
}

/// A chain of shards in which bundles arrive after any delay, in order per pair.
struct Network {
    genesis: Genesis,
    executors: Vec<Executor>,
    /// Per source and destination: emitted and not yet consumed, with the blocks they came in.
    waiting: BTreeMap<(usize, usize), Vec<Receipt>>,
    results: Vec<Vec<Pair>>,
    leaves: Vec<BTreeMap<StateKey, Vec<u8>>>,
    blocks: u64,
    /// Consumed so far.
    bounces: u64,
}

impl Network {
    fn new(genesis: Genesis) -> Self {
        let count = genesis.shards.count();
        let (executors, writes): (Vec<_>, Vec<_>) =
            genesis.shards.iter().map(|shard| Executor::genesis(shard, &genesis)).unzip();
        let mut network = Self {
            genesis,
            executors,
            waiting: BTreeMap::new(),
            results: vec![vec![Pair::default(); count]; count],
            leaves: vec![BTreeMap::new(); count],
            blocks: 0,
            bounces: 0,
        };
        writes.iter().enumerate().for_each(|(shard, writes)| network.write(shard, writes));
        network
    }

    fn write(&mut self, shard: usize, writes: &WriteSet) {
        for (key, value) in writes.iter() {
            self.leaves[shard].insert(*key, value.expect("execution deletes nothing").to_vec());
        }
    }

    /// One block of one shard that takes up to `take` waiting receipts of each source. A twin restored from the leaves
    /// must do the same.
    fn step(&mut self, shard: usize, take: usize, batch: &[SignedTransaction]) -> BlockOutput {
        self.blocks += 1;
        let (mut receipts, mut peers) = (vec![], vec![]);
        for source in (0..self.executors.len()).filter(|source| *source != shard) {
            let waiting = self.waiting.entry((source, shard)).or_default();
            let end = take.min(waiting.len());
            receipts.extend(waiting.drain(..end).map(|receipt| (ShardId(source as u16), receipt)));
            let said = self.results[source][shard];
            peers.push(PeerCounters {
                shard: ShardId(source as u16),
                block: BlockIndex(self.blocks),
                consumed: said.consumed,
                bounced: said.bounced,
            });
        }
        let input = BlockInput {
            opened: Timestamp(5),
            peers: &peers,
            next_source: ShardId(shard as u16),
            receipts: &receipts,
            batches: &[batch],
        };
        for (_, receipt) in &receipts {
            if let ReceiptKind::Bounce { recipient, asset, .. } = receipt.kind {
                let key = match asset {
                    Asset::Native => Account::key(&recipient),
                    Asset::Token(issuer) => Holding::key(&recipient, &issuer),
                };
                assert!(
                    self.leaves[shard].contains_key(&key),
                    "a bounce finds whoever sent what it brings back"
                );
                self.bounces += 1;
            }
        }
        let leaves = self.leaves[shard].clone();
        let id = ShardId(shard as u16);
        let mut twin = Executor::restore(id, self.genesis.shards, &self.genesis.parameters, leaves);
        let output = self.executors[shard].execute(&input);
        assert_eq!(output, twin.execute(&input), "E1: a restored shard continues alike");
        self.write(shard, &output.writes);
        for (key, value) in &self.leaves[shard] {
            assert_eq!(self.executors[shard].leaf(key).as_ref(), Some(value), "every change was written");
        }
        for (destination, emitted) in output.outbox.iter().enumerate() {
            self.waiting.entry((shard, destination)).or_default().extend(emitted);
        }
        self.results[shard] = output.pairs.clone();
        output
    }

    /// Invariant X1, from totals and pairs alone.
    fn audit(&self) {
        let totals: Vec<TotalsLeaf> = self.executors.iter().map(Executor::totals).collect();
        let mut sum: u64 = totals.iter().map(|totals| totals.supply.0 + totals.burned.0).sum();
        for source in 0..totals.len() {
            for destination in 0..totals.len() {
                let (here, there) = (self.results[source][destination], self.results[destination][source]);
                let settled = there.consumed.value - there.bounced.value + here.returned.value;
                sum += here.sent.value - settled;
            }
        }
        assert_eq!(sum, self.genesis.supply().0, "X1: nothing appears and nothing is lost");
    }
}

proptest! {
    /// E2 for the serial engine: one shard does what the rules say.
    #[test]
    fn one_shard_is_a_plain_ledger(blocks in prop::collection::vec(payments(60), 1..6)) {
        let genesis = genesis(1, 1);
        let mut ledger = Ledger::default();
        ledger.balances.extend(genesis.accounts.iter().map(|account| (account.address, account.amount.0)));
        let mut network = Network::new(genesis);
        for batch in &blocks {
            let expected: Vec<_> = batch.iter().map(|signed| ledger.execute(signed, 10)).collect();
            prop_assert_eq!(outcomes(&network.step(0, 0, batch)), expected);
            network.audit();
        }
        for owner in 0..OWNERS {
            let address = public(owner).address();
            let balance = network.executors[0].account(&address).map(|account| account.balance.0);
            prop_assert_eq!(balance, ledger.balances.get(&address).copied());
        }
    }

    /// What was resolved before anything executed, accounts that earlier blocks open included, executes alike.
    #[test]
    fn resolving_ahead_changes_nothing(blocks in prop::collection::vec(payments(60), 1..6)) {
        let genesis = genesis(2, 3);
        let (mut plain, _) = Executor::genesis(ShardId(1), &genesis);
        let (mut ahead, _) = Executor::genesis(ShardId(1), &genesis);
        let resolver = ahead.resolver();
        let resolved: Vec<_> = blocks.iter().map(|batch| resolver.resolve(batch)).collect();
        for (batch, resolved) in blocks.iter().zip(resolved) {
            let input = BlockInput {
                opened: Timestamp(5),
                peers: &[],
                next_source: ShardId(0),
                receipts: &[],
                batches: &[batch],
            };
            prop_assert_eq!(plain.execute(&input), ahead.execute_resolved(&input, vec![resolved]));
        }
    }

    /// E2: whatever engine executes, blocks end alike, receipts, windows and new accounts included.
    #[test]
    fn engines_change_nothing(
        window in 1_u64..9,
        threads in 1_usize..4,
        mean_ns in prop::sample::select(vec![0_u64, 1_000_000]),
        blocks in prop::collection::vec(payments(120), 1..5),
    ) {
        let genesis = genesis(2, window);
        let (mut plain, _) = Executor::genesis(ShardId(0), &genesis);
        let clock: Clock = if mean_ns == 0 { || 0 } else { ticking };
        let mut others: Vec<_> = [Policy::Serial, Policy::Auto, Policy::Speculative]
            .into_iter()
            .map(|policy| {
                let (mut executor, _) = Executor::genesis(ShardId(0), &genesis);
                executor.set_engine(Engine::new(threads, policy, clock));
                executor
            })
            .collect();
        for batch in &blocks {
            let expected = block(&mut plain, &[], batch);
            for other in &mut others {
                prop_assert_eq!(&block(other, &[], batch), &expected);
            }
        }
        let count: u64 = blocks.iter().map(|batch| batch.len() as u64).sum();
        let speculative = others[2].metrics().expect("has an engine").speculative;
        prop_assert_eq!(speculative, count);
    }

    /// X1, X2, E1 and E3 over random traffic, delays, windows and duplicates; and X4: everything drains in the end.
    #[test]
    fn value_is_conserved_across_shards(
        window in 1_u64..5,
        steps in prop::collection::vec((0_usize..4, 0_usize..4, payments(30)), 1..24),
    ) {
        let mut network = Network::new(genesis(4, window));
        let mut used = BTreeSet::new();
        for (shard, take, batch) in &steps {
            let output = network.step(*shard, *take, batch);
            for ((_, outcome), signed) in output.outcomes.iter().zip(batch) {
                if !matches!(outcome, Outcome::Void(_)) {
                    let nonce = (signed.transaction.sender, signed.transaction.nonce);
                    prop_assert!(used.insert(nonce), "E3: a nonce was used twice");
                }
            }
            network.audit();
        }
        for shard in (0..4).cycle().take(12) {
            network.step(shard, usize::MAX, &[]);
            network.audit();
        }
        let supply: u64 = network.executors.iter().map(|one| one.totals().supply.0 + one.totals().burned.0).sum();
        prop_assert_eq!(supply, network.genesis.supply().0, "nothing is in flight once all is delivered");
        for (shard, executor) in network.executors.iter().enumerate() {
            for other in (0..4).filter(|other| *other != shard) {
                prop_assert_eq!(executor.pair(ShardId(other as u16)).outstanding(), 0);
            }
        }
    }

    /// Nonces of a window execute in any order with the same end.
    #[test]
    fn nonces_come_in_any_order(order in Just((0_u64..64).collect::<Vec<_>>()).prop_shuffle()) {
        let (mut executor, _) = Executor::genesis(ShardId(0), &genesis(1, 1));
        let batch: Vec<_> = order.iter().map(|nonce| pay(0, *nonce, 1, 1, 1)).collect();
        let output = block(&mut executor, &[], &batch);
        prop_assert!(outcomes(&output).iter().all(|outcome| *outcome == Outcome::Success));
        let account = executor.account(&public(0).address()).expect("funded");
        prop_assert_eq!(account, Account { balance: Amount(1_000 - 128), nonce_base: 64, nonce_bits: 0 });
    }
}
