//! The machines of a cluster, opened from their logs as in production.

use std::sync::Arc;

use fresnel_beacon::{Beacon, Pacing};
use fresnel_shard::{Batching, Worker};
use fresnel_types::{
    AuthorityIndex, BlockIndex, Effect, Entries, Genesis, Input, Machine, Party, PublicKey, Record,
    Timestamp,
    checkpoint::Restored,
    status::{BeaconStatus, WorkerStatus},
    verify::Rules,
};

use crate::{
    Options, Workers,
    opaque::{self, OpaqueWorker},
    options::{Chain, DEEP_FLOOR, Keeping},
    random::Random,
};

/// What every machine is opened with.
pub(crate) struct Setup {
    pub(crate) options: Options,
    /// The local timing of each beacon.
    pacing: Vec<Pacing>,
    pub(crate) keeping: Keeping,
    pub(crate) chain: Chain,
    pub(crate) genesis: Arc<Genesis>,
    pub(crate) rules: Arc<Rules>,
}

impl Setup {
    pub(crate) fn new(options: &Options) -> Self {
        // Some hurry, most take their time: a run needs hundreds of commits, not thousands.
        let pacing = |authority: usize| {
            let authority = AuthorityIndex(authority as u16);
            let mut random = Random::new(options.seed, &format!("pacing of {authority}"));
            Pacing { interval_min: random.pick(&[10_000, 50_000, 100_000]), ..Pacing::default() }
        };
        let pacing = (0..options.authorities).map(pacing).collect();
        Self::with(options, Chain::new(options), Keeping::of(options), pacing)
    }

    /// For runs in which an authority's worker says nothing for long: all others are a quorum, and what they say is ordered.
    pub(crate) fn without_one(options: &Options) -> Self {
        let mut setup = Self::new(options);
        setup.chain.genesis.authorities.iter_mut().for_each(|authority| authority.stake = 1);
        let parameters = &mut setup.chain.genesis.parameters;
        parameters.batch_memory += DEEP_FLOOR.saturating_sub(parameters.floor_depth);
        parameters.floor_depth = parameters.floor_depth.max(DEEP_FLOOR);
        let Self { options, pacing, mut keeping, chain, .. } = setup;
        // Not so often that workers which are a little apart never take the same ones.
        keeping.checkpointing.interval = keeping.checkpointing.interval.max(5_000_000);
        keeping.checkpointing.bytes_max = usize::MAX;
        Self::with(&options, chain, keeping, pacing)
    }

    /// Nothing drawn but keys: parameters, timing and checkpoints are those of production.
    pub(crate) fn of_production(options: &Options) -> Self {
        let pacing = vec![Pacing::default(); options.authorities];
        Self::with(options, Chain::of_production(options), Keeping::of_production(), pacing)
    }

    fn with(options: &Options, chain: Chain, keeping: Keeping, pacing: Vec<Pacing>) -> Self {
        let genesis = Arc::new(chain.genesis.clone());
        let rules = Arc::new(Rules::of(&genesis));
        Self { options: options.clone(), pacing, keeping, chain, genesis, rules }
    }

    /// Every machine of the cluster, those of an authority together.
    pub(crate) fn parties(&self) -> Vec<Party> {
        let authorities = self.rules.committee.indices();
        let workers = |authority| self.rules.shards.iter().map(move |shard| Party::Worker(authority, shard));
        authorities
            .flat_map(|authority| [Party::Beacon(authority)].into_iter().chain(workers(authority)))
            .collect()
    }
}

/// One of them.
pub(crate) enum AnyMachine {
    Beacon(Box<Beacon>),
    Worker(Box<Worker>),
    Opaque(Box<OpaqueWorker>),
}

impl AnyMachine {
    /// Opens the machine of `party`; an error says why its checkpoint and log do not restore it.
    pub(crate) fn open(
        setup: &Setup,
        party: Party,
        restored: Option<Restored>,
        log: Entries,
        now: Timestamp,
    ) -> Result<Self, String> {
        let rules = setup.rules.clone();
        match party {
            Party::Beacon(authority) => {
                let key = setup.chain.keys[authority.index()].clone();
                let pacing = setup.pacing[authority.index()].clone();
                let checkpoint_commits = setup.keeping.checkpoint_commits;
                let config = fresnel_beacon::Config { authority, rules, key, pacing, checkpoint_commits };
                let beacon = Beacon::open(config, log, now).map_err(|error| error.to_string())?;
                Ok(Self::Beacon(Box::new(beacon)))
            }
            Party::Worker(authority, shard) if setup.options.workers == Workers::Real => {
                let (genesis, batching) = (setup.genesis.clone(), Batching::default());
                let checkpointing = setup.keeping.checkpointing.clone();
                let config = fresnel_shard::Config {
                    authority,
                    shard,
                    genesis,
                    rules,
                    batching,
                    checkpointing,
                    execution: None,
                };
                let worker = Worker::open(config, restored, log, now).map_err(|error| error.to_string())?;
                Ok(Self::Worker(Box::new(worker)))
            }
            Party::Worker(authority, shard) => {
                let lives_here = |address| rules.shards.of_prefix(address) == shard;
                let mut keys = setup.chain.accounts.iter();
                let key = keys.find(|key| lives_here(PublicKey::of(key).address().prefix()));
                let key = key.expect("every shard has funded accounts").clone();
                let interval = 1_000_000 * setup.rules.committee.size() as u64 / setup.options.rate.max(1);
                let config = opaque::Config { authority, shard, rules, key, interval };
                Ok(Self::Opaque(Box::new(OpaqueWorker::open(config, log.entries, now))))
            }
            Party::Client(_) => unreachable!("clients are no machines"),
        }
    }

    /// The position of a beacon.
    pub(crate) fn beacon(&self) -> Option<BeaconStatus> {
        match self {
            Self::Beacon(beacon) => Some(beacon.status()),
            Self::Worker(_) | Self::Opaque(_) => None,
        }
    }

    /// How many equivocations a beacon holds the evidence of.
    pub(crate) fn evidence(&self) -> usize {
        match self {
            Self::Beacon(beacon) => beacon.evidence().len(),
            Self::Worker(_) | Self::Opaque(_) => 0,
        }
    }

    /// The position of a real worker.
    pub(crate) fn worker(&self) -> Option<WorkerStatus> {
        match self {
            Self::Worker(worker) => Some(worker.status()),
            Self::Beacon(_) | Self::Opaque(_) => None,
        }
    }

    /// Records of a real worker from a block on.
    pub(crate) fn records(&self, from: BlockIndex) -> Vec<Record> {
        match self {
            Self::Worker(worker) => worker.records(from, RECORDS_MAX),
            Self::Beacon(_) | Self::Opaque(_) => Vec::new(),
        }
    }
}

impl Machine for AnyMachine {
    fn handle(&mut self, now: Timestamp, input: Input, effects: &mut Vec<Effect>) {
        match self {
            Self::Beacon(beacon) => beacon.handle(now, input, effects),
            Self::Worker(worker) => worker.handle(now, input, effects),
            Self::Opaque(worker) => worker.handle(now, input, effects),
        }
    }

    fn deadline(&self) -> Option<Timestamp> {
        match self {
            Self::Beacon(beacon) => beacon.deadline(),
            Self::Worker(worker) => worker.deadline(),
            Self::Opaque(worker) => worker.deadline(),
        }
    }
}

const RECORDS_MAX: usize = 10_000;
