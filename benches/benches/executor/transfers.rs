//! Serial transfers among a million accounts: the engine's loop on resolved places beside one written by hand, and all that happens to
//! a transfer from the bytes of its batch to its outcome.
//!
//! Finding two lines of a table of 64 MB is what a transfer costs, so it matters what else was in the caches. Both loops run twice:
//! several blocks one right after the other; and within an executor's blocks, which were decoded and resolved ahead as in a
//! worker, so that nothing of a block is in a near cache any more when its turn comes.

use std::{sync::Arc, time::Duration};

use fresnel_crypto::{large_pages, prefetch};
use fresnel_executor::{EXISTS, Engine, Place, Program, View};
use fresnel_types::{Action, Amount, AuthorityIndex, Batch, Outcome, ShardId, codec};
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};
use serde::Serialize;

use crate::{
    people::{People, START},
    programs::{BLOCK, input},
    timed,
};

/// What something costs a transfer.
#[derive(Serialize)]
pub(crate) struct Step {
    pub(crate) step: &'static str,
    /// Quartiles over blocks.
    pub(crate) ns: [f64; 3],
}

/// A transfer between numbered accounts.
#[derive(Clone, Copy)]
struct Order {
    from: u32,
    to: u32,
    nonce: u64,
    amount: u64,
}

/// An account as the engine keeps it: the key, three words and the block that changed it last, in a cache line.
#[repr(align(64))]
#[derive(Clone)]
struct Slot {
    _key: [u64; 4],
    balance: u64,
    nonce_base: u64,
    nonce_bits: u64,
    changed: u64,
}

/// Transfers for the bare engine, by the same rules.
struct Orders(Vec<Order>);

impl Program for Orders {
    fn count(&self) -> usize {
        self.0.len()
    }

    #[inline]
    fn places(&self, transaction: usize) -> impl Iterator<Item = Place> {
        let Order { from, to, .. } = self.0[transaction];
        [from, to].into_iter()
    }

    #[inline]
    fn execute(&self, transaction: usize, view: &mut impl View) -> u64 {
        let Order { from, to, nonce, amount } = self.0[transaction];
        let [balance, nonce_base, nonce_bits] = view.read(from);
        let nonce_bits = nonce_bits & !EXISTS;
        let place = nonce.wrapping_sub(nonce_base);
        if place >= 64 || nonce_bits >> place & 1 == 1 || balance < amount {
            return 1;
        }
        let used = nonce_bits | 1 << place;
        let below = used.trailing_ones();
        let nonce_bits = used.checked_shr(below).unwrap_or(0);
        let value = [balance - amount, nonce_base + u64::from(below), nonce_bits | EXISTS];
        view.write(from, value);
        view.credit(to, amount);
        0
    }
}

/// What every loop must do: the rules of a transfer, outcomes, and a list of what changed.
#[inline(never)]
fn by_hand(slots: &mut [Slot], orders: &[Order], block: u64, changed: &mut Vec<u32>) -> Vec<u64> {
    let mut outcomes = Vec::with_capacity(orders.len());
    for (at, order) in orders.iter().enumerate() {
        if let Some(later) = orders.get(at + PREFETCHED) {
            prefetch(&slots[later.from as usize]);
            prefetch(&slots[later.to as usize]);
        }
        let from = &mut slots[order.from as usize];
        let place = order.nonce.wrapping_sub(from.nonce_base);
        if place >= 64 || from.nonce_bits >> place & 1 == 1 || from.balance < order.amount {
            outcomes.push(1);
            continue;
        }
        from.balance -= order.amount;
        from.nonce_bits |= 1 << place;
        let used = from.nonce_bits.trailing_ones();
        from.nonce_base += u64::from(used);
        from.nonce_bits = from.nonce_bits.checked_shr(used).unwrap_or(0);
        if from.changed != block {
            from.changed = block;
            changed.push(order.from);
        }
        let to = &mut slots[order.to as usize];
        to.balance += order.amount;
        if to.changed != block {
            to.changed = block;
            changed.push(order.to);
        }
        outcomes.push(0);
    }
    outcomes
}

/// Measures all.
pub(crate) fn measure(engine: impl Fn() -> Engine) -> Vec<Step> {
    let mut steps = back_to_back(engine());
    steps.extend(within_blocks(engine()));
    steps
}

/// Random transfers with rising nonces.
struct Source {
    random: ChaCha12Rng,
    nonces: Vec<u64>,
}

impl Source {
    fn new() -> Self {
        Self { random: ChaCha12Rng::seed_from_u64(1), nonces: vec![0; ACCOUNTS] }
    }

    fn block(&mut self) -> Vec<Order> {
        let order = |_| {
            let [from, to] = [(); 2].map(|()| (self.random.next_u64() % ACCOUNTS as u64) as u32);
            let nonce = self.nonces[from as usize];
            self.nonces[from as usize] += 1;
            Order { from, to, nonce, amount: 3 }
        };
        (0..BLOCK).map(order).collect()
    }
}

fn slots() -> Vec<Slot> {
    let slot = Slot { _key: [0; 4], balance: START.0, nonce_base: 0, nonce_bits: 0, changed: u64::MAX };
    let slots = vec![slot; ACCOUNTS];
    large_pages(&slots);
    slots
}

