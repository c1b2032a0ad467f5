//! The execution engine against serial execution of the same program, over the cost of a transaction and contention: the
//! grid of the Block-STM paper (arXiv 2203.06871, section 4), and shapes of SmallBank and YCSB.
//!
//! `serial` is the loop with loads ahead that the engine uses itself. `fresnel-1` and `fresnel-2` speculate on everything
//! with one and two threads, `fresnel-auto-2` decides by its own measurements. Every engine's result is compared with serial
//! first, outside the timed part. Each timed block of an engine has a serial one beside it, by turns before and after, since
//! neighbours on a shared machine come and go; the table has the median and the quartiles of the ratios of at least eleven pairs.
//!
//! These shapes cost what they are told to. The shard's own programs, which cost what they cost, are in groups of their own, and
//! a table of its own says what a serial transfer costs from the bytes of its batch to its outcome.
//!
//! The grid is cut to what runs in ten minutes on two cores; with `FRESNEL_GRID=full` it is whole, and takes hours.

mod people;
mod programs;
mod transfers;
mod workloads;

use std::{
    fmt::Write as _,
    hint::black_box,
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use criterion::{Criterion, SamplingMode};
use fresnel_benches::write_report;
use fresnel_executor::{
    EXISTS, Engine, Place, Table,
    engine::{Counter, Metrics, Policy},
};
use fresnel_types::StateKey;
use serde::Serialize;

use crate::{
    programs::Twins,
    transfers::Step,
    workloads::{Case, Synthetic, busy, grid},
};

/// Rounds of the busy loop that take a microsecond on this machine.
static ROUNDS_PER_US: LazyLock<f64> = LazyLock::new(|| {
    let fastest = (0..20).map(|_| timed(|| _ = black_box(busy(1, 100_000)))).min().expect("twenty");
    100_000.0 / (fastest.as_secs_f64() * 1e6)
});

/// A line of a table.
#[derive(Serialize)]
#[serde(untagged)]
enum Line {
    Row(Row),
    Step(Step),
}

/// What an engine made of a case.
#[derive(Serialize)]
struct Row {
    case: String,
    engine: &'static str,
    pairs: usize,
    /// Of a transaction, serially and by the engine: medians.
    serial_ns: f64,
    engine_ns: f64,
    /// Serial time by the engine's, pair by pair: quartiles.
    speed_up: [f64; 3],
    /// Of all transactions, those that speculations committed, and of them those executed twice, and those executed in turn.
    speculated: f64,
    executed_again: f64,
    in_turn: f64,
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
        if account % 100_000 == 99_999 {
            table.take_changed();
        }
    }
    table.take_changed();
    table
}

