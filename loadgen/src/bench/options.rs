//! What a benchmark is asked to do, and what follows from that before anything runs: the command that repeats it, the
//! schedule, the workload, the faults.

use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

use anyhow::{Result, ensure};
use fresnel_types::{Ablation, Amount, ShardId, Shards, ablation::Part, genesis::Rule, limits::NONCE_WINDOW};

use crate::{
    ExecutorMode, Fault, Layout,
    faults::{self, FaultAction, Target, hosted, parse_duration, write_duration},
    limits::{DURATION_MAX, RECOVERY_MAX},
    load::Schedule,
    report::Config,
    workload::{Kind, Workload},
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
    /// The commit rule.
    pub rule: Rule,
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
    /// A time at a multiple of the rate, with `duration` at the rate before it, and after it once more with time to
    /// recover.
    pub overload: Option<Overload>,
    /// The workers of a shard stand still for a time, and the others must not care.
    pub freeze: Option<Freeze>,
    /// Rounds in which a random process is killed and restarted; they say how long the load lasts.
    pub chaos: Option<u32>,
    /// Whether memory and disk must not grow from the third minute on.
    pub soak: bool,
    /// How workers execute blocks.
    pub executor: ExecutorMode,
    /// What the processes leave out.
    pub ablate: Ablation,
    /// What the transactions do.
    pub kind: Kind,
    /// Ordering alone: transactions are not signed, and processes check no signatures, execute nothing and keep no tree.
    pub opaque: bool,
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
            rule: Rule::default(),
            rate: 10_000,
            duration: Duration::from_secs(10),
            seed: 1,
            cross_shard: 0.1,
            skew: 0.0,
            accounts: 20_000,
            faults: Vec::new(),
            overload: None,
            freeze: None,
            chaos: None,
            soak: false,
            executor: ExecutorMode::default(),
            ablate: Ablation::default(),
            kind: Kind::default(),
            opaque: false,
            keep: false,
        }
    }
}

/// A time at a multiple of the rate: `3x60s`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Overload {
    /// How many times the rate.
    pub times: f64,
    /// For how long.
    pub lasts: Duration,
}

/// A shard whose workers stand still: `shard:1@10s+10s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freeze {
    /// Whose workers.
    pub shard: ShardId,
    /// From when on, from the start of the load.
    pub at: Duration,
    /// For how long.
    pub lasts: Duration,
}

impl BenchOptions {
    /// Whether all of it can be done.
    ///
    /// # Errors
    /// The first thing that cannot, in a sentence.
    pub fn check(&self) -> Result<()> {
        let shards = Shards::new(self.shards).map_err(anyhow::Error::msg)?;
        ensure!(self.authorities > 0, "a cluster has at least one authority");
        ensure!(self.rate > 0, "a load has a rate");
        if let Some(Overload { times, lasts }) = self.overload {
            ensure!((1.0..=100.0).contains(&times), "an overload is 1 to 100 times the rate");
            ensure!(lasts >= Duration::from_secs(2), "an overload lasts at least two seconds");
        }
        let duration = self.schedule().duration();
        ensure!(
            (1..=DURATION_MAX.as_millis()).contains(&duration.as_millis()),
            "a load lasts 1 ms to {DURATION_MAX:?}"
        );
        ensure!((2..=ACCOUNTS_MAX).contains(&self.accounts), "a load has 2 to {ACCOUNTS_MAX} accounts");
        ensure!((0.0..=1.0).contains(&self.cross_shard), "the cross-shard share is 0 to 1");
        ensure!((0.0..=10.0).contains(&self.skew), "the skew is 0 to 10");
        if let Some(Freeze { shard, at, lasts }) = self.freeze {
            ensure!(shards.count() > 1, "with one shard nobody is left to look at while it stands still");
            ensure!(at >= Duration::from_secs(3), "three seconds before the freeze are compared with");
            ensure!(at + lasts <= duration, "the freeze of shard {shard} ends after the load");
        }
        ensure!(!self.soak || duration > SOAK_MIN, "growth is looked for from the third minute on");
        if self.leaves_out().contains(Part::Execution) {
            let most = self.accounts as u64 * NONCE_WINDOW;
            ensure!(
                self.schedule().transactions() <= most,
                "without execution no nonce is ever used up: {} accounts have {most} transactions",
                self.accounts
            );
        }
        self.faults().map(|_| ())
    }

