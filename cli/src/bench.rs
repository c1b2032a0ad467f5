//! `fresnel bench`: a whole cluster under load with a verdict at the end; shows how far it has come on stderr and
//! what came out on stdout.

use std::{
    cell::RefCell,
    io::{IsTerminal, Write},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use anyhow::Context;
use fresnel_loadgen::{BenchOptions, ExecutorMode, Fault, Freeze, Overload, Stage, Verdict, workload::Kind};
use fresnel_types::ablation::Part;

use crate::{
    exit::{Exit, Wrong},
    shape::Shape,
    values,
};

/// What `fresnel bench` takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    shape: Shape,
    /// Transactions per second, sent whether or not the cluster keeps up.
    #[arg(long, default_value_t = 10_000)]
    rate: u64,
    /// For how long, like 20s or 1500ms.
    #[arg(long, default_value = "10s", value_parser = values::duration)]
    duration: Duration,
    /// Of the workload and of all keys.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Share of transfers to another shard, 0 to 1.
    #[arg(long, default_value_t = 0.1, value_parser = share)]
    cross_shard: f64,
    /// Zipf exponent of the recipients; 0 is uniform.
    #[arg(long, default_value_t = 0.0, value_parser = exponent)]
    skew: f64,
    /// Funded accounts.
    #[arg(long, default_value_t = 20_000)]
    accounts: usize,
    /// What happens during the load, like kill:3@8s, restart:3@14s, kill:all@8s, or, with --layout split,
    /// freeze:worker-1@10s, thaw:worker-1@20s and kill:2/beacon@3s. Repeatable.
    #[arg(long = "fault", value_name = "FAULT")]
    faults: Vec<Fault>,
    /// Search for the highest rate that the cluster keeps up with: 99 % final within a second, nothing lost, records
    /// agree. Begins at --rate; a run of --duration confirms what was found.
    #[arg(long, conflicts_with_all = ["faults", "overload", "freeze", "chaos", "soak"])]
    find_max: bool,
    /// A time at a multiple of the rate, like 3x60s, with --duration at the rate before it and, with ten seconds to
    /// recover, after it.
    #[arg(long, value_name = "TIMESxDURATION")]
    overload: Option<Overload>,
    /// The workers of a shard stand still at every authority, like shard:1@10s+10s; needs --layout split.
    #[arg(long, value_name = "shard:N@START+DURATION")]
    freeze: Option<Freeze>,
    /// Rounds in which a random process is killed and restarted, three seconds each; they replace --duration.
    #[arg(long, value_name = "ROUNDS")]
    chaos: Option<u32>,
    /// Memory and disk must not grow from the third minute on.
    #[arg(long)]
    soak: bool,
    /// Leave out parts of the work, with commas between them: signatures, execution, tree, store. The genesis of such a
    /// cluster says that it is for benchmarks.
    #[arg(long, value_name = "PARTS", value_delimiter = ',')]
    ablate: Vec<Part>,
    /// What transactions do: transfers, the mixes kv-a to kv-f of YCSB, smallbank or token; `opaque` measures ordering
    /// alone: nothing is signed, checked or executed.
    #[arg(long, value_name = "KIND", default_value = "transfers")]
    workload: Doing,
    /// How workers execute blocks: serial, auto or speculative. The workers share the cores.
    #[arg(long, value_name = "MODE", default_value_t = ExecutorMode::default())]
    executor: ExecutorMode,
    /// Where report.json and report.html go.
    #[arg(long, value_name = "DIR", default_value = "fresnel-bench")]
    out: PathBuf,
    /// Keep the cluster's files, in the same folder.
    #[arg(long)]
    keep: bool,
    /// Print the report as JSON instead of a table.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let options = BenchOptions {
        binary: std::env::current_exe().context("this program does not know where it is")?,
        out: arguments.out.clone(),
        authorities: arguments.shape.authorities,
        shards: arguments.shape.shards,
        layout: arguments.shape.layout,
        rule: arguments.shape.rule,
        rate: arguments.rate,
        duration: arguments.duration,
        seed: arguments.seed,
        cross_shard: arguments.cross_shard,
        skew: arguments.skew,
        accounts: arguments.accounts,
        faults: arguments.faults.clone(),
        overload: arguments.overload,
        freeze: arguments.freeze,
        chaos: arguments.chaos,
        soak: arguments.soak,
        ablate: arguments.ablate.iter().copied().collect(),
        executor: arguments.executor,
        kind: arguments.workload.0.unwrap_or_default(),
        opaque: arguments.workload.0.is_none(),
        keep: arguments.keep,
    };
    options.check().map_err(|error| Wrong(format!("{error:#}")))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("no runtime for the load")?;
    let is_terminal = std::io::stderr().is_terminal();
    let last = RefCell::new(String::new());
    let progress = |stage| {
        let (line, goes_on) = describe(&stage);
        if *last.borrow() != line && (is_terminal || !is_between(&stage)) {
            show(&line, goes_on && is_terminal);
            last.replace(line);
        }
    };
    let report = runtime.block_on(async {
        if arguments.find_max {
            fresnel_loadgen::find_max(options, progress).await
        } else {
            fresnel_loadgen::bench(options, progress).await
        }
    })?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report).context("a report is JSON")?);
    } else {
        println!("{}", report.table());
        println!("{}", report.line());
        println!("report: {}", arguments.out.join("report.json").display());
        println!("page:   {}", arguments.out.join("report.html").display());
        println!("repeat: {}", report.config.command);
    }
    Ok(if report.verdict == Verdict::Pass { Exit::Success } else { Exit::Verdict })
}

