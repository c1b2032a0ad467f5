//! What a run gave: `report.json`, the page `report.html`, the table for people, and the line to paste.
//!
//! The fields are a published format: additions raise nothing, changes raise [`SCHEMA_VERSION`].

mod html;
mod svg;

use std::{collections::BTreeMap, fmt};

use fresnel_types::{Ablation, ShardId, status::ExecutionCounts};
use serde::{Deserialize, Serialize};

/// The version of the format.
pub const SCHEMA_VERSION: u32 = 1;

/// Everything a run gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The judgement.
    pub verdict: Verdict,
    /// Why it is not pass, in a sentence each.
    pub reasons: Vec<String>,
    /// Where it took place.
    pub environment: Environment,
    /// What was asked for.
    pub config: Config,
    /// What was sent and how it was received.
    pub load: Load,
    /// Successes per second, by intended instant inside the window.
    pub throughput: Throughput,
    /// Executed without success, by code; void ones as `void_…`.
    pub failed: BTreeMap<String, u64>,
    /// Milliseconds from the intended instant.
    pub latency_ms: Latencies,
    /// CPU time.
    pub cpu: Cpu,
    /// Memory.
    pub memory: Memory,
    /// What the records say.
    pub audit: Audit,
    /// How transactions were executed, by shard, all authorities together.
    #[serde(default)]
    pub execution: BTreeMap<ShardId, ExecutionCounts>,
    /// The main figures as they would be on the machine that figures refer to.
    pub scaled: Scaled,
    /// What scenarios measured, by name; units are in the names.
    pub scenario: BTreeMap<String, f64>,
    /// The rates tried in the search for the highest, in order.
    pub probes: Vec<Probe>,
    /// One entry per second of the run.
    pub timeline: Vec<Second>,
}

/// The judgement on a run, the worst that applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// All that was admitted is settled or failed, and the audit found nothing.
    Pass,
    /// All is well but for what a scenario asked for beyond that.
    Missed,
    /// Something admitted did not end in time, or an authority did not catch up.
    NoProgress,
    /// Something reported ordered or later is absent or different, or value appeared or vanished.
    Lost,
    /// Two authorities hold different records or commits.
    Diverged,
}

/// Where a run took place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// The commit of the working tree, or `unknown`; `-dirty` behind it when files differ.
    pub commit: String,
    /// `rustc --version`, or `unknown`.
    pub rustc: String,
    /// The processor's name.
    pub cpu: String,
    /// Logical cores.
    pub cores: usize,
    /// The kernel's release.
    pub kernel: String,
    /// dalek's batch-of-1024 verification rate here and now, relative to 107k signatures per second.
    pub machine_factor: f64,
    /// The median of a 4 KiB overwrite with fdatasync in the folder of the run, in microseconds.
    pub fdatasync_p50_us: u64,
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// The command that repeats the run.
    pub command: String,
    /// Authorities.
    pub authorities: u16,
    /// Shards.
    pub shards: u16,
    /// `node` or `split`.
    pub layout: String,
    /// Transactions per second.
    pub rate: u64,
    /// Milliseconds of load.
    pub duration_ms: u64,
    /// Of the workload and the keys.
    pub seed: u64,
    /// Share of transfers to another shard.
    pub cross_shard: f64,
    /// Zipf exponent of the recipients.
    pub skew: f64,
    /// Funded accounts.
    pub accounts: usize,
    /// As on the command line.
    pub faults: Vec<String>,
    /// `transfers`, or `opaque` where they were not signed.
    pub workload: String,
    /// What the processes left out.
    pub without: Ablation,
    /// Scenarios, as on the command line.
    pub scenarios: Vec<String>,
}

/// What was sent and how it was received.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// Transactions per second by the schedule.
    pub offered_tps: f64,
    /// Transactions sent at least once.
    pub submitted: u64,
    /// Transactions admitted at least once.
    pub admitted: u64,
    /// Sendings after the first.
    pub resubmitted: u64,
    /// Transactions admitted at an authority that was killed, not known ordered there, and sent to another.
    pub orphaned: u64,
    /// Refusals by code; a transaction refused and taken later counts here and as admitted.
    pub rejected: BTreeMap<String, u64>,
    /// First sendings more than [`LATE_AFTER`](crate::limits::LATE_AFTER) behind the intended instant.
    pub late_sends: u64,
}