    /// The faults, in the order in which they happen.
    ///
    /// # Errors
    /// When one makes no sense for the cluster.
    pub(crate) fn faults(&self) -> Result<Vec<Fault>> {
        let shards = Shards::new(self.shards).map_err(anyhow::Error::msg)?;
        let processes = hosted(self.authorities, shards, self.layout);
        let mut all = self.faults.clone();
        all.extend(self.chaos.into_iter().flat_map(|count| faults::rounds(self.seed, count, &processes)));
        if let Some(Freeze { shard, at, lasts }) = self.freeze {
            let target = Target::Shard(shard);
            all.push(Fault { action: FaultAction::Freeze, target, at });
            all.push(Fault { action: FaultAction::Thaw, target, at: at + lasts });
        }
        faults::schedule(&all, &processes).map_err(anyhow::Error::msg)
    }

    /// When what is sent.
    pub(crate) fn schedule(&self) -> Schedule {
        let duration = self.chaos.map_or(self.duration, faults::lasts);
        match self.overload {
            None => Schedule::new(&[(self.rate, duration)]),
            Some(Overload { times, lasts }) => {
                let over = (self.rate as f64 * times) as u64;
                Schedule::new(&[(self.rate, duration), (over, lasts), (self.rate, duration + RECOVERY_MAX)])
            }
        }
    }

    /// What the processes leave out.
    pub(crate) fn leaves_out(&self) -> Ablation {
        let mut ablation = self.ablate.clone();
        if self.opaque {
            [Part::Signatures, Part::Execution, Part::Tree]
                .into_iter()
                .for_each(|part| ablation.insert(part));
        }
        ablation
    }

    /// Which transfers.
    pub(crate) fn workload(&self) -> Workload {
        Workload {
            seed: self.seed,
            kind: self.kind,
            transfers: self.schedule().transactions(),
            cross_shard: self.cross_shard,
            skew: self.skew,
            amount: AMOUNT,
            fee: FEE,
            signed: !self.opaque,
        }
    }

    /// For the report.
    pub(crate) fn config(&self, find_max: bool) -> Config {
        Config {
            command: self.command(find_max),
            authorities: self.authorities,
            shards: self.shards,
            layout: self.layout.to_string(),
            rate: self.rate,
            duration_ms: self.schedule().duration().as_millis() as u64,
            seed: self.seed,
            cross_shard: self.cross_shard,
            skew: self.skew,
            accounts: self.accounts,
            faults: self.faults.iter().map(Fault::to_string).collect(),
            workload: if self.opaque { "opaque".to_owned() } else { self.kind.to_string() },
            without: self.leaves_out(),
            scenarios: self.scenarios(),
        }
    }

    fn scenarios(&self) -> Vec<String> {
        let overload = self.overload.map(|overload| format!("--overload {overload}"));
        let freeze = self.freeze.map(|freeze| format!("--freeze {freeze}"));
        let chaos = self.chaos.map(|rounds| format!("--chaos {rounds}"));
        let soak = self.soak.then(|| "--soak".to_owned());
        overload.into_iter().chain(freeze).chain(chaos).chain(soak).collect()
    }

    /// What to type for the same run.
    fn command(&self, find_max: bool) -> String {
        let mut duration = String::new();
        // Writing to a string does not fail.
        let _ = write_duration(&mut duration, self.duration);
        let mut words = vec![format!(
            "fresnel bench --authorities {} --shards {} --layout {} --rate {} --duration {duration} --seed {} \
             --cross-shard {} --skew {} --accounts {}",
            self.authorities,
            self.shards,
            self.layout,
            self.rate,
            self.seed,
            self.cross_shard,
            self.skew,
            self.accounts,
        )];
        if find_max {
            words.push("--find-max".to_owned());
        }
        if self.rule != Rule::default() {
            words.push(format!("--rule {}", self.rule));
        }
        if self.opaque {
            words.push("--workload opaque".to_owned());
        } else if self.kind != Kind::default() {
            words.push(format!("--workload {}", self.kind));
        }
        if self.executor != ExecutorMode::default() {
            words.push(format!("--executor {}", self.executor));
        }
        if !self.ablate.is_empty() {
            words.push(format!("--ablate {}", self.ablate));
        }
        words.extend(self.faults.iter().map(|fault| format!("--fault {fault}")));
        words.extend(self.scenarios());
        words.push(format!("--out {}", self.out.display()));
        if self.keep {
            words.push("--keep".to_owned());
        }
        words.join(" ")
    }
}

impl FromStr for Overload {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (times, lasts) = text.split_once('x')?;
            Some(Self { times: times.parse().ok()?, lasts: parse_duration(lasts)? })
        };
        parse().ok_or_else(|| format!("{text:?} is no overload: like 3x60s or 1.5x20s"))
    }
}

impl fmt::Display for Overload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x", self.times)?;
        write_duration(f, self.lasts)
    }
}

