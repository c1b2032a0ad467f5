//! `fresnel sim`: whole clusters in one thread each, from seeds; a seed that violates an invariant is printed with the
//! command that repeats it. `fresnel sim latency` measures, in simulated time, how long the order takes.

mod latency;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use fresnel_sim::{Choice, Options, Scenario, Workers, network::Links, suite::Suite};
use fresnel_types::genesis::Rule;

use crate::{
    exit::{Exit, Wrong},
    values,
};

/// What `fresnel sim` takes. What is not given is drawn from the seed.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// The seed, the first of them when there are more.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds to run, as many at a time as there are cores.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// How many authorities.
    #[arg(long)]
    authorities: Option<usize>,
    /// How many shards: a power of two.
    #[arg(long)]
    shards: Option<u16>,
    /// Simulated time with clients, like 30s or 1500ms.
    #[arg(long, value_parser = values::duration)]
    duration: Option<Duration>,
    /// Transactions per simulated second.
    #[arg(long)]
    rate: Option<u64>,
    /// Let nothing go wrong.
    #[arg(long)]
    no_faults: bool,
    /// Stand-ins instead of workers.
    #[arg(long)]
    beacons_only: bool,
    /// Let up to f stake of the authorities break the rules: drawn, or all in one way like twins.
    #[arg(long, default_value_t = Choice::None)]
    adversary: Choice,
    /// The commit rule: bullshark or fast.
    #[arg(long, default_value_t = Rule::default())]
    rule: Rule,
    /// What happens, as a text like those in sim/scenarios, instead of what is drawn.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["authorities", "shards", "duration", "rate", "no_faults",
        "beacons_only", "adversary", "regions"])]
    scenario: Option<PathBuf>,
    /// Place the authorities in the regions of a public cloud around the world.
    #[arg(long)]
    regions: bool,
    /// Let an authority lose its disk, if there are no adversaries.
    #[arg(long)]
    disk_loss: bool,
    /// Print one JSON object instead of lines.
    #[arg(long)]
    json: bool,
}

/// What else there is to simulate.
#[derive(clap::Subcommand)]
enum Command {
    /// Measure how long vertices take from proposal to commit, without faults and with crashed authorities.
    Latency(latency::Arguments),
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    if let Some(Command::Latency(arguments)) = &arguments.command {
        return latency::run(arguments);
    }
    if let Some(shards) = arguments.shards {
        fresnel_types::Shards::new(shards).map_err(Wrong)?;
    }
    if arguments.authorities == Some(0) || arguments.seeds == 0 {
        return Err(Wrong("a simulation has an authority and a seed".to_owned()).into());
    }
    let scenario = arguments.scenario.as_deref().map(scenario).transpose()?;
    let options = |seed| arguments.options(seed, scenario.as_ref());
    let end = arguments.seed.checked_add(arguments.seeds).context("seeds end at 2^64")?;
    let passed = if arguments.json {
        let suite = Suite::run(arguments.seed..end, options);
        println!("{}", as_json(&suite));
        suite.violations.is_empty()
    } else if arguments.seeds == 1 {
        let options = options(arguments.seed);
        println!("{options}");
        let result = fresnel_sim::run(options);
        match &result {
            Ok(report) => println!("{report}"),
            Err(violation) => println!("{violation}"),
        }
        result.is_ok()
    } else {
        let suite = Suite::run(arguments.seed..end, options);
        println!("{suite}");
        suite.violations.is_empty()
    };
    Ok(if passed { Exit::Success } else { Exit::Verdict })
}

fn scenario(path: &Path) -> anyhow::Result<Scenario> {
    let shown = path.display().to_string();
    let text = fs::read_to_string(path).map_err(|error| Wrong(format!("cannot read {shown}: {error}")))?;
    Ok(Scenario::parse(&shown, &text).map_err(|error| Wrong(format!("{shown}: {error}")))?)
}

fn as_json(suite: &Suite) -> serde_json::Value {
    let violations = suite.violations.iter().map(|violation| {
        serde_json::json!({
            "seed": violation.options.seed,
            "invariant": violation.invariant,
            "what": violation.what,
            "at_us": violation.at,
            "repeat": violation.options.to_string(),
        })
    });
    serde_json::json!({
        "passed": suite.passed,
        "violations": violations.collect::<Vec<_>>(),
        "total": suite.total,
    })
}

impl Arguments {
    fn options(&self, seed: u64, scenario: Option<&Scenario>) -> Options {
        if let Some(scenario) = scenario {
            return Options { rule: self.rule, ..scenario.options(seed) };
        }
        let drawn = Options::of_seed(seed);
        let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Options {
            seed,
            authorities: self.authorities.unwrap_or(drawn.authorities),
            shards: self.shards.unwrap_or(drawn.shards),
            duration: self.duration.map_or(drawn.duration, micros),
            faults: drawn.faults && !self.no_faults,
            rate: self.rate.unwrap_or(drawn.rate),
            workers: if self.beacons_only { Workers::Opaque } else { drawn.workers },
            adversary: self.adversary,
            rule: self.rule,
            links: if self.regions { Links::Regions } else { Links::Drawn },
            scenario: None,
            disk_loss: self.disk_loss,
        }
    }
}
