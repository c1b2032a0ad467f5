//! What to simulate, and the genesis that belongs to it.

use std::{fmt, sync::Arc};

use fresnel_crypto::SigningKey;
use fresnel_shard::Checkpointing;
use fresnel_types::{
    Amount, Authority, Genesis, Parameters, PublicKey, Shards,
    genesis::{Allocation, Rule},
    limits::PROTOCOL_VERSION,
};

use crate::{Scenario, adversaries::Choice, network::Links, random::Random};

/// Which workers run beside the beacons.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Workers {
    /// The real ones, fed by clients.
    #[default]
    Real,
    /// Small stand-ins that execute nothing: batches come from themselves. For finding out whether a fault is the
    /// beacon's.
    Opaque,
}

/// What to simulate. Everything else is drawn from the seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The seed.
    pub seed: u64,
    /// Authorities.
    pub authorities: usize,
    /// Shards, a power of two.
    pub shards: u16,
    /// Simulated microseconds with clients; faults end at three quarters of it, and then everything must settle.
    pub duration: u64,
    /// Whether anything goes wrong.
    pub faults: bool,
    /// Transactions per simulated second, over all clients.
    pub rate: u64,
    /// Which workers.
    pub workers: Workers,
    /// Which authorities keep to no rule.
    pub adversary: Choice,
    /// The commit rule.
    pub rule: Rule,
    /// Where the authorities are.
    pub links: Links,
    /// What happens, instead of what is drawn.
    pub scenario: Option<Arc<Scenario>>,
    /// Whether an authority of at most f stake loses its disk; without adversaries only.
    pub disk_loss: bool,
}

impl Options {
    /// The options of a seed: 4 to 7 authorities, most often 4 since messages grow with the cube, 1 to 4 shards, thirty
    /// seconds with faults.
    pub fn of_seed(seed: u64) -> Self {
        let mut random = Random::new(seed, "options");
        Self {
            seed,
            authorities: random.pick(&[4, 4, 4, 5, 6, 7]),
            shards: random.pick(&[1, 2, 4]),
            duration: 30_000_000,
            faults: true,
            rate: random.pick(&[20, 60]),
            workers: Workers::Real,
            adversary: Choice::None,
            rule: Rule::default(),
            links: Links::Drawn,
            scenario: None,
            disk_loss: false,
        }
    }
}

/// The command that repeats the simulation.
impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, authorities, shards, duration, faults, rate, workers, adversary, rule, .. } = self;
        let disk_loss = self.disk_loss;
        if let Some(scenario) = &self.scenario {
            return write!(f, "fresnel sim --seed {seed} --scenario {} --rule {rule}", scenario.path);
        }
        write!(f, "fresnel sim --seed {seed} --authorities {authorities} --shards {shards} ")?;
        write!(f, "--duration {}ms --rate {rate} --rule {rule}", duration / 1_000)?;
        if !faults {
            write!(f, " --no-faults")?;
        }
        if *workers == Workers::Opaque {
            write!(f, " --beacons-only")?;
        }
        if self.links == Links::Regions {
            write!(f, " --regions")?;
        }
        if disk_loss {
            write!(f, " --disk-loss")?;
        }
        if *adversary != Choice::None {
            write!(f, " --adversary {adversary}")?;
        }
        Ok(())
    }
}

/// How the processes of a seed keep what they keep: from checkpoints that follow one another to runs that see none.
#[derive(Clone, Debug)]
pub(crate) struct Keeping {
    pub(crate) segment_bytes: u64,
    /// Bytes of a worker's log that are kept for peers although it needs them no more. Who is further behind than its
    /// peers keep stays behind, so this is more than any fault lasts.
    pub(crate) worker_log_retained: u64,
    /// As much of a beacon's, which writes more.
    pub(crate) beacon_log_retained: u64,
    /// When workers take checkpoints.
    pub(crate) checkpointing: Checkpointing,
    /// Commits from one checkpoint of a beacon to the next.
    pub(crate) checkpoint_commits: u64,
    /// The most microseconds that storing a checkpoint takes.
    pub(crate) store_time: u64,
}

impl Keeping {
    /// Draws that of a seed.
    pub(crate) fn of(options: &Options) -> Self {
        let mut random = Random::new(options.seed, "keeping");
        let mut keeping = Self {
            segment_bytes: random.pick(&[256 << 10, 1 << 20]),
            worker_log_retained: random.pick(&[256 << 10, 1 << 20]),
            beacon_log_retained: random.pick(&[3 << 20, 6 << 20]),
            checkpointing: Checkpointing {
                blocks: random.pick(&[4, 64, 256]),
                interval: random.pick(&[0, 100_000, 1_000_000, 5_000_000, 20_000_000]),
                bytes_max: random.pick(&[2_000, 128 << 20]),
            },
            checkpoint_commits: random.pick(&[0, 64, 128, 500]),
            store_time: random.pick(&[2_000, 100_000, 2_000_000]),
        };
        if let Some(interval) = options.scenario.as_ref().and_then(|scenario| scenario.checkpoints) {
            keeping.checkpointing = Checkpointing { interval, ..Checkpointing::default() };
            keeping.checkpoint_commits = CHECKPOINT_COMMITS_FAR;
        }
        keeping
    }

