//! What a run gave: `report.json`, the table for people, and the line to paste.
//!
//! The fields are a published format: additions raise nothing, changes raise [`SCHEMA_VERSION`].

use std::{collections::BTreeMap, fmt};

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
    /// One entry per second of the run.
    pub timeline: Vec<Second>,
}

/// The judgement on a run, the worst that applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// All that was admitted is settled or failed, and the audit found nothing.
    Pass,
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

/// Successes per second, by intended instant inside the window.
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
    /// The same by what it was spent on, `client` being the load generator; what is not measured is left out.
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
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pass => "pass",
            Self::NoProgress => "no-progress",
            Self::Lost => "lost",
            Self::Diverged => "diverged",
        })
    }
}

impl Report {
    /// The table for people.
    pub fn table(&self) -> String {
        String::new()
    }

    /// One line to paste.
    pub fn line(&self) -> String {
        String::new()
    }
}
