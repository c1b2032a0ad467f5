//! A whole benchmark: cluster, load, faults, audit, report.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Result, bail};

use crate::{Fault, Layout, Report};

/// What to run.
#[derive(Clone, Debug)]
pub struct BenchOptions {
    /// The `fresnel` program.
    pub binary: PathBuf,
    /// Where `report.json` and, with `keep`, the cluster's files go; created when missing.
    pub out: PathBuf,
    /// How many authorities.
    pub authorities: u16,
    /// How many shards: a power of two.
    pub shards: u16,
    /// How machines are spread over processes.
    pub layout: Layout,
    /// Transactions per second.
    pub rate: u64,
    /// For how long.
    pub duration: Duration,
    /// Of the workload and of all keys.
    pub seed: u64,
    /// Share of transfers to another shard, 0 to 1.
    pub cross_shard: f64,
    /// Zipf exponent of the recipients; 0 is uniform.
    pub skew: f64,
    /// Funded accounts.
    pub accounts: usize,
    /// What happens to the cluster during the load.
    pub faults: Vec<Fault>,
    /// Whether the cluster's files stay.
    pub keep: bool,
}

impl Default for BenchOptions {
    fn default() -> Self {
        Self {
            binary: PathBuf::from("fresnel"),
            out: PathBuf::from("fresnel-bench"),
            authorities: 4,
            shards: 2,
            layout: Layout::Node,
            rate: 10_000,
            duration: Duration::from_secs(10),
            seed: 1,
            cross_shard: 0.1,
            skew: 0.0,
            accounts: 20_000,
            faults: Vec::new(),
            keep: false,
        }
    }
}

/// How far a benchmark has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Deriving accounts and writing the cluster's files.
    Preparing,
    /// Signing ahead.
    Signing {
        /// Transactions signed.
        done: usize,
        /// Transactions in all.
        total: usize,
    },
    /// Starting the processes.
    Starting,
    /// All processes answer.
    Ready(Vec<SocketAddr>),
    /// The load runs; once per second.
    Loading {
        /// From its start.
        elapsed: Duration,
        /// Transactions sent so far.
        submitted: u64,
        /// Successes settled so far.
        settled: u64,
    },
    /// A fault struck.
    Fault(Fault),
    /// The load is over; waiting for what is on its way. Once per second.
    Draining {
        /// Transactions admitted and not at their end.
        left: u64,
    },
    /// Reading and judging records.
    Auditing,
    /// Stopping the processes.
    Stopping,
}

/// Runs a benchmark and writes `report.json` into its folder. Ctrl-C stops everything.
///
/// # Errors
/// When the cluster cannot be run, or on Ctrl-C. A run with a bad verdict is no error.
pub async fn bench(_options: BenchOptions, _progress: impl Fn(Stage)) -> Result<Report> {
    bail!("the benchmark is not built yet")
}
