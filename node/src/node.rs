//! A process as its caller sees it: a configuration becomes running machines.

use std::{error::Error, fs, io, net::SocketAddr, path::PathBuf, sync::Arc};

use fresnel_beacon::Beacon;
use fresnel_crypto::SigningKey;
use fresnel_log::LogError;
use fresnel_shard::Worker;
use fresnel_types::{
    AuthorityIndex, Entries, Genesis, Machine, PublicKey, Timestamp, ablation::NotForBenchmarks, frame::Role,
    genesis::GenesisError, verify::Rules,
};

use crate::{
    Config, DataError, KeyError, LogFilter, StoreError, Topology, TopologyError, keys,
    process::{Kept, Running, Setup},
    roles, rpc,
};

/// Where a running process listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// For the other processes of the topology.
    pub peer: SocketAddr,
    /// For clients.
    pub client: SocketAddr,
    /// For the operator, if configured.
    pub admin: Option<SocketAddr>,
    /// For JSON-RPC, if configured.
    pub rpc: Option<SocketAddr>,
}

/// Why a process does not start, or stops.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// A file cannot be read.
    #[error("{path} cannot be read", path = .0.display())]
    Unreadable(PathBuf, #[source] io::Error),
    /// The genesis describes no chain.
    #[error("the genesis describes no chain")]
    Genesis(#[from] GenesisError),
    /// Something shall be left out on a chain that is not for benchmarks.
    #[error("the configuration asks for what the chain does not allow")]
    Ablation(#[from] NotForBenchmarks),
    /// The topology is not one of the chain.
    #[error("the topology does not fit")]
    Topology(#[from] TopologyError),
    /// A key file cannot be used.
    #[error("a key cannot be used")]
    Key(#[from] KeyError),
    /// A beacon without its key.
    #[error("a process that hosts a beacon needs `consensus_key`")]
    NoConsensusKey,
    /// The key file holds another key than the genesis or the topology names.
    #[error("the {which} key is {found}, expected {expected}")]
    WrongKey {
        /// Consensus or network.
        which: &'static str,
        /// What the file holds.
        found: PublicKey,
        /// What the genesis or topology says.
        expected: PublicKey,
    },
    /// The network key makes no TLS credentials.
    #[error("the network key makes no TLS credentials: {0}")]
    Tls(String),
    /// The data directory cannot be used.
    #[error("the data directory cannot be used")]
    Data(#[from] DataError),
    /// A listener cannot be opened.
    #[error("cannot listen on {0}")]
    Bind(String, #[source] io::Error),
    /// The operator's listener would be reachable from elsewhere.
    #[error("`admin_address` must be on loopback, not {0}: whoever reaches it is asked for nothing")]
    AdminExposed(SocketAddr),
    /// The operating system gives no thread or no randomness.
    #[error("the operating system refuses what the process needs")]
    System(#[from] io::Error),
    /// A machine's log failed.
    #[error("the log of {0} failed")]
    Log(String, #[source] LogError),
    /// A worker's checkpoints cannot be read or stored.
    #[error("the checkpoints of {0} failed")]
    Checkpoints(String, #[source] StoreError),
    /// A machine's log or checkpoint is not its own.
    #[error("what {0} kept does not restore it")]
    Recovery(String, #[source] Box<dyn Error + Send + Sync>),
    /// A thread broke an invariant.
    #[error("thread {0} panicked: the cause is in the log above")]
    Panicked(String),
}

impl NodeError {
    /// Whether a worker has no checkpoint that leads to its log, so that only its peers have a state for it.
    pub(crate) fn is_lost_state(&self) -> bool {
        let apart = |error: &fresnel_shard::RecoveryError| error.is_lost_state();
        self.is_damaged_checkpoint()
            || matches!(self, Self::Recovery(_, error) if error.downcast_ref().is_some_and(apart))
    }

    /// Whether the newest checkpoint is what keeps a worker from being restored, so that the one before may do.
    pub(crate) fn is_damaged_checkpoint(&self) -> bool {
        match self {
            Self::Checkpoints(_, error) => error.is_damage(),
            Self::Recovery(_, error) => {
                matches!(error.downcast_ref(), Some(fresnel_shard::RecoveryError::Damaged(_)))
            }
            _ => false,
        }
    }
}

/// A running process. Dropping it stops it.
#[derive(Debug)]
pub struct Node(Running);

impl Node {
    /// Starts everything that `config` asks for. The operator may change `log_filter`, if there is one. Not to be called
    /// from within an asynchronous task.
    ///
    /// # Errors
    /// When something that the process needs is missing, taken or damaged.
    pub fn start(config: &Config, log_filter: Option<Arc<LogFilter>>) -> Result<Self, NodeError> {
        let bytes = fs::read(&config.genesis)
            .map_err(|error| NodeError::Unreadable(config.genesis.clone(), error))?;
        let genesis = Genesis::from_bytes(&bytes)?;
        let topology = Topology::load(&config.topology, &genesis)?;
        let network_key = keys::load(&config.network_key)?;
        let consensus_key = consensus_key(config, &genesis)?;
        let rules = Arc::new(Rules::of(&genesis).without(config.ablate.clone())?);
        if !config.ablate.is_empty() {
            tracing::warn!(without = %config.ablate, "a benchmark that leaves out parts of the work");
        }
        let rpc = config.rpc_address.clone().map(|address| (address, rpc::chain_info(&genesis)));
        let opener = Opener { genesis: Arc::new(genesis), rules: Arc::clone(&rules), config, consensus_key };
        let setup = Setup {
            rules,
            topology,
            network_key,
            authority: config.authority,
            roles: config.roles.clone(),
            data: config.data.clone(),
            admin_address: config.admin_address.clone(),
            rpc,
            log_filter,
            log_retained: config.log_retained,
            verify_threads: config.verify_threads,
        };
        Running::start(&setup, |role, kept, log, now| opener.open(role, kept, log, now)).map(Self)
    }

    /// Where it listens.
    pub fn endpoints(&self) -> Endpoints {
        self.0.endpoints()
    }

    /// Waits until a thread of the process stops by itself, which happens only when something failed.
    pub async fn failed(&self) {
        self.0.failed().await;
    }

    /// Stops accepting, lets the machines finish what waits, makes it durable and lets go of everything. Not to be
    /// called from within an asynchronous task.
    ///
    /// # Errors
    /// What stopped a machine before.
    pub fn shutdown(mut self) -> Result<(), NodeError> {
        self.0.stop()
    }
}

/// Runs a process until `shutdown` is ready or something fails. Blocks; `shutdown` is polled within a tokio runtime.
///
/// # Errors
/// As [`Node::start`], and what stopped a machine.
pub fn run(
    config: &Config,
    log_filter: Option<Arc<LogFilter>>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), NodeError> {
    let node = Node::start(config, log_filter)?;
    node.0.runtime().block_on(async {
        tokio::select! {
            () = shutdown => tracing::info!("stopping"),
            () = node.failed() => tracing::error!("stopping because something failed"),
        }
    });
    node.shutdown()
}

/// What it takes to restore machines from what they kept.
struct Opener<'a> {
    config: &'a Config,
    genesis: Arc<Genesis>,
    rules: Arc<Rules>,
    consensus_key: Option<SigningKey>,
}

impl Opener<'_> {
    fn open(
        &self,
        role: Role,
        kept: Kept,
        log: Entries,
        now: Timestamp,
    ) -> Result<Box<dyn Machine + Send>, NodeError> {
        let authority = self.config.authority;
        let rules = Arc::clone(&self.rules);
        match role {
            Role::Worker(shard) => {
                let genesis = Arc::clone(&self.genesis);
                let batching = self.config.batching.clone();
                let checkpointing = fresnel_shard::Checkpointing::default();
                let config = fresnel_shard::Config {
                    authority,
                    shard,
                    genesis,
                    rules,
                    batching,
                    checkpointing,
                    execution: self.config.execution(),
                };
                let worker = match kept {
                    Kept::Checkpoint(restored) => Worker::open(config, restored, log, now),
                    Kept::Lost => Worker::open_lost(config, log, now),
                };
                Ok(Box::new(worker.map_err(|error| unrestored(role, error))?))
            }
            Role::Beacon | Role::Client => {
                let key = self.consensus_key.clone().ok_or(NodeError::NoConsensusKey)?;
                let pacing = self.config.pacing.clone();
                let checkpoint_commits = fresnel_beacon::limits::CHECKPOINT_COMMITS;
                let config = fresnel_beacon::Config { authority, rules, key, pacing, checkpoint_commits };
                let beacon = Beacon::open(config, log, now).map_err(|error| unrestored(role, error))?;
                Ok(Box::new(beacon))
            }
        }
    }
}

pub(crate) fn unrestored(role: Role, error: impl Error + Send + Sync + 'static) -> NodeError {
    NodeError::Recovery(roles::name(role), Box::new(error))
}

/// The key of the beacon, if the process hosts it; it must be the one in the genesis.
fn consensus_key(config: &Config, genesis: &Genesis) -> Result<Option<SigningKey>, NodeError> {
    if !config.roles.contains(&Role::Beacon) {
        return Ok(None);
    }
    let key = keys::load(config.consensus_key.as_ref().ok_or(NodeError::NoConsensusKey)?)?;
    let AuthorityIndex(index) = config.authority;
    let authority = genesis.authorities.get(usize::from(index));
    let expected = authority.ok_or(TopologyError::Authority(config.authority))?.consensus_key;
    expect_key("consensus", &key, expected)?;
    Ok(Some(key))
}

pub(crate) fn expect_key(
    which: &'static str,
    key: &SigningKey,
    expected: PublicKey,
) -> Result<(), NodeError> {
    let found = PublicKey::of(key);
    if found == expected { Ok(()) } else { Err(NodeError::WrongKey { which, found, expected }) }
}
