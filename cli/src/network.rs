//! Which machine of a network a question goes to: a genesis, a topology, and one authority to ask.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::Context;
use fresnel_client::Client;
use fresnel_node::{Process, Topology, roles};
use fresnel_types::{Address, AuthorityIndex, Genesis, ShardId, frame::Role};

use crate::exit::Wrong;

/// The files that describe a network.
#[derive(clap::Args)]
pub(crate) struct Files {
    /// The genesis of the chain.
    #[arg(long, value_name = "FILE", env = "FRESNEL_GENESIS")]
    genesis: PathBuf,
    /// Where its processes listen.
    #[arg(long, value_name = "FILE", env = "FRESNEL_TOPOLOGY")]
    topology: PathBuf,
}

/// Whom to ask for something in the state, and how to tell what was found.
#[derive(clap::Args)]
pub(crate) struct Asking {
    #[command(flatten)]
    pub(crate) files: Files,
    /// Which authority to ask.
    #[arg(long, default_value_t = 0)]
    pub(crate) authority: u16,
    /// Ask for a proof and check it against the genesis.
    #[arg(long)]
    pub(crate) proof: bool,
    /// Print one JSON object instead of lines.
    #[arg(long)]
    pub(crate) json: bool,
}

/// A network as its files describe it.
pub(crate) struct Network {
    pub(crate) genesis: Genesis,
    pub(crate) topology: Topology,
}

impl Files {
    pub(crate) fn load(&self) -> anyhow::Result<Network> {
        let genesis = genesis(&self.genesis)?;
        let topology = Topology::load(&self.topology, &genesis)?;
        Ok(Network { genesis, topology })
    }
}

/// The genesis in a file.
pub(crate) fn genesis(path: &Path) -> anyhow::Result<Genesis> {
    let bytes = fs::read(path).map_err(|error| Wrong(format!("cannot read {}: {error}", path.display())))?;
    Genesis::from_bytes(&bytes).with_context(|| format!("{}", path.display()))
}

impl Network {
    /// The shard of an account.
    pub(crate) fn shard(&self, address: &Address) -> ShardId {
        self.genesis.shards.of_prefix(address.prefix())
    }

    /// A connection to the process that hosts a machine.
    pub(crate) async fn connect(&self, authority: AuthorityIndex, role: Role) -> anyhow::Result<Client> {
        let process = self
            .topology
            .processes
            .iter()
            .find(|process| process.authority == authority && process.roles.contains(&role))
            .ok_or_else(|| {
                Wrong(format!("the network has no {} of authority {authority}", roles::name(role)))
            })?;
        self.connect_to(process).await
    }

    /// A connection to a process.
    pub(crate) async fn connect_to(&self, process: &Process) -> anyhow::Result<Client> {
        let address = resolve(&process.client_address).await?;
        Client::connect(address, self.genesis.chain())
            .await
            .with_context(|| format!("authority {} at {address}", process.authority))
    }
}

async fn resolve(host: &str) -> anyhow::Result<SocketAddr> {
    tokio::net::lookup_host(host)
        .await
        .with_context(|| format!("cannot resolve {host:?}"))?
        .next()
        .with_context(|| format!("{host:?} has no address"))
}

/// A runtime for a command that asks and prints.
pub(crate) fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime for the network")?
        .block_on(work)
}
