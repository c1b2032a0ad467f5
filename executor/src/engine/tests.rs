//! The engine against an interpreter over an ordinary map: outcomes hold a hash of every value that a transaction saw.

use std::{
    collections::BTreeMap,
    hint,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    thread,
};

use fresnel_types::StateKey;
use proptest::prelude::*;

use super::*;
use crate::slots::{EXISTS, Place, Value};

#[derive(Clone, Debug)]
enum Op {
    Read(Place),
    /// Reads the place that what was seen so far names: the access set depends on values.
    ReadSomewhere,
    Write(Place),
    WriteSomewhere,
    Exists(Place),
    /// Credits if it exists, opens if not.
    Pay(Place, u64),
    Reserve(usize, u64),
    /// Ends here, as a failure, depending on what was seen.
    MayFail,
    /// Writes the same to two places.
    WriteTwins(Place, Place),
    /// Panics where they differ, which only a speculation can see.
    AssertTwins(Place, Place),
    Delay(u16),
    Yield,
}

/// Transactions as lists of what they do to numbered accounts, of which the last two are twins that nothing else names.
struct Script {
    transactions: Vec<Vec<Op>>,
    /// Where the accounts stand.
    places: Vec<Place>,
    executions: Vec<AtomicU32>,
}

impl Script {
    fn interpret(ops: &[Op], accounts: Place, view: &mut impl View) -> u64 {
        let mut seen = Seen(7);
        for op in ops {
            match *op {
                Op::Read(place) => seen.value(&view.read(place)),
                Op::ReadSomewhere => seen.value(&view.read(seen.place(accounts - 2))),
                Op::Write(place) => view.write(place, seen.to_write()),
                Op::WriteSomewhere => view.write(seen.place(accounts - 2), seen.to_write()),
                Op::Exists(place) => seen.word(view.exists(place).into()),
                Op::Pay(place, amount) if view.exists(place) => view.credit(place, amount),
                Op::Pay(place, amount) => view.write(place, [amount, 0, EXISTS]),
                Op::Reserve(counter, amount) => seen.word(view.reserve(counter, amount).into()),
                Op::MayFail if seen.0.is_multiple_of(4) => return seen.0 << 1 | 1,
                Op::MayFail => {}
                Op::WriteTwins(one, other) => {
                    let value = seen.to_write();
                    view.write(one, value);
                    view.write(other, value);
                }
                Op::AssertTwins(one, other) => {
                    let (one, other) = (view.read(one), view.read(other));
                    if one != other {
                        // Quiet, for speculations come here often.
                        resume_unwind(Box::new("twins differ"));
                    }
                    seen.value(&one);
                }
                Op::Delay(spins) => (0..spins).for_each(|_| hint::spin_loop()),
                Op::Yield => thread::yield_now(),
            }
        }
        seen.0 << 1
    }
}

/// A hash of what a transaction saw.
struct Seen(u64);

impl Seen {
    fn word(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn value(&mut self, value: &Value) {
        value.iter().for_each(|word| self.word(*word));
    }

    fn place(&self, places: Place) -> Place {
        ((self.0 >> 40) % u64::from(places)) as Place
    }

    /// Small, so that credits never overflow.
    fn to_write(&self) -> Value {
        [self.0 >> 32, self.0, self.0 | EXISTS]
    }
}

impl Program for Script {
    fn count(&self) -> usize {
        self.transactions.len()
    }

    fn places(&self, transaction: usize) -> impl Iterator<Item = Place> {
        // A wrong hint for most.
        std::iter::once(self.places[transaction % self.places.len()])
    }

    fn execute(&self, transaction: usize, view: &mut impl View) -> u64 {
        self.executions[transaction].fetch_add(1, Relaxed);
        let accounts = self.places.len() as Place;
        Self::interpret(&self.transactions[transaction], accounts, &mut Placed { places: &self.places, view })
    }
}

/// A view that takes numbers of accounts for places.
struct Placed<'a, V> {
    places: &'a [Place],
    view: &'a mut V,
}