/// Successes per second, by intended instant inside the window, which is the load; what reaches a level more than a second
/// after it does not count, so that an overloaded cluster does not show the rate that it was offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Throughput {
    /// Of those that were ordered.
    pub ordered_tps: f64,
    /// Of those that were executed.
    pub executed_tps: f64,
    /// Of those that became final.
    pub final_tps: f64,
    /// Of those that settled.
    pub settled_tps: f64,
}

/// Milliseconds from the intended instant to each level, successes only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latencies {
    /// To ordered.
    pub ordered: Quantiles,
    /// To executed.
    pub executed: Quantiles,
    /// To final.
    pub r#final: Quantiles,
    /// To settled.
    pub settled: Quantiles,
    /// To final, transfers inside a shard.
    pub final_within_shard: Quantiles,
    /// To settled, transfers to another shard.
    pub settled_cross_shard: Quantiles,
}

/// A distribution in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// Half are below.
    pub p50: f64,
    /// 90 % are below.
    pub p90: f64,
    /// 99 % are below.
    pub p99: f64,
    /// 99.9 % are below.
    pub p999: f64,
    /// The slowest.
    pub max: f64,
}

/// CPU time of the load and of what followed until all was settled.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cpu {
    /// Of all processes of all authorities, per settled transaction.
    pub us_per_tx: f64,
    /// The same by what it was spent on, by thread: `client` is the load generator, `store` the checkpoints. The tree is
    /// hashed by the threads that execute. What was not measured is left out.
    pub by_stage: BTreeMap<String, f64>,
    /// The load generator's share of all CPU time.
    pub loadgen_share: f64,
}

/// Memory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// The most resident memory of each process, in MB.
    pub rss_mb_max: BTreeMap<String, f64>,
}

/// What the records say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// Balances, what is in flight and what is burned make the genesis' supply (X1), from records alone.
    pub supply_conserved: bool,
    /// No two authorities have different records of a block (E1).
    pub records_agree: bool,
    /// Commit sequences are prefixes of one another (A1).
    pub commits_agree: bool,
    /// What was reported final is in the records exactly once, by the fees burned, and no outcome changed (E3).
    pub every_final_once: bool,
    /// Receipts emitted and not consumed at the end.
    pub in_flight: u64,
}

/// Figures times or divided by the machine factor, so that a slow machine does not look like a slow program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scaled {
    /// Successes per second that became final.
    pub final_tps: f64,
    /// CPU time of all processes of all authorities per settled transaction.
    pub cpu_us_per_tx: f64,
}

impl Scaled {
    /// From what was measured.
    pub fn of(throughput: &Throughput, cpu: &Cpu, environment: &Environment) -> Self {
        let factor = environment.machine_factor;
        Self {
            final_tps: (throughput.final_tps / factor).round(),
            cpu_us_per_tx: rounded(cpu.us_per_tx * factor),
        }
    }
}

/// How transactions were executed, for people.
fn describe(execution: &ExecutionCounts) -> String {
    let ExecutionCounts { threads, serial, speculative, reexecuted, switches, .. } = *execution;
    if serial + speculative == 0 {
        return "one after the other, without an engine".to_owned();
    }
    let share = |part: u64, all: u64| 100.0 * part as f64 / all.max(1) as f64;
    format!(
        "{threads} threads, {:.1} % speculative, of these {:.2} % executed twice, {switches} changes of mode",
        share(speculative, serial + speculative),
        share(reexecuted, speculative),
    )
}

/// A rate that was tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// Transactions per second.
    pub rate: u64,
    /// Milliseconds of load.
    pub duration_ms: u64,
    /// Whether the cluster kept up: the run passed, all was final, and 99 % of it within a second.
    pub kept_up: bool,
    /// The verdict on the run.
    pub verdict: Verdict,
    /// Successes per second that became final.
    pub final_tps: f64,
    /// The 99th percentile to final, in milliseconds.
    pub final_p99_ms: f64,
    /// CPU time of all processes of all authorities per settled transaction, in microseconds.
    pub cpu_us_per_tx: f64,
}