    /// As processes do unless they are told otherwise.
    pub(crate) fn of_production() -> Self {
        Self {
            segment_bytes: 16 << 20,
            worker_log_retained: 1 << 30,
            beacon_log_retained: 1 << 30,
            checkpointing: Checkpointing::default(),
            checkpoint_commits: fresnel_beacon::limits::CHECKPOINT_COMMITS,
            store_time: 100_000,
        }
    }
}

/// A chain to simulate, with all its secrets.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) genesis: Genesis,
    /// The consensus keys, by authority.
    pub(crate) keys: Vec<SigningKey>,
    /// The keys of the funded accounts, ascending by address.
    pub(crate) accounts: Vec<SigningKey>,
}

impl Chain {
    /// A chain with the parameters of production and equal stakes.
    pub(crate) fn of_production(options: &Options) -> Self {
        let mut chain = Self::new(options);
        chain.genesis.parameters = Parameters { rule: options.rule, ..Parameters::default() };
        chain.genesis.authorities.iter_mut().for_each(|authority| authority.stake = 1);
        chain
    }

    /// Draws the chain of a seed. Depths and windows are small, so that floors are passed and windows fill.
    pub(crate) fn new(options: &Options) -> Self {
        let mut random = Random::new(options.seed, "genesis");
        let keys: Vec<SigningKey> =
            (0..options.authorities).map(|_| SigningKey::from_bytes(&random.bytes())).collect();
        let unequal = random.chance(250);
        let authorities = keys
            .iter()
            .enumerate()
            .map(|(index, key)| Authority {
                name: format!("a{index}"),
                stake: if unequal { random.between(1, 3) } else { 1 },
                consensus_key: PublicKey::of(key),
                network_keys: vec![PublicKey::of(&SigningKey::from_bytes(&random.bytes()))],
            })
            .collect();
        let shards = Shards::new(options.shards).expect("the options name a power of two");
        let mut accounts: Vec<SigningKey> = Vec::new();
        for shard in shards.iter() {
            let of_shard =
                |key: &SigningKey| shards.of_prefix(PublicKey::of(key).address().prefix()) == shard;
            let keys = std::iter::repeat_with(|| SigningKey::from_bytes(&random.bytes())).filter(of_shard);
            accounts.extend(keys.take(ACCOUNTS_PER_SHARD));
        }
        accounts.sort_by_key(|key| PublicKey::of(key).address());
        let mut floor_depth = random.pick(&[2, 3, 4, 8, 16, 64]);
        if options.adversary != Choice::None && random.chance(600) {
            floor_depth = DEEP_FLOOR;
        }
        let parameters = Parameters {
            block_interval: random.pick(&[5_000, 20_000, 100_000]),
            block_commits_max: random.pick(&[1, 4, 16]),
            floor_depth,
            batch_memory: floor_depth + random.pick(&[0, 32, 512]),
            lag_max: random.pick(&[4, 16, 256]),
            wait_max: random.pick(&[200_000, 1_000_000]),
            window: random.pick(&[1, 2, 8, 64]),
            delivery_max: random.pick(&[1, 4, 64]),
            account_minimum: ACCOUNT_MINIMUM,
            rule: options.rule,
            ..Parameters::default()
        };
        let parameters = match &options.scenario {
            Some(scenario) => scenario.parameters(parameters),
            None => parameters,
        };
        let allocation = |key| Allocation { address: PublicKey::of(key).address(), amount: FUNDS };
        let genesis = Genesis {
            protocol: PROTOCOL_VERSION,
            name: format!("simulation {}", options.seed),
            shards,
            parameters,
            authorities,
            accounts: accounts.iter().map(allocation).collect(),
        };
        genesis.check().expect("every value drawn is within its range");
        Self { genesis, keys, accounts }
    }
}

/// The least credit that opens an account; less bounces.
pub(crate) const ACCOUNT_MINIMUM: Amount = Amount(10);

/// What each account owns at first: enough for any simulation.
pub(crate) const FUNDS: Amount = Amount(1_000_000);

/// Rounds that last longer than a vertex takes to be certified, whatever its author's clock shows and wherever it is.
///
/// With less, an honest author's vertices may all be certified when the floor has passed them, and are never ordered.
/// That costs others nothing until they need its attestations for a quorum, because f stake attests lies.
pub(crate) const DEEP_FLOOR: u64 = 128;

/// Commits between two checkpoints of a beacon where a scenario says how far apart those of workers are.
const CHECKPOINT_COMMITS_FAR: u64 = 500;

const ACCOUNTS_PER_SHARD: usize = 6;