impl<V: View> View for Placed<'_, V> {
    fn read(&mut self, place: Place) -> Value {
        self.view.read(self.places[place as usize])
    }

    fn exists(&mut self, place: Place) -> bool {
        self.view.exists(self.places[place as usize])
    }

    fn write(&mut self, place: Place, value: Value) {
        self.view.write(self.places[place as usize], value);
    }

    fn credit(&mut self, place: Place, amount: u64) {
        self.view.credit(self.places[place as usize], amount);
    }

    fn reserve(&mut self, counter: usize, amount: u64) -> bool {
        self.view.reserve(counter, amount)
    }
}

/// The naive interpreter's state.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Model {
    values: BTreeMap<Place, Value>,
    counters: Vec<Counter>,
}

impl View for Model {
    fn read(&mut self, place: Place) -> Value {
        self.values.get(&place).copied().unwrap_or_default()
    }

    fn exists(&mut self, place: Place) -> bool {
        self.values.contains_key(&place)
    }

    fn write(&mut self, place: Place, value: Value) {
        self.values.insert(place, value);
    }

    fn credit(&mut self, place: Place, amount: u64) {
        self.values.get_mut(&place).expect("credited only where it exists")[0] += amount;
    }

    fn reserve(&mut self, counter: usize, amount: u64) -> bool {
        let counter = &mut self.counters[counter];
        let allowed = counter.value + amount <= counter.limit;
        counter.value += if allowed { amount } else { 0 };
        allowed
    }
}

fn key(account: Place) -> StateKey {
    let mut bytes = [0; 32];
    bytes[8..12].copy_from_slice(&account.wrapping_mul(0x9e37_79b1).to_be_bytes());
    StateKey(bytes)
}

/// An engine that takes transactions to last so long, which decides the chunks.
fn engine(threads: usize, policy: Policy, mean_ns: u64) -> Engine {
    let mut engine = Engine::new(threads, policy, || 0);
    engine.modes = Modes::speculating(mean_ns);
    engine
}

/// Every third account and the twins exist.
fn model(accounts: Place) -> Model {
    let funded = |account: &Place| account.is_multiple_of(3) || account + 2 >= accounts;
    Model {
        values: (0..accounts).filter(funded).map(|account| (account, [100, 0, EXISTS])).collect(),
        counters: vec![Counter { value: 3, limit: 60 }, Counter { value: 0, limit: u64::MAX }],
    }
}

/// Runs blocks on an engine, by its own steps or by given ones, and on the model, and compares all that can be seen.
fn check(engine: &mut Engine, accounts: Place, blocks: &[Vec<Vec<Op>>], steps: Option<&[Step]>) {
    let mut model = model(accounts);
    let mut table = Table::default();
    for (account, value) in &model.values {
        let place = table.place(&key(*account));
        table.set_value(place, value);
    }
    table.take_changed();
    for transactions in blocks {
        let places = (0..accounts).map(|account| table.place(&key(account))).collect();
        let executions = transactions.iter().map(|_| AtomicU32::new(0)).collect();
        let script = Arc::new(Script { transactions: transactions.clone(), places, executions });
        let (before, grown) = (model.clone(), engine.metrics().grown);
        let expected: Vec<u64> =
            transactions.iter().map(|ops| Script::interpret(ops, accounts, &mut model)).collect();

        let mut counters = before.counters;
        let outcomes = match steps {
            None => engine.run(&mut table, &script, &mut counters),
            Some(steps) => {
                let mut outcomes = vec![];
                for step in steps.iter().cycle() {
                    let remaining = transactions.len() - outcomes.len();
                    let step = match *step {
                        _ if remaining == 0 => break,
                        Step::Serial(count) => Step::Serial(count.min(remaining)),
                        Step::Speculate(count) => Step::Speculate(count.min(remaining)),
                    };
                    engine.step(step, &mut table, &script, &mut counters, &mut outcomes);
                }
                outcomes
            }
        };
        assert_eq!(outcomes, expected);
        assert_eq!(counters, model.counters);
        for (account, place) in (0..).zip(&script.places) {
            assert_eq!(table.value(*place), model.read(account), "account {account}");
        }
        if engine.policy != Policy::Auto && engine.metrics().grown == grown {
            let most = script.executions.iter().map(|count| count.load(Relaxed)).max();
            assert!(most.unwrap_or(0) <= 2, "a transaction executed {most:?} times");
        }
        let changed: Vec<_> =
            table.take_changed().into_iter().map(|place| (table.key(place), place)).collect();
        assert!(changed.is_sorted_by(|(one, _), (other, _)| one < other));
        let changed: BTreeMap<_, _> = changed.into_iter().collect();
        for (account, value) in &model.values {
            match changed.get(&key(*account)) {
                Some(place) => assert_eq!(table.value(*place), *value),
                None => assert_eq!(before.values.get(account), Some(value), "a change was lost"),
            }
        }
    }
}