/// Shows a line; one that `goes_on` is written over by the next.
fn show(line: &str, goes_on: bool) {
    let mut out = std::io::stderr().lock();
    let erase = if std::io::stderr().is_terminal() { "\r\x1b[2K" } else { "" };
    let end = if goes_on { "" } else { "\n" };
    // Nobody reading along is no reason to stop a measurement.
    let _ = write!(out, "{erase}{line}{end}").and_then(|()| out.flush());
}

/// What to say about a stage, and whether more of the same follows.
fn describe(stage: &Stage) -> (String, bool) {
    match stage {
        Stage::Preparing => ("preparing accounts, keys and genesis".to_owned(), false),
        Stage::Signing { done, total } => {
            let percent = 100 * done / (*total).max(1);
            (format!("signing {} {percent:>3} % of {total} transactions", bar(percent)), done < total)
        }
        Stage::Starting => ("starting the processes".to_owned(), false),
        Stage::Ready(endpoints) => (format!("ready: {} processes answer", endpoints.len()), false),
        Stage::Loading { elapsed, submitted, settled } => {
            (format!("load {:>3} s: {submitted} submitted, {settled} settled", elapsed.as_secs()), true)
        }
        Stage::Fault(fault) => (format!("fault: {fault}"), false),
        Stage::Probed(probe) => (format!("probe: {probe}"), false),
        Stage::Draining { left } => (format!("waiting for {left} on their way"), true),
        Stage::Auditing => ("auditing records and commits".to_owned(), false),
        Stage::Stopping => ("stopping the processes".to_owned(), false),
    }
}

/// Steps that are too many where every line stays.
fn is_between(stage: &Stage) -> bool {
    match stage {
        Stage::Signing { done, total } => done < total,
        Stage::Loading { elapsed, .. } => !elapsed.as_secs().is_multiple_of(5),
        _ => false,
    }
}

fn bar(percent: usize) -> String {
    let full = (percent / 5).min(20);
    format!("[{}{}]", "#".repeat(full), ".".repeat(20 - full))
}

/// What `--workload` names: nothing is `opaque`.
#[derive(Clone, Copy, Debug)]
struct Doing(Option<Kind>);

impl FromStr for Doing {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "opaque" { Ok(Self(None)) } else { text.parse().map(Some).map(Self) }
    }
}

fn share(text: &str) -> Result<f64, String> {
    let wrong = || format!("{text:?} is no share: 0 to 1");
    text.parse().ok().filter(|share| (0.0..=1.0).contains(share)).ok_or_else(wrong)
}

fn exponent(text: &str) -> Result<f64, String> {
    let wrong = || format!("{text:?} is no exponent: 0 to 10");
    text.parse().ok().filter(|exponent| (0.0..=10.0).contains(exponent)).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_exponents_are_within_their_bounds() {
        assert!(share("1.1").is_err() && share("NaN").is_err() && share("0.2") == Ok(0.2));
        assert!(exponent("-1").is_err() && exponent("11").is_err() && exponent("0.9") == Ok(0.9));
    }

    #[test]
    fn bars_are_of_one_width() {
        for (percent, expected) in
            [(0, "[....................]"), (50, "[##########..........]"), (100, "[####################]")]
        {
            assert_eq!(bar(percent), expected);
        }
    }
}