impl FromStr for Freeze {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (shard, rest) = text.strip_prefix("shard:")?.split_once('@')?;
            let (at, lasts) = rest.split_once('+')?;
            let shard = ShardId(shard.parse().ok()?);
            Some(Self { shard, at: parse_duration(at)?, lasts: parse_duration(lasts)? })
        };
        parse().ok_or_else(|| format!("{text:?} is no freeze: like shard:1@10s+10s"))
    }
}

impl fmt::Display for Freeze {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shard:{}@", self.shard)?;
        write_duration(f, self.at)?;
        f.write_str("+")?;
        write_duration(f, self.lasts)
    }
}

/// What each transfer moves.
const AMOUNT: Amount = Amount(10);

/// What each transfer burns.
pub(super) const FEE: Amount = Amount(1);

/// What a genesis of 64 MiB can fund.
const ACCOUNTS_MAX: usize = 1_500_000;

/// The least duration of a load whose growth is looked at.
const SOAK_MIN: Duration = Duration::from_secs(180);

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
        for rule in Rule::ALL {
            let named = BenchOptions { rule, ..options.clone() }.command(false);
            assert_eq!(named.contains(&format!("--rule {rule}")), rule != Rule::default());
        }
        assert_eq!(
            options.command(false),
            "fresnel bench --authorities 4 --shards 2 --layout split --rate 10000 --duration 1500ms --seed 1 \
             --cross-shard 0.1 --skew 0 --accounts 20000 --fault kill:3@8s --fault restart:3@14s \
             --out fresnel-bench --keep"
        );
        let options = BenchOptions {
            overload: Some("3x60s".parse().expect("well formed")),
            freeze: Some("shard:1@10s+500ms".parse().expect("well formed")),
            chaos: Some(20),
            opaque: true,
            ablate: [Part::Store].into_iter().collect(),
            ..BenchOptions::default()
        };
        assert_eq!(
            options.command(true),
            "fresnel bench --authorities 4 --shards 2 --layout node --rate 10000 --duration 10s --seed 1 \
             --cross-shard 0.1 --skew 0 --accounts 20000 --find-max --workload opaque --ablate store \
             --overload 3x60s --freeze shard:1@10s+500ms --chaos 20 --out fresnel-bench"
        );
        assert_eq!(options.leaves_out().to_string(), "signatures,execution,tree,store");
    }

    #[test]
    fn scenarios_say_how_long_a_load_lasts_and_what_happens() {
        let overload = BenchOptions { overload: "3x60s".parse().ok(), ..BenchOptions::default() };
        let schedule = overload.schedule();
        assert_eq!((schedule.duration(), schedule.transactions()), (Duration::from_secs(90), 2_100_000));
        let chaos = BenchOptions { chaos: Some(20), ..BenchOptions::default() };
        assert!(chaos.schedule().duration() > Duration::from_secs(60));
        assert_eq!(chaos.faults().expect("sensible").len(), 40);
        let freeze = BenchOptions {
            freeze: "shard:1@5s+2s".parse().ok(),
            layout: Layout::Split,
            ..BenchOptions::default()
        };
        let faults: Vec<String> = freeze.faults().expect("sensible").iter().map(Fault::to_string).collect();
        assert_eq!(faults, ["freeze:worker-1@5s", "thaw:worker-1@7s"]);
        assert!(BenchOptions { layout: Layout::Node, ..freeze }.check().is_err(), "no process of its own");
        for text in ["3", "3x", "x60s", "3x60", "ax1s"] {
            assert!(text.parse::<Overload>().is_err(), "{text}");
        }
        for text in ["1@1s+1s", "shard:1@1s", "shard:x@1s+1s", "shard:1@1+1s"] {
            assert!(text.parse::<Freeze>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let good = BenchOptions::default();
        assert!(good.check().is_ok());
        assert_eq!(good.workload().transfers, 100_000);
        for options in [
            BenchOptions { authorities: 0, ..good.clone() },
            BenchOptions { shards: 3, ..good.clone() },
            BenchOptions { rate: 0, ..good.clone() },
            BenchOptions { duration: Duration::ZERO, ..good.clone() },
            BenchOptions { accounts: 1, ..good.clone() },
            BenchOptions { cross_shard: 1.5, ..good.clone() },
            BenchOptions { skew: f64::NAN, ..good.clone() },
            BenchOptions { overload: "0.5x60s".parse().ok(), ..good.clone() },
            BenchOptions { soak: true, ..good.clone() },
            BenchOptions { opaque: true, rate: 1_000_000, accounts: 1_000, ..good.clone() },
            BenchOptions { faults: vec!["kill:4@1s".parse().expect("well formed")], ..good.clone() },
        ] {
            assert!(options.check().is_err(), "{options:?}");
        }
    }
}