fn op(accounts: Place) -> impl Strategy<Value = Op> {
    let account = || 0..accounts - 2;
    let twins = (accounts - 2, accounts - 1);
    prop_oneof![
        4 => account().prop_map(Op::Read),
        2 => Just(Op::ReadSomewhere),
        3 => account().prop_map(Op::Write),
        1 => Just(Op::WriteSomewhere),
        2 => account().prop_map(Op::Exists),
        4 => (account(), 1_u64..50).prop_map(|(account, amount)| Op::Pay(account, amount)),
        2 => (0_usize..2, 1_u64..9).prop_map(|(counter, amount)| Op::Reserve(counter, amount)),
        1 => Just(Op::MayFail),
        1 => Just(Op::WriteTwins(twins.0, twins.1)),
        1 => Just(Op::AssertTwins(twins.1, twins.0)),
        1 => (0_u16..300).prop_map(Op::Delay),
        1 => Just(Op::Yield),
    ]
}

/// A number of accounts and blocks over them.
fn blocks() -> impl Strategy<Value = (Place, Vec<Vec<Vec<Op>>>)> {
    prop::sample::select(vec![4_u32, 12, 60]).prop_flat_map(|accounts| {
        let transaction = prop::collection::vec(op(accounts), 0..7);
        let block = prop::collection::vec(transaction, 0..160);
        (Just(accounts), prop::collection::vec(block, 1..4))
    })
}

fn mean_ns() -> impl Strategy<Value = u64> {
    prop::sample::select(vec![1, 250, 700, 5_000])
}