/// A second of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Second {
    /// From the start of the load.
    pub second: u64,
    /// Transactions sent for the first time.
    pub submitted: u64,
    /// Successes that became final.
    pub r#final: u64,
    /// Successes that settled.
    pub settled: u64,
    /// CPU time of all processes, in milliseconds; they say so once a second themselves.
    pub cluster_cpu_ms: u64,
    /// CPU time of the load generator, in milliseconds.
    pub client_cpu_ms: u64,
    /// Memory that all processes held at its end, in MB.
    pub rss_mb: u64,
    /// Disk that all processes held at its end, in MB.
    pub disk_mb: u64,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pass => "pass",
            Self::Missed => "missed",
            Self::NoProgress => "no-progress",
            Self::Lost => "lost",
            Self::Diverged => "diverged",
        })
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rate, duration_ms, kept_up, verdict, final_tps, final_p99_ms, cpu_us_per_tx } = self;
        let seconds = *duration_ms as f64 / 1_000.0;
        let kept_up = if *kept_up { "kept up" } else { "too much" };
        write!(
            f,
            "{rate}/s for {seconds} s: {kept_up} ({verdict}, final {final_tps:.0}/s, p99 {final_p99_ms:.0} ms, \
             {cpu_us_per_tx:.1} us CPU/tx)"
        )
    }
}

impl Cpu {
    /// From what all processes used by thread, what the load generator used, and the successes that it was used for.
    pub fn of(threads: &BTreeMap<String, u64>, client_us: u64, settled: u64) -> Self {
        let mut stages: BTreeMap<String, u64> = BTreeMap::new();
        for (thread, micros) in threads {
            *stages.entry(stage(thread).to_owned()).or_default() += micros;
        }
        let servers: u64 = threads.values().sum();
        stages.insert("client".to_owned(), client_us);
        let per_settled = |micros: u64| if settled == 0 { 0.0 } else { micros as f64 / settled as f64 };
        let all = servers + client_us;
        Self {
            us_per_tx: rounded(per_settled(servers)),
            by_stage: stages
                .into_iter()
                .map(|(stage, micros)| (stage, rounded(per_settled(micros))))
                .collect(),
            loadgen_share: if all == 0 { 0.0 } else { rounded(client_us as f64 / all as f64) },
        }
    }
}

/// What a thread of a process works on, by its name.
fn stage(thread: &str) -> &'static str {
    let starts_with = |prefix| thread.starts_with(prefix);
    if starts_with("worker-") || starts_with("executor-") {
        "execute"
    } else if starts_with("beacon") {
        "order"
    } else if starts_with("verify-") {
        "verify"
    } else if starts_with("net") {
        "disseminate"
    } else if starts_with("keep-") || starts_with("rocksdb") {
        "store"
    } else {
        "other"
    }
}

/// To three digits behind the point: more were not measured.
fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

impl Report {
    /// The table for people.
    pub fn table(&self) -> String {
        let mut out = String::new();
        // Writing to a string does not fail.
        let _ = self.write_table(&mut out);
        out
    }

    /// What the report is of. Whatever was left out stands here, so that no figure is taken for what it is not.
    pub fn title(&self) -> String {
        let Config { workload, without, .. } = &self.config;
        let workload = if workload == "transfers" { String::new() } else { format!(", {workload}") };
        let without = if without.is_empty() { String::new() } else { format!(" WITHOUT {without}") };
        let max = if self.probes.is_empty() { "" } else { ", highest rate" };
        format!("fresnel bench{workload}{max}{without}")
    }

    /// One line to paste.
    pub fn line(&self) -> String {
        let Self { config, throughput, latency_ms, .. } = self;
        format!(
            "{} {} | {} authorities x {} shards ({}), {}/s for {} s, {} % cross-shard{} | settled {:.0}/s | \
             final p50 {:.0} p99 {:.0} ms | settled p50 {:.0} p99 {:.0} ms | {:.0} us CPU/tx | machine {:.2} | {}",
            self.title(),
            self.verdict,
            config.authorities,
            config.shards,
            config.layout,
            config.rate,
            config.duration_ms as f64 / 1_000.0,
            rounded(config.cross_shard * 100.0),
            config.faults.iter().chain(&config.scenarios).map(|what| format!(", {what}")).collect::<String>(),
            throughput.settled_tps,
            latency_ms.r#final.p50,
            latency_ms.r#final.p99,
            latency_ms.settled.p50,
            latency_ms.settled.p99,
            self.cpu.us_per_tx,
            self.environment.machine_factor,
            self.environment.commit,
        )
    }

