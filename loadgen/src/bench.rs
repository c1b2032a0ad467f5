//! A whole benchmark: cluster, load, faults, audit, report.

mod find_max;
mod options;
mod scenario;
mod verdict;

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail};
use fresnel_types::{Amount, ChainId, Parameters, Shards, Timestamp, ablation::Part};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::spawn_blocking,
    time::{Instant, sleep, timeout},
};

pub use self::options::{BenchOptions, Freeze, Overload};
use self::verdict::{Findings, verdict};
use crate::{
    Cluster, ClusterOptions, Fault, Report, Verdict,
    audit::{Collector, Judgement, Paid, judge},
    environment,
    limits::{ATTEMPTS_MAX, CATCH_UP_MAX, DRAIN_MAX, VALIDITY_MICROS},
    load::{self, Patience, Summary},
    report::{Cpu, Environment, Memory, Probe, SCHEMA_VERSION, Scaled},
    workload::{Accounts, Pool, Workload},
};

/// How far a benchmark has come.
#[derive(Clone, Debug, PartialEq)]
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
    /// In the search for the highest rate, one was tried.
    Probed(Probe),
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
    stoppable(async {
        let place = Place::prepare(&options, &progress).await?;
        let report = run(&options, &place, DRAIN_MAX, &progress).await?;
        write(&options.out, report)
    })
    .await
}

/// As [`bench()`], after a search for the highest rate that the cluster keeps up with; the report is of the run that
/// confirms it and holds all probes. The search begins at the rate of the options.
///
/// # Errors
/// As [`bench()`], and when the cluster keeps up with no rate at all.
pub async fn find_max(options: BenchOptions, progress: impl Fn(Stage)) -> Result<Report> {
    stoppable(async {
        let place = Place::prepare(&options, &progress).await?;
        let report = find_max::find(&options, &place, &progress).await?;
        write(&options.out, report)
    })
    .await
}

async fn stoppable(run: impl Future<Output = Result<Report>>) -> Result<Report> {
    let mut terminated = signal(SignalKind::terminate())?;
    // Dropping the run drops the cluster, which kills its processes.
    tokio::select! {
        report = run => report,
        _ = tokio::signal::ctrl_c() => bail!("interrupted; all processes were stopped"),
        _ = terminated.recv() => bail!("terminated; all processes were stopped"),
    }
}