fn shape() -> impl Strategy<Value = Shape> {
    let window = prop::sample::select(vec![1, 7, 64, WINDOW_MAX]);
    let denies_one_in = prop::sample::select(vec![0, 1, 2, 5]);
    (1..=CHUNK_MAX as u32, window, any::<bool>(), denies_one_in).prop_map(
        |(chunk, window, helps, denies_one_in)| Shape {
            chunk,
            window,
            gives_up: false,
            helps,
            denies_one_in,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// E2: parallel is serial, each outcome and each value read.
    #[test]
    fn speculation_equals_the_interpreter((accounts, blocks) in blocks(), threads in 1_usize..9, mean_ns in mean_ns()) {
        check(&mut engine(threads, Policy::Speculative, mean_ns), accounts, &blocks, None);
    }

    #[test]
    fn serial_equals_the_interpreter((accounts, blocks) in blocks()) {
        let mut engine = engine(1, Policy::Serial, 1);
        check(&mut engine, accounts, &blocks, None);
        prop_assert_eq!(engine.metrics().speculations, 0);
    }

    /// E2 across changes of the mode at any place.
    #[test]
    fn mode_changes_anywhere_change_nothing(
        (accounts, blocks) in blocks(),
        threads in 2_usize..4,
        steps in prop::collection::vec((1_usize..90, any::<bool>()), 1..6),
    ) {
        let steps: Vec<Step> = steps
            .into_iter()
            .map(|(count, serial)| if serial { Step::Serial(count) } else { Step::Speculate(count) })
            .collect();
        check(&mut engine(threads, Policy::Speculative, 400), accounts, &blocks, Some(&steps));
    }

    /// E2 when speculations are given up: probes, pauses and suffixes that execute serially.
    #[test]
    fn giving_up_changes_nothing((accounts, blocks) in blocks(), threads in 2_usize..4) {
        let mut engine = engine(threads, Policy::Auto, 1_000_000);
        check(&mut engine, accounts, &blocks, None);
    }

    /// E2 for every size of chunks, every window, and executions that are said to have seen what is not so.
    #[test]
    fn chunks_windows_and_denials_change_nothing(
        (accounts, blocks) in blocks(),
        threads in 1_usize..9,
        shape in shape(),
    ) {
        let mut engine = engine(threads, Policy::Speculative, 1);
        engine.forced = Some(shape);
        check(&mut engine, accounts, &blocks, None);
        if shape.denies_one_in == 1 {
            let metrics = engine.metrics();
            prop_assert_eq!(metrics.in_turn + metrics.reexecuted(), metrics.speculative);
        }
    }

    /// Records that are too small grow, and nothing is lost.
    #[test]
    fn growing_changes_nothing((accounts, blocks) in blocks(), threads in 1_usize..4) {
        let mut engine = engine(threads, Policy::Speculative, 400);
        engine.memory = Arc::new(Memory::new(threads, WINDOW_MAX, 1));
        check(&mut engine, accounts, &blocks, None);
    }
}

/// Long blocks from few accounts to many, each seed another schedule.
#[test]
fn long_blocks_at_every_contention() {
    for (seed, accounts) in (1_u64..).zip([4, 4, 12, 100, 1_000, 10_000]) {
        println!("seed {seed}, {accounts} accounts");
        let mut random = Seen(seed);
        let mut next = |below: u64| {
            random.word(1);
            (random.0 >> 33) % below
        };
        let blocks: Vec<_> = (0..2)
            .map(|_| {
                let transaction = |_| {
                    let (from, to) = (next(accounts - 2) as Place, next(accounts - 2) as Place);
                    let mut ops = vec![Op::Read(from), Op::Exists(to), Op::Write(from), Op::Pay(to, 5)];
                    ops.extend((next(9) == 0).then_some(Op::Reserve(0, 1)));
                    ops.push(Op::Delay(next(40) as u16));
                    ops
                };
                (0..3_000).map(transaction).collect::<Vec<_>>()
            })
            .collect();
        for threads in [1, 2, 3] {
            let mut engine = engine(threads, Policy::Speculative, 500);
            check(&mut engine, accounts as Place, &blocks, None);
            let metrics = engine.metrics();
            assert!(metrics.validations <= metrics.speculative, "one validation at most for each");
            assert!(
                metrics.executions_ahead + metrics.in_turn >= metrics.speculative,
                "each executes once at least"
            );
        }
    }
}

/// E2 for a change of the mode before every transaction, in both directions.
#[test]
fn a_mode_change_at_every_index_changes_nothing() {
    let accounts = 9;
    let transaction = |number: u32| {
        vec![
            Op::ReadSomewhere,
            Op::Write(number % (accounts - 2)),
            Op::Pay(number * 5 % (accounts - 2), 1),
            Op::Reserve(0, 1),
            Op::MayFail,
            Op::WriteSomewhere,
            if number.is_multiple_of(3) { Op::Yield } else { Op::Delay(60) },
        ]
    };
    let block: Vec<_> = (0..70).map(transaction).collect();
    let mut engine = engine(3, Policy::Speculative, 4_000);
    for at in 0..=block.len() {
        let blocks = std::slice::from_ref(&block);
        let (first, rest) = (at.max(1), block.len());
        check(&mut engine, accounts, blocks, Some(&[Step::Serial(first), Step::Speculate(rest)]));
        check(&mut engine, accounts, blocks, Some(&[Step::Speculate(first), Step::Serial(rest)]));
    }
}

/// Who reads what a transaction under way will write does not wait for it, so nothing can wait in a circle: a chain on more
/// threads than cores, each of which lets others run in the midst of its transactions, comes to its end.
#[test]
fn reads_of_unfinished_writers_end() {
    let transaction = |number: u32| {
        let mut ops = vec![Op::Read(0), Op::Yield, Op::Read(1), Op::Write(number % 2)];
        ops.extend([Op::Yield, Op::ReadSomewhere, Op::Write(0)]);
        ops
    };
    let block: Vec<_> = (0..400).map(transaction).collect();
    for (threads, helps) in [(2, false), (8, false), (8, true)] {
        let mut engine = engine(threads, Policy::Speculative, 1_000);
        engine.forced = Some(Shape { chunk: 3, window: 64, gives_up: false, helps, denies_one_in: 0 });
        check(&mut engine, 9, std::slice::from_ref(&block), None);
    }
}

/// A table that grows past its first slots and past a segment while blocks execute on it.
#[test]
fn a_table_grows_between_blocks() {
    let accounts = 70_000;
    let transaction = |number: u32| {
        let (from, to) = (number * 7_919 % (accounts - 2), number * 104_729 % (accounts - 2));
        vec![Op::Read(from), Op::Pay(to, 3), Op::Pay(from, 2), Op::Read(to)]
    };
    let blocks: Vec<Vec<_>> =
        (0..3).map(|block| (block * 2_000..(block + 1) * 2_000).map(transaction).collect()).collect();
    check(&mut engine(2, Policy::Speculative, 300), accounts, &blocks, None);
}

/// Credits to one account and a counter with room do not conflict, whoever adds first.
#[test]
fn additions_do_not_conflict() {
    let transactions: Vec<_> = (0..2_000)
        .map(|number| {
            vec![Op::Read(3 + number % 500), Op::Write(3 + number % 500), Op::Pay(0, 1), Op::Reserve(1, 2)]
        })
        .collect();
    // Each account is written once in a window, so the only places in common are those that are added to.
    let mut engine = engine(2, Policy::Speculative, 5_000);
    check(&mut engine, 600, &[transactions], None);
    let metrics = engine.metrics();
    assert_eq!((metrics.reexecuted_value, metrics.reexecuted_wasted), (0, 0));
}

/// A panic that no speculation explains ends the block with that panic, whichever thread meets it, and never hangs. The
/// engine is good for other blocks after.
#[test]
fn a_panic_on_true_values_goes_through() {
    for (threads, policy) in
        [(1, Policy::Serial), (1, Policy::Speculative), (2, Policy::Speculative), (4, Policy::Speculative)]
    {
        let mut engine = engine(threads, policy, 500);
        for at in [0, 1, 57, 299] {
            let mut table = Table::default();
            let places = (0..60).map(|account| table.place(&key(account))).collect();
            let mut transactions: Vec<_> =
                (0..300).map(|number| vec![Op::Read(number % 7), Op::Write(number % 7)]).collect();
            transactions[at] = vec![Op::Write(0), Op::AssertTwins(0, 58)];
            let executions = transactions.iter().map(|_| AtomicU32::new(0)).collect();
            let script = Arc::new(Script { transactions, places, executions });
            let panic = catch_unwind(AssertUnwindSafe(|| engine.run(&mut table, &script, &mut [])))
                .expect_err("the block cannot execute");
            assert_eq!(panic.downcast_ref::<&str>(), Some(&"twins differ"));
        }
        check(&mut engine, 10, &[vec![vec![Op::Read(1), Op::Write(2)]; 100]], None);
    }
}