/// Both loops on the same blocks, some by the one and then by the other.
fn back_to_back(mut engine: Engine) -> Vec<Step> {
    let (mut slots, mut table, mut source) = (slots(), crate::table(ACCOUNTS as u64), Source::new());
    for place in 0..ACCOUNTS as Place {
        table.set_value(place, &[START.0, 0, EXISTS]);
    }
    table.take_changed();
    let mut times: [Vec<Duration>; 2] = Default::default();
    for round in 0..ROUNDS {
        let blocks: Vec<_> = (0..AHEAD).map(|_| Arc::new(Orders(source.block()))).collect();
        for block in &blocks {
            let mut outcomes = vec![];
            times[0].push(timed(|| outcomes = engine.run(&mut table, block, &mut [])));
            assert!(outcomes.iter().all(|outcome| *outcome == 0));
        }
        table.take_changed();
        let mut changed = Vec::with_capacity(2 * BLOCK * AHEAD);
        for (number, block) in blocks.iter().enumerate() {
            let mut outcomes = vec![];
            let number = (round * AHEAD + number) as u64;
            times[1].push(timed(|| outcomes = by_hand(&mut slots, &block.0, number, &mut changed)));
            assert!(outcomes.iter().all(|outcome| *outcome == 0));
        }
    }
    for (slot, place) in slots.iter().zip(0..) {
        let [balance, nonce_base, _] = table.value(place);
        assert_eq!((balance, nonce_base), (slot.balance, slot.nonce_base));
    }
    steps(["the engine's loop, block after block", "a loop by hand, block after block"], times)
}

/// The steps of an executor's blocks, and the loop by hand between them.
fn within_blocks(engine: Engine) -> Vec<Step> {
    let mut people = People::new(ACCOUNTS);
    let mut executor = people.executor();
    executor.set_engine(engine);
    let (mut slots, mut source) = (slots(), Source::new());
    let mut times: [Vec<Duration>; 5] = Default::default();
    for round in 0..ROUNDS {
        let blocks: Vec<_> = (0..AHEAD).map(|_| source.block()).collect();
        let bytes: Vec<_> = blocks.iter().map(|block| seal(&mut people, block)).collect();
        let resolver = executor.resolver();
        let mut ahead = Vec::new();
        for bytes in bytes {
            let (mut batches, mut resolved) = (Vec::new(), Vec::new());
            times[0].push(timed(|| batches = decode(&bytes)));
            let resolve = |batch: &Batch| resolver.resolve(&batch.transactions);
            times[1].push(timed(|| resolved = batches.iter().map(resolve).collect()));
            ahead.push((batches, resolved));
        }
        for (number, (block, (batches, resolved))) in blocks.iter().zip(ahead).enumerate() {
            let transactions: Vec<&[_]> = batches.iter().map(|batch| batch.transactions.as_slice()).collect();
            let before = executor.metrics().expect("has an engine");
            let mut output = None;
            times[2]
                .push(timed(|| output = Some(executor.execute_resolved(&input(&transactions), resolved))));
            let after = executor.metrics().expect("has an engine");
            times[3].push(Duration::from_nanos(after.serial_ns - before.serial_ns));
            let (mut changed, mut outcomes) = (Vec::with_capacity(2 * BLOCK), vec![]);
            let number = (round * AHEAD + number) as u64;
            times[4].push(timed(|| outcomes = by_hand(&mut slots, block, number, &mut changed)));
            let output = output.expect("was executed");
            assert!(output.outcomes.iter().all(|(_, outcome)| *outcome == Outcome::Success));
            assert!(outcomes.iter().all(|outcome| *outcome == 0));
            assert_eq!(output.writes.len(), changed.len() + 1, "the accounts that changed, and the totals");
        }
    }
    for (slot, address) in slots.iter().zip(&people.addresses) {
        let account = executor.account(address).expect("funded");
        assert_eq!((account.balance.0, account.nonce_base), (slot.balance, slot.nonce_base));
    }
    steps(
        [
            "decoding its batch",
            "resolving its ids",
            "all of its block's execution",
            "of that, the engine's loop",
            "a loop by hand between blocks",
        ],
        times,
    )
}

/// The batches of a block, as they come.
fn seal(people: &mut People, block: &[Order]) -> Vec<Vec<u8>> {
    let mut sign = |order: &Order| {
        let recipient = people.addresses[order.to as usize];
        people.send(order.from as usize, Action::Transfer { recipient, amount: Amount(order.amount) })
    };
    let batch = |orders: &[Order]| Batch {
        author: AuthorityIndex(0),
        shard: ShardId(0),
        transactions: orders.iter().map(&mut sign).collect(),
    };
    block.chunks(BATCH).map(batch).map(|batch| batch.seal().0).collect()
}

fn decode(batches: &[Vec<u8>]) -> Vec<Batch> {
    batches.iter().map(|bytes| codec::decode(bytes).expect("was encoded")).collect()
}

fn steps<const COUNT: usize>(names: [&'static str; COUNT], times: [Vec<Duration>; COUNT]) -> Vec<Step> {
    let quartiles = |mut times: Vec<Duration>| {
        times.sort_unstable();
        [1, 2, 3].map(|quarter| times[(times.len() - 1) * quarter / 4].as_secs_f64() * 1e9 / BLOCK as f64)
    };
    names.into_iter().zip(times).map(|(step, times)| Step { step, ns: quartiles(times) }).collect()
}

const ACCOUNTS: usize = 1_000_000;

/// Transactions of a batch of 512 kB.
const BATCH: usize = 2_500;

/// Blocks resolved before the first of them executes: their accounts are several times what the nearest cache holds.
const AHEAD: usize = 8;
const ROUNDS: usize = 8;

/// As far ahead as the engine does.
const PREFETCHED: usize = 32;
