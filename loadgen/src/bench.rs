//! A whole benchmark: cluster, load, faults, audit, report.

mod verdict;

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail, ensure};
use fresnel_types::{Amount, ChainId, Parameters, Shards, Timestamp};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::spawn_blocking,
    time::{Instant, sleep, timeout},
};

use self::verdict::{Findings, verdict};
use crate::{
    Cluster, ClusterOptions, Fault, Layout, Report, Verdict,
    audit::{Collector, Judgement, Paid, judge},
    environment, faults,
    limits::{CATCH_UP_MAX, DURATION_MAX, VALIDITY_MICROS},
    load::{self, Summary},
    report::{Config, Cpu, Memory, SCHEMA_VERSION},
    workload::{Accounts, Pool, Workload},
};

/// What to run.
#[derive(Clone, Debug)]
pub struct BenchOptions {
    /// The `fresnel` program.
    pub binary: PathBuf,
    /// Where `report.json`, `report.html` and, in `cluster`, the cluster's files go; created when missing. The files of an earlier run
    /// are replaced.
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
    /// Whether the cluster's files stay after a pass; otherwise they do in any case.
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

/// Runs a benchmark and writes `report.json` and `report.html` into its folder. Ctrl-C and SIGTERM stop everything.
///
/// # Errors
/// When the cluster cannot be run, or on Ctrl-C. A run with a bad verdict is no error.
pub async fn bench(options: BenchOptions, progress: impl Fn(Stage)) -> Result<Report> {
    let mut terminated = signal(SignalKind::terminate())?;
    // Dropping the run drops the cluster, which kills its processes.
    tokio::select! {
        report = run(options, &progress) => report,
        _ = tokio::signal::ctrl_c() => bail!("interrupted; all processes were stopped"),
        _ = terminated.recv() => bail!("terminated; all processes were stopped"),
    }
}

async fn run(options: BenchOptions, progress: &impl Fn(Stage)) -> Result<Report> {
    let shards = Shards::new(options.shards).map_err(anyhow::Error::msg)?;
    let authorities = usize::from(options.authorities);
    let faults = faults::schedule(&options.faults, authorities).map_err(anyhow::Error::msg)?;
    let workload = workload(&options)?;

    progress(Stage::Preparing);
    let out = options.out.clone();
    fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
    let folder = out.join(CLUSTER);
    clear(&folder)?;
    let environment = environment::measure(&out)?;
    let (seed, count) = (options.seed, options.accounts);
    let accounts = spawn_blocking(move || Accounts::derive(seed, shards, count)).await?;
    let mut cluster = Cluster::create(ClusterOptions {
        binary: options.binary.clone(),
        folder: folder.clone(),
        name: format!("bench-{seed}"),
        authorities: options.authorities,
        shards,
        layout: options.layout,
        parameters: Parameters::default(),
        accounts: accounts.allocations(FUNDS),
    })?;
    let pool = sign(workload, accounts, cluster.genesis().chain(), progress).await?;
    let fee = pool.fee;

    progress(Stage::Starting);
    cluster.start_all().await?;
    progress(Stage::Ready(cluster.endpoints().iter().map(|endpoint| endpoint.address).collect()));
    let before = Costs::of(&cluster)?;
    let outcome = load::run(pool, &mut cluster, options.rate, &faults, progress).await?;
    let after = Costs::of(&cluster)?;
    let summary = Summary::of(&outcome.tracker, options.rate, options.duration);

    progress(Stage::Auditing);
    let counts = outcome.tracker.counts();
    let least = Amount(summary.paid * fee.0);
    let paid = Paid {
        least,
        most: if outcome.gave_up { Amount(counts.submitted * fee.0) } else { least },
        contradictions: counts.contradictions,
    };
    let (judgement, moving) = audit(&cluster, paid).await;
    let failures = cluster.failures()?;
    let usage = cluster.usage();

    progress(Stage::Stopping);
    let stopped = cluster.stop().await;

    let findings = Findings {
        open: outcome.tracker.open(),
        absent: outcome.absent,
        settled: summary.settled,
        moving,
        failures: failures.into_iter().chain(stopped.err().map(|error| format!("{error:#}"))).collect(),
    };
    let (verdict, reasons) = verdict(&findings, &judgement);
    let report = Report {
        schema_version: SCHEMA_VERSION,
        verdict,
        reasons,
        environment,
        config: config(&options),
        load: summary.load,
        throughput: summary.throughput,
        failed: summary.failed,
        latency_ms: summary.latency_ms,
        cpu: after.since(&before, summary.settled),
        memory: Memory {
            rss_mb_max: usage
                .into_iter()
                .map(|(name, usage)| (name, (usage.rss_bytes_max as f64 / 1e5).round() / 10.0))
                .collect(),
        },
        audit: judgement.audit,
        timeline: summary.timeline,
    };
    for (name, bytes) in
        [("report.json", serde_json::to_vec_pretty(&report)?), ("report.html", report.html().into_bytes())]
    {
        let path = out.join(name);
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if !options.keep && verdict == Verdict::Pass {
        clear(&folder)?;
    }
    Ok(report)
}

fn workload(options: &BenchOptions) -> Result<Workload> {
    ensure!(
        (1..=DURATION_MAX.as_millis()).contains(&options.duration.as_millis()),
        "a load lasts 1 ms to {DURATION_MAX:?}"
    );
    ensure!(options.rate > 0, "a load has a rate");
    ensure!((2..=ACCOUNTS_MAX).contains(&options.accounts), "a load has 2 to {ACCOUNTS_MAX} accounts");
    ensure!((0.0..=1.0).contains(&options.cross_shard), "the cross-shard share is 0 to 1");
    ensure!((0.0..=10.0).contains(&options.skew), "the skew is 0 to 10");
    let transfers = u128::from(options.rate) * options.duration.as_micros() / 1_000_000;
    Ok(Workload {
        seed: options.seed,
        transfers: u64::try_from(transfers).unwrap_or(u64::MAX),
        cross_shard: options.cross_shard,
        skew: options.skew,
        amount: AMOUNT,
        fee: FEE,
    })
}

/// Removes the files of an earlier cluster, and nothing that is none.
fn clear(folder: &Path) -> Result<()> {
    if folder.join("genesis.bin").exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    Ok(())
}

/// Signs on other threads and tells how far they have come.
async fn sign(
    workload: Workload,
    accounts: Accounts,
    chain: ChainId,
    progress: &impl Fn(Stage),
) -> Result<Pool> {
    let total = usize::try_from(workload.transfers)?;
    let done = Arc::new(AtomicUsize::new(0));
    let valid_until = now()?.plus(VALIDITY_MICROS);
    let mut signing = {
        let done = Arc::clone(&done);
        spawn_blocking(move || {
            Pool::sign(&workload, &accounts, chain, valid_until, &|count| {
                done.fetch_max(count, Ordering::Relaxed);
            })
        })
    };
    loop {
        progress(Stage::Signing { done: done.load(Ordering::Relaxed), total });
        if let Ok(signed) = timeout(SIGNING_TOLD, &mut signing).await {
            let pool = signed??;
            progress(Stage::Signing { done: total, total });
            return Ok(pool);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "transactions are valid until an instant of the real clock")]
fn now() -> Result<Timestamp> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock stands before 1970")?;
    Ok(Timestamp(u64::try_from(since.as_micros())?))
}

/// Collects and judges until everything is quiet and all authorities that are up hold the same, or nobody can wait any
/// longer. Also tells whether the shards went on executing.
async fn audit(cluster: &Cluster, paid: Paid) -> (Judgement, bool) {
    let genesis = cluster.genesis();
    let endpoints: Vec<_> =
        cluster.endpoints().into_iter().filter(|endpoint| cluster.is_up(endpoint.authority)).collect();
    let mut collector = Collector::default();
    let until = Instant::now() + CATCH_UP_MAX;
    loop {
        let mut unreachable = Vec::new();
        for endpoint in &endpoints {
            if let Err(error) = collector.visit(endpoint, genesis.chain()).await {
                unreachable.push(format!("authority {} does not tell: {error:#}", endpoint.authority));
            }
        }
        let mut judgement = judge(genesis, collector.evidence(), paid);
        let broken = !judgement.audit.records_agree || !judgement.audit.commits_agree;
        if judgement.quiet && unreachable.is_empty() || broken || Instant::now() >= until {
            judgement.quiet &= unreachable.is_empty();
            judgement.reasons.extend(unreachable);
            return (judgement, collector.is_moving());
        }
        sleep(AUDIT_INTERVAL).await;
    }
}

/// CPU time used so far.
struct Costs {
    threads: BTreeMap<String, u64>,
    client_us: u64,
}

impl Costs {
    fn of(cluster: &Cluster) -> Result<Self> {
        let mut threads = BTreeMap::new();
        for (_, usage) in cluster.usage() {
            for (thread, micros) in usage.threads {
                *threads.entry(thread).or_default() += micros;
            }
        }
        Ok(Self { threads, client_us: environment::own_cpu_us()? })
    }

    fn since(&self, before: &Self, settled: u64) -> Cpu {
        let used = |(thread, &micros): (&String, &u64)| {
            let earlier = before.threads.get(thread).copied().unwrap_or(0);
            (thread.clone(), micros.saturating_sub(earlier))
        };
        let threads = self.threads.iter().map(used).collect();
        Cpu::of(&threads, self.client_us.saturating_sub(before.client_us), settled)
    }
}

fn config(options: &BenchOptions) -> Config {
    Config {
        command: command(options),
        authorities: options.authorities,
        shards: options.shards,
        layout: options.layout.to_string(),
        rate: options.rate,
        duration_ms: options.duration.as_millis() as u64,
        seed: options.seed,
        cross_shard: options.cross_shard,
        skew: options.skew,
        accounts: options.accounts,
        faults: options.faults.iter().map(Fault::to_string).collect(),
    }
}

/// What to type for the same run.
fn command(options: &BenchOptions) -> String {
    let mut duration = String::new();
    // Writing to a string does not fail.
    let _ = faults::write_duration(&mut duration, options.duration);
    let mut words = vec![format!(
        "fresnel bench --authorities {} --shards {} --layout {} --rate {} --duration {duration} --seed {} \
         --cross-shard {} --skew {} --accounts {}",
        options.authorities,
        options.shards,
        options.layout,
        options.rate,
        options.seed,
        options.cross_shard,
        options.skew,
        options.accounts,
    )];
    words.extend(options.faults.iter().map(|fault| format!("--fault {fault}")));
    words.push(format!("--out {}", options.out.display()));
    if options.keep {
        words.push("--keep".to_owned());
    }
    words.join(" ")
}

/// The folder of the cluster within that of the run.
const CLUSTER: &str = "cluster";

/// What each account owns at the start: enough for every transfer that its nonces allow in the longest load.
const FUNDS: Amount = Amount(1_000_000_000);

/// What each transfer moves.
const AMOUNT: Amount = Amount(10);

/// What each transfer burns.
const FEE: Amount = Amount(1);

/// What a genesis of 64 MiB can fund.
const ACCOUNTS_MAX: usize = 1_500_000;

/// How often it is told how much is signed.
const SIGNING_TOLD: Duration = Duration::from_millis(200);

/// Time between two looks at the records.
const AUDIT_INTERVAL: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_repeats_the_run() {
        let options = BenchOptions {
            faults: vec![
                "kill:3@8s".parse().expect("well formed"),
                "restart:3@14s".parse().expect("well formed"),
            ],
            duration: Duration::from_millis(1_500),
            layout: Layout::Split,
            keep: true,
            ..BenchOptions::default()
        };
        assert_eq!(
            command(&options),
            "fresnel bench --authorities 4 --shards 2 --layout split --rate 10000 --duration 1500ms --seed 1 \
             --cross-shard 0.1 --skew 0 --accounts 20000 --fault kill:3@8s --fault restart:3@14s \
             --out fresnel-bench --keep"
        );
    }

    #[test]
    fn a_workload_that_makes_no_sense_is_refused() {
        assert_eq!(workload(&BenchOptions::default()).expect("the defaults").transfers, 100_000);
        for options in [
            BenchOptions { rate: 0, ..BenchOptions::default() },
            BenchOptions { duration: Duration::ZERO, ..BenchOptions::default() },
            BenchOptions { accounts: 1, ..BenchOptions::default() },
            BenchOptions { cross_shard: 1.5, ..BenchOptions::default() },
            BenchOptions { skew: f64::NAN, ..BenchOptions::default() },
        ] {
            assert!(workload(&options).is_err(), "{options:?}");
        }
    }
}