/// What ten million accounts add to the memory of this process, while they are there.
fn memory() -> anyhow::Result<String> {
    const ACCOUNTS: u64 = 10_000_000;
    let resident = || -> anyhow::Result<u64> {
        let status = std::fs::read_to_string("/proc/self/status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
    };
    let before = resident()?;
    let large = table(ACCOUNTS);
    let bytes = resident()? - before;
    assert_eq!(large.value(ACCOUNTS as Place - 1)[0], 1_000_000);
    let each = bytes as f64 / ACCOUNTS as f64;
    Ok(format!("\n{ACCOUNTS} accounts take {:.2} GB of memory, {each:.0} bytes each.\n", bytes as f64 / 1e9))
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
        "fresnel-auto-2" => Engine::new(2, Policy::Auto, clock),
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

/// The engine's and the serial times of pairs of blocks, and what they come to.
#[derive(Default)]
struct Pairs(Vec<(f64, f64)>);

impl Pairs {
    fn row(&self, case: String, engine: &'static str, block: usize, metrics: Metrics) -> Row {
        let quartiles = |of: &dyn Fn(&(f64, f64)) -> f64| {
            let mut sorted: Vec<f64> = self.0.iter().map(of).collect();
            sorted.sort_by(f64::total_cmp);
            [1, 2, 3].map(|quarter| sorted[(sorted.len() - 1) * quarter / 4])
        };
        let share = |count: u64, of: u64| count as f64 / of.max(1) as f64;
        Row {
            case,
            engine,
            pairs: self.0.len(),
            serial_ns: quartiles(&|(serial, _)| *serial)[1] * 1e9 / block as f64,
            engine_ns: quartiles(&|(_, took)| *took)[1] * 1e9 / block as f64,
            speed_up: quartiles(&|(serial, took)| serial / took),
            speculated: share(metrics.speculative, metrics.serial + metrics.speculative),
            executed_again: share(metrics.reexecuted(), metrics.speculative),
            in_turn: share(metrics.in_turn, metrics.speculative),
        }
    }
}

fn main() -> anyhow::Result<()> {
    let mut criterion = Criterion::default()
        .sample_size(11)
        .nresamples(2_000)
        .warm_up_time(Duration::from_millis(20))
        .measurement_time(Duration::from_millis(100))
        .without_plots()
        .configure_from_args();
    let everything = std::env::var("FRESNEL_GRID").is_ok_and(|grid| grid == "full");
    let mut rows = Vec::new();
    grid(everything).iter().for_each(|case| shapes(&mut criterion, case, &mut rows));
    programs::grid(everything)
        .into_iter()
        .for_each(|traffic| own_programs(&mut criterion, traffic, &mut rows));
    criterion.final_summary();
    let steps = transfers::measure(|| engine("serial"));
    let table = table_of(&rows)? + &table_of_steps(&steps)? + &memory()?;
    let lines: Vec<_> = rows.into_iter().map(Line::Row).chain(steps.into_iter().map(Line::Step)).collect();
    write_report("executor", &table, &lines)
}

/// The engines on a case.
fn shapes(criterion: &mut Criterion, case: &Case, rows: &mut Vec<Row>) {
    // Made when the first engine of the case is measured, if any is.
    let mut made = None;
    let mut reference = engine("serial");
    for name in ["serial", "fresnel-1", "fresnel-2", "fresnel-auto-2"] {
        let mut engine = engine(name);
        let mut checked = false;
        let pairs = measure(criterion, &case.name(), name, |number| {
            let (programs, state) = made.get_or_insert_with(|| make(case));
            if !std::mem::replace(&mut checked, true) {
                assert_same_as_serial(name, case.accounts, programs);
            }
            let program = &programs[number % programs.len()];
            if serial_first(number) {
                let serial = execute(&mut reference, state, program).0;
                (serial, execute(&mut engine, state, program).0)
            } else {
                let took = execute(&mut engine, state, program).0;
                (execute(&mut reference, state, program).0, took)
            }
        });
        rows.extend(pairs.map(|pairs| pairs.row(case.name(), name, case.block, engine.metrics())));
    }
}

/// The engines on the shard's own programs.
fn own_programs(criterion: &mut Criterion, traffic: programs::Traffic, rows: &mut Vec<Row>) {
    let mut made: Option<Twins> = None;
    for name in ["serial", "fresnel-2", "fresnel-auto-2"] {
        let mut is_set = false;
        let pairs = measure(criterion, &traffic.name(), name, |number| {
            let twins = made.get_or_insert_with(|| Twins::new(traffic, engine("serial")));
            if !std::mem::replace(&mut is_set, true) {
                twins.set_engine(engine(name));
            }
            twins.pair(serial_first(number))
        });
        let metrics = made.as_ref().map(Twins::metrics);
        rows.extend(
            pairs
                .zip(metrics)
                .map(|(pairs, metrics)| pairs.row(traffic.name(), name, programs::BLOCK, metrics)),
        );
    }
}

/// By turns, since the second finds the block's accounts in the cache.
fn serial_first(number: usize) -> bool {
    number % 4 < 2
}

/// The serial times and the engine's of blocks, by a function of the block's number, unless the case was not asked for.
fn measure(
    criterion: &mut Criterion,
    case: &str,
    engine: &str,
    mut pair: impl FnMut(usize) -> (Duration, Duration),
) -> Option<Pairs> {
    let mut pairs = Pairs::default();
    let mut group = criterion.benchmark_group(format!("executor/{case}"));
    group.sampling_mode(SamplingMode::Flat);
    group.bench_function(engine, |bencher| {
        bencher.iter_custom(|blocks| {
            let mut sum = Duration::ZERO;
            for _ in 0..blocks {
                let (serial, took) = pair(pairs.0.len());
                pairs.0.push((serial.as_secs_f64(), took.as_secs_f64()));
                sum += took;
            }
            sum
        });
    });
    group.finish();
    (!pairs.0.is_empty()).then_some(pairs)
}

/// Two blocks, and the accounts they execute on.
fn make(case: &Case) -> ([Arc<Synthetic>; 2], Table) {
    let rounds = (case.cost_us * *ROUNDS_PER_US) as u64;
    ([1, 2].map(|seed| Synthetic::new(case, rounds, seed)), table(case.accounts))
}

fn table_of_steps(steps: &[Step]) -> Result<String, std::fmt::Error> {
    let mut table =
        String::from("\n| a serial transfer among 1,000,000 accounts | ns (quartiles) |\n|---|---|\n");
    for Step { step, ns: [low, median, high] } in steps {
        writeln!(table, "| {step} | **{median:.1}** ({low:.1}–{high:.1}) |")?;
    }
    Ok(table)
}

fn table_of(rows: &[Row]) -> Result<String, std::fmt::Error> {
    let mut table = String::from(
        "| case | engine | serial ns | engine ns | speed-up (quartiles) | pairs | speculated | executed again | in turn |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let [low, median, high] = row.speed_up;
        writeln!(
            table,
            "| {} | {} | {:.1} | {:.1} | **{median:.2}** ({low:.2}–{high:.2}) | {} | {:.0} % | {:.1} % | {:.0} % |",
            row.case,
            row.engine,
            row.serial_ns,
            row.engine_ns,
            row.pairs,
            100.0 * row.speculated,
            100.0 * row.executed_again,
            100.0 * row.in_turn,
        )?;
    }
    Ok(table)
}
