//! The execution engine against serial execution of the same program, over the cost of a transaction and contention: the
//! grid of the Block-STM paper (arXiv 2203.06871, section 4) reduced to what runs in two minutes.
//!
//! `serial` is the loop with loads ahead that the engine uses itself. `fresnel-1` and `fresnel-2` speculate on everything
//! with one and two threads, `auto-2` decides by its own measurements. Every engine's result is compared with serial first,
//! outside the timed part. Each timed block of an engine has a serial one beside it, since neighbours on a shared
//! machine come and go; the medians of the ratios of these pairs are printed as they come.

use std::{
    hint::black_box,
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use criterion::{Criterion, SamplingMode};
use fresnel_benches::{Case, write_tables};
use fresnel_executor::{
    EXISTS, Engine, Place, Program, Table, View,
    engine::{Counter, Policy},
};
use fresnel_types::StateKey;
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

const BLOCK: usize = 10_000;

/// Rounds of the busy loop that take a microsecond on this machine.
static ROUNDS_PER_US: LazyLock<f64> = LazyLock::new(|| {
    let fastest = (0..20).map(|_| timed(|| _ = black_box(busy(1, 100_000)))).min().expect("twenty");
    100_000.0 / (fastest.as_secs_f64() * 1e6)
});

/// What a transaction does to the accounts it names.
#[derive(Clone, Copy, PartialEq)]
enum Workload {
    /// Reads the first so many accounts, then writes the second so many of them.
    ReadWrite(usize, usize),
    /// Reads and writes its own account, and credits one that all share.
    HotRecipient,
    /// Reads and writes its own account, and adds to one counter.
    HotCounter,
}

/// Transactions that read, compute for a while, and write.
struct Synthetic {
    workload: Workload,
    rounds: u64,
    places: Vec<Place>,
    per_transaction: usize,
}

impl Synthetic {
    fn new(workload: Workload, cost_us: f64, accounts: u64, seed: u64) -> Arc<Self> {
        let mut random = ChaCha12Rng::seed_from_u64(seed);
        let per_transaction = match workload {
            Workload::ReadWrite(reads, _) => reads,
            Workload::HotRecipient | Workload::HotCounter => 1,
        };
        let places = (0..BLOCK * per_transaction).map(|_| (random.next_u64() % accounts) as Place).collect();
        let rounds = (cost_us * *ROUNDS_PER_US) as u64;
        Arc::new(Self { workload, rounds, places, per_transaction })
    }
}

impl Program for Synthetic {
    fn count(&self) -> usize {
        BLOCK
    }

    fn places(&self, transaction: usize) -> impl Iterator<Item = Place> {
        let first = transaction * self.per_transaction;
        self.places[first..first + self.per_transaction].iter().copied()
    }

    fn execute(&self, transaction: usize, view: &mut impl View) -> u64 {
        let first = transaction * self.per_transaction;
        let places = &self.places[first..first + self.per_transaction];
        let mut seen = 0_u64;
        for place in places {
            seen = seen.wrapping_add(view.read(*place)[0]);
        }
        let result = busy(seen, self.rounds);
        let writes = match self.workload {
            Workload::ReadWrite(_, writes) => writes,
            Workload::HotRecipient | Workload::HotCounter => 1,
        };
        for place in &places[..writes] {
            let value = view.read(*place);
            view.write(*place, [value[0].wrapping_add(result & 3), value[1] + 1, EXISTS]);
        }
        match self.workload {
            Workload::ReadWrite(..) => {}
            Workload::HotRecipient => view.credit(0, 1),
            Workload::HotCounter => _ = view.reserve(0, 1),
        }
        result
    }
}

/// A chain of multiplications that nothing can shorten.
fn busy(seed: u64, rounds: u64) -> u64 {
    (0..rounds)
        .fold(black_box(seed), |state, round| state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(round))
}

#[expect(clippy::disallowed_methods, reason = "a bench measures")]
fn timed(work: impl FnOnce()) -> Duration {
    let started = Instant::now();
    work();
    started.elapsed()
}

/// The clock of the engine's modes.
#[expect(clippy::disallowed_methods, reason = "a bench drives the engine and so has the clock")]
fn clock() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed().as_nanos() as u64
}