    /// The levels, and parts of them, with successes per second and latencies.
    fn levels(&self) -> [(&'static str, Option<f64>, Quantiles); 6] {
        let Self { throughput, latency_ms, .. } = self;
        [
            ("ordered", Some(throughput.ordered_tps), latency_ms.ordered),
            ("executed", Some(throughput.executed_tps), latency_ms.executed),
            ("final", Some(throughput.final_tps), latency_ms.r#final),
            ("settled", Some(throughput.settled_tps), latency_ms.settled),
            ("final within shard", None, latency_ms.final_within_shard),
            ("settled cross-shard", None, latency_ms.settled_cross_shard),
        ]
    }

    fn write_table(&self, out: &mut impl fmt::Write) -> fmt::Result {
        let Self { load, audit, .. } = self;
        writeln!(out, "{}", self.title())?;
        for probe in &self.probes {
            writeln!(out, "{:<22}{probe}", "probe")?;
        }
        writeln!(
            out,
            "{:<22}{:>11}{:>10}{:>10}{:>10}{:>10}{:>10}",
            "", "per second", "p50 ms", "p90", "p99", "p99.9", "max"
        )?;
        for (name, rate, quantiles) in self.levels() {
            let Quantiles { p50, p90, p99, p999, max } = quantiles;
            let rate = rate.map_or_else(String::new, |rate| format!("{rate:.0}"));
            writeln!(out, "{name:<22}{rate:>11}{p50:>10.1}{p90:>10.1}{p99:>10.1}{p999:>10.1}{max:>10.1}")?;
        }
        let mut row = |name: &str, text: String| writeln!(out, "{name:<22}{text}");
        row(
            "load",
            format!(
                "{} submitted, {} admitted, {} late, {} resubmitted, {} orphaned",
                load.submitted, load.admitted, load.late_sends, load.resubmitted, load.orphaned
            ),
        )?;
        for (name, codes) in [("rejected", &load.rejected), ("failed", &self.failed)] {
            if !codes.is_empty() {
                row(
                    name,
                    codes
                        .iter()
                        .map(|(code, count)| format!("{count} {code}"))
                        .collect::<Vec<_>>()
                        .join(", "),
                )?;
            }
        }
        let stages: Vec<String> =
            self.cpu.by_stage.iter().map(|(stage, micros)| format!("{stage} {micros:.1}")).collect();
        row("CPU us per tx", format!("{:.1}: {}", self.cpu.us_per_tx, stages.join(", ")))?;
        let most = self.memory.rss_mb_max.values().copied().fold(0.0, f64::max);
        row("memory", format!("{most:.0} MB in the largest of {} processes", self.memory.rss_mb_max.len()))?;
        let Scaled { final_tps, cpu_us_per_tx } = self.scaled;
        let factor = self.environment.machine_factor;
        row(
            "scaled",
            format!("{final_tps:.0} final/s, {cpu_us_per_tx:.1} us CPU per tx (machine {factor:.2})"),
        )?;
        for (shard, execution) in &self.execution {
            row(&format!("execution of shard {shard}"), describe(execution))?;
        }
        for (name, figure) in &self.scenario {
            row("", format!("{name} {figure}"))?;
        }
        let yes = |holds| if holds { "yes" } else { "NO" };
        row(
            "audit",
            format!(
                "supply conserved {}, records agree {}, commits agree {}, every final once {}, in flight {}",
                yes(audit.supply_conserved),
                yes(audit.records_agree),
                yes(audit.commits_agree),
                yes(audit.every_final_once),
                audit.in_flight
            ),
        )?;
        for reason in &self.reasons {
            row("", reason.clone())?;
        }
        write!(out, "{:<22}{}", "verdict", self.verdict)
    }
}

#[cfg(test)]
mod tests;
