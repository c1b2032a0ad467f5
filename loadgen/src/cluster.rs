//! A cluster of real processes on loopback: its files, its processes, what can be done to them.

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr};

use anyhow::{Result, bail};
use fresnel_types::{genesis::Allocation, AuthorityIndex, Genesis, Parameters, Shards, frame::Role};
use serde::{Deserialize, Serialize};

/// How machines are spread over processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// One process per authority.
    #[default]
    Node,
    /// One process per beacon and per worker.
    Split,
}

impl FromStr for Layout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "node" => Ok(Self::Node),
            "split" => Ok(Self::Split),
            _ => Err(format!("{text:?} is no layout: node or split")),
        }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Node => "node",
            Self::Split => "split",
        })
    }
}

/// What a cluster is made of.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// The `fresnel` program.
    pub binary: PathBuf,
    /// Where its files go; created, and refused when it holds a cluster already.
    pub folder: PathBuf,
    /// The chain's name.
    pub name: String,
    /// How many authorities, each of stake 1.
    pub authorities: u16,
    /// How many shards.
    pub shards: Shards,
    /// How machines are spread over processes.
    pub layout: Layout,
    /// Constants of the protocol.
    pub parameters: Parameters,
    /// Funded accounts, ascending by address.
    pub accounts: Vec<Allocation>,
}

/// A running cluster. Dropping it kills its processes.
#[derive(Debug)]
pub struct Cluster {
    genesis: Genesis,
}

/// Where clients reach the machines of one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Whose process.
    pub authority: AuthorityIndex,
    /// The machines that it hosts.
    pub roles: Vec<Role>,
    /// Its client listener.
    pub address: SocketAddr,
}

impl Cluster {
    /// Writes the files of a new cluster, starts its processes and waits until all of them answer.
    ///
    /// # Errors
    /// When the folder cannot be written, a port not be had, or a process does not come up.
    pub async fn start(_options: ClusterOptions) -> Result<Self> {
        bail!("local clusters are not built yet")
    }

    /// The first state of the chain.
    pub fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// Where clients reach each process.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        Vec::new()
    }

    /// Stops all processes in order and waits for them; kills those that take too long.
    ///
    /// # Errors
    /// When a process does not stop by itself or ends with an error.
    pub async fn stop(&mut self) -> Result<()> {
        bail!("local clusters are not built yet")
    }
}