fn table(accounts: u64) -> Table {
    let mut table = Table::default();
    for account in 0..accounts {
        let mut key = [0; 32];
        key[4..12].copy_from_slice(&account.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
        key[12..20].copy_from_slice(&account.to_le_bytes());
        let place = table.place(&StateKey(key));
        assert_eq!(u64::from(place), account, "places of a new table are dense");
        table.set_value(place, &[1_000_000, 0, EXISTS]);
    }
    table.take_changed();
    table
}

/// Executes a block and gives how long that took; what a block changed is taken outside of the time.
fn execute(engine: &mut Engine, table: &mut Table, program: &Arc<Synthetic>) -> (Duration, Vec<u64>) {
    let mut counters = [Counter { value: 0, limit: u64::MAX }];
    let mut outcomes = vec![];
    let took = timed(|| outcomes = engine.run(table, program, &mut counters));
    table.take_changed();
    (took, outcomes)
}

fn engine(name: &str) -> Engine {
    match name {
        "fresnel-1" => Engine::new(1, Policy::Speculative, clock),
        "fresnel-2" => Engine::new(2, Policy::Speculative, clock),
        "auto-2" => Engine::new(2, Policy::Auto, clock),
        _ => Engine::new(1, Policy::Serial, clock),
    }
}

/// Two blocks on each of two new tables must end alike.
fn assert_same_as_serial(name: &str, accounts: u64, programs: &[Arc<Synthetic>; 2]) {
    let (mut own, mut serial) = (table(accounts), table(accounts));
    let (mut engine, mut reference) = (engine(name), engine("serial"));
    for program in programs {
        let (_, expected) = execute(&mut reference, &mut serial, program);
        assert_eq!(execute(&mut engine, &mut own, program).1, expected, "{name} ends otherwise than serial");
    }
    for place in 0..accounts as Place {
        assert_eq!(own.value(place), serial.value(place), "{name} leaves another state than serial");
    }
}

fn main() -> anyhow::Result<()> {
    let mut criterion = Criterion::default()
        .sample_size(11)
        .warm_up_time(Duration::from_millis(20))
        .measurement_time(Duration::from_millis(100))
        .without_plots()
        .configure_from_args();
    let mut cases = Vec::new();
    for (workload, name, cost_us, accounts) in grid() {
        let group_name = format!("executor/{name}/c={cost_us}/accounts={accounts}");
        // Made when the first engine of the case is measured, if any is.
        let mut made = None;
        let mut reference = engine("serial");
        let mut group = criterion.benchmark_group(&group_name);
        group.sampling_mode(SamplingMode::Flat);
        for name in ["serial", "fresnel-1", "fresnel-2", "auto-2"] {
            let mut checked = false;
            let mut engine = engine(name);
            let mut ratios = Vec::new();
            let mut number = 0;
            group.bench_function(name, |bencher| {
                let (programs, state) = made.get_or_insert_with(|| {
                    let program = |seed| Synthetic::new(workload, cost_us, accounts, seed);
                    ([0, 1].map(program), table(accounts))
                });
                if !std::mem::replace(&mut checked, true) {
                    assert_same_as_serial(name, accounts, programs);
                }
                bencher.iter_custom(|blocks| {
                    let mut sum = Duration::ZERO;
                    for _ in 0..blocks {
                        let program = &programs[number % programs.len()];
                        number += 1;
                        // By turns, since the second finds the block's accounts in the cache.
                        let (serial, took) = if number % 4 < 2 {
                            let serial = execute(&mut reference, state, program).0;
                            (serial, execute(&mut engine, state, program).0)
                        } else {
                            let took = execute(&mut engine, state, program).0;
                            (execute(&mut reference, state, program).0, took)
                        };
                        ratios.push(serial.as_secs_f64() / took.as_secs_f64());
                        sum += took;
                    }
                    sum
                });
            });
            if let Some(median) = median(&mut ratios) {
                let metrics = engine.metrics();
                let again = metrics.reexecuted_value + metrics.reexecuted_wasted;
                println!(
                    "{group_name}/{name}: {median:.3} times serial in {} pairs; of all transactions {:.1} % speculated, {:.1} % executed again",
                    ratios.len(),
                    share(metrics.speculative, &metrics),
                    share(again, &metrics),
                );
                cases.push(Case { group: group_name.clone(), engine: name.to_owned(), items: BLOCK as u64 });
            }
        }
        group.finish();
    }
    criterion.final_summary();
    write_tables("executor", &cases)
}

/// Workloads with their names, costs in microseconds, and accounts.
fn grid() -> Vec<(Workload, &'static str, f64, u64)> {
    let transfer = Workload::ReadWrite(2, 2);
    let mut grid = Vec::new();
    for cost_us in [0.0, 0.3, 1.0, 5.0] {
        for accounts in [2, 10, 100, 10_000, 1_000_000] {
            grid.push((transfer, "2r2w", cost_us, accounts));
        }
    }
    for (reads, writes, name) in [(8, 5, "8r5w"), (21, 4, "21r4w")] {
        grid.push((Workload::ReadWrite(reads, writes), name, 1.0, 10_000));
    }
    for cost_us in [0.3, 1.0] {
        grid.push((Workload::HotRecipient, "hot-recipient", cost_us, 10_000));
        grid.push((Workload::HotCounter, "hot-counter", cost_us, 10_000));
    }
    grid
}

fn median(ratios: &mut [f64]) -> Option<f64> {
    ratios.sort_by(f64::total_cmp);
    ratios.get(ratios.len() / 2).copied()
}

fn share(count: u64, metrics: &fresnel_executor::engine::Metrics) -> f64 {
    100.0 * count as f64 / (metrics.serial + metrics.speculative).max(1) as f64
}