fn write(out: &Path, report: Report) -> Result<Report> {
    for (name, bytes) in
        [("report.json", serde_json::to_vec_pretty(&report)?), ("report.html", report.html().into_bytes())]
    {
        let path = out.join(name);
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(report)
}

/// What runs on the same machine with the same accounts share.
struct Place {
    environment: Environment,
    accounts: Accounts,
}

impl Place {
    async fn prepare(options: &BenchOptions, progress: &impl Fn(Stage)) -> Result<Self> {
        options.check()?;
        progress(Stage::Preparing);
        fs::create_dir_all(&options.out).with_context(|| format!("cannot make {}", options.out.display()))?;
        let environment = environment::measure(&options.out)?;
        let shards = Shards::new(options.shards).map_err(anyhow::Error::msg)?;
        let (seed, count) = (options.seed, options.accounts);
        let accounts = spawn_blocking(move || Accounts::derive(seed, shards, count)).await?;
        Ok(Self { environment, accounts })
    }
}

/// One run on a cluster of its own.
async fn run(
    options: &BenchOptions,
    place: &Place,
    drain_max: Duration,
    progress: &impl Fn(Stage),
) -> Result<Report> {
    let (faults, schedule, ablate) = (options.faults()?, options.schedule(), options.leaves_out());
    let folder = options.out.join(CLUSTER);
    clear(&folder)?;
    let mut cluster = Cluster::create(ClusterOptions {
        binary: options.binary.clone(),
        folder: folder.clone(),
        name: format!("bench-{}", options.seed),
        authorities: options.authorities,
        shards: place.accounts.shards(),
        layout: options.layout,
        parameters: Parameters { rule: options.rule, bench: !ablate.is_empty(), ..Parameters::default() },
        executor: options.executor,
        ablate: ablate.clone(),
        accounts: place.accounts.allocations(FUNDS),
    })?;
    let pool = sign(options.workload(), place.accounts.clone(), cluster.genesis().chain(), progress).await?;
    // Nobody pays where nothing is executed.
    let fee = if ablate.contains(Part::Execution) { Amount(0) } else { pool.fee };

    progress(Stage::Starting);
    cluster.start_all().await?;
    progress(Stage::Ready(cluster.endpoints().iter().map(|endpoint| endpoint.address).collect()));
    // Whoever is refused in an overload stays away: otherwise it would go on long after it is over.
    let attempts_max = if options.overload.is_some() { 1 } else { ATTEMPTS_MAX };
    let patience = Patience { drain_max, attempts_max };
    let before = Costs::of(&cluster).await?;
    let outcome = load::run(pool, &mut cluster, &schedule, &faults, patience, progress).await?;
    let after = Costs::of(&cluster).await?;
    let summary = Summary::of(&outcome, options.rate, schedule.duration());

    progress(Stage::Auditing);
    let counts = outcome.tracker.counts();
    // No workload pays for more than one leaf per transaction.
    let leaf =
        if ablate.contains(Part::Execution) { 0 } else { cluster.genesis().parameters.account_minimum.0 };
    let (leaves_least, leaves_most) = summary.leaves.count();
    let most = if outcome.gave_up {
        counts.submitted * (fee.0 + leaf)
    } else {
        summary.paid * fee.0 + leaves_most * leaf
    };
    let paid = Paid {
        least: Amount(summary.paid * fee.0 + leaves_least * leaf),
        most: Amount(most),
        contradictions: counts.contradictions,
    };
    let (judgement, collector) = audit(&cluster, paid).await;
    let failures = cluster.failures()?;
    let usage = cluster.usage();

    progress(Stage::Stopping);
    let stopped = cluster.stop().await;

    let scenario = scenario::judge(options, &outcome, place.environment.cores);
    let findings = Findings {
        open: outcome.tracker.open(),
        absent: outcome.absent,
        settled: summary.settled,
        moving: collector.is_moving(),
        failures: failures.into_iter().chain(stopped.err().map(|error| format!("{error:#}"))).collect(),
        missed: scenario.missed,
    };
    let (verdict, reasons) = verdict(&findings, &judgement);
    let cpu = after.since(&before, summary.settled);
    let report = Report {
        schema_version: SCHEMA_VERSION,
        verdict,
        reasons,
        environment: place.environment.clone(),
        config: options.config(false),
        load: summary.load,
        throughput: summary.throughput,
        failed: summary.failed,
        latency_ms: summary.latency_ms,
        scaled: Scaled::of(&summary.throughput, &cpu, &place.environment),
        cpu,
        memory: Memory {
            rss_mb_max: usage
                .into_iter()
                .map(|(name, usage)| (name, (usage.rss_bytes_max as f64 / 1e5).round() / 10.0))
                .collect(),
        },
        audit: judgement.audit,
        execution: collector.execution(),
        scenario: scenario.figures,
        probes: Vec::new(),
        timeline: summary.timeline,
    };
    if !options.keep && verdict == Verdict::Pass {
        clear(&folder)?;
    }
    Ok(report)
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
/// longer. Also gives what was collected.
async fn audit(cluster: &Cluster, paid: Paid) -> (Judgement, Collector) {
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
            return (judgement, collector);
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
    async fn of(cluster: &Cluster) -> Result<Self> {
        let client_us = environment::own_cpu_us()?;
        let mut threads = BTreeMap::new();
        for (_, usage) in cluster.usage_now().await {
            for (thread, micros) in usage.threads {
                *threads.entry(thread).or_default() += micros;
            }
        }
        Ok(Self { threads, client_us })
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

/// The folder of the cluster within that of the run.
const CLUSTER: &str = "cluster";

/// What each account owns at the start: enough for every transfer that its nonces allow in the longest load.
const FUNDS: Amount = Amount(1_000_000_000);

/// How often it is told how much is signed.
const SIGNING_TOLD: Duration = Duration::from_millis(200);

/// Time between two looks at the records.
const AUDIT_INTERVAL: Duration = Duration::from_millis(250);
