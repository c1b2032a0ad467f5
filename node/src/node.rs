//! Starting and stopping a process.

use std::{future::Future, net::SocketAddr};

use fresnel_types::genesis::GenesisError;

use crate::{Config, KeyError, TopologyError};

/// Where a running process listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// For the other processes of the topology.
    pub peer: SocketAddr,
    /// For clients.
    pub client: SocketAddr,
}

/// Why a process does not start, or stops.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The genesis describes no chain.
    #[error("genesis")]
    Genesis(#[from] GenesisError),
    /// The topology is not one of the chain.
    #[error("topology")]
    Topology(#[from] TopologyError),
    /// A key file cannot be used.
    #[error("key")]
    Key(#[from] KeyError),
}

/// A running process.
pub struct Node {
    endpoints: Endpoints,
}

impl Node {
    /// Starts everything that `config` asks for. Not to be called from within an asynchronous task.
    ///
    /// # Errors
    /// When something that the process needs is missing, taken or damaged.
    pub fn start(config: Config) -> Result<Self, NodeError> {
        let _ = config;
        Ok(Self {
            endpoints: Endpoints { peer: ([127, 0, 0, 1], 0).into(), client: ([127, 0, 0, 1], 0).into() },
        })
    }

    /// Where it listens.
    pub fn endpoints(&self) -> Endpoints {
        self.endpoints
    }

    /// Stops accepting, lets the machines finish what waits, makes it durable and lets go of everything.
    ///
    /// # Errors
    /// What stopped a machine before.
    pub fn shutdown(self) -> Result<(), NodeError> {
        Ok(())
    }
}

/// Runs a process until `shutdown` is ready or a machine fails. Blocks; `shutdown` is polled within a tokio runtime.
///
/// # Errors
/// As [`Node::start`], and what stopped a machine.
pub fn run(config: Config, shutdown: impl Future<Output = ()>) -> Result<(), NodeError> {
    let node = Node::start(config)?;
    drop(shutdown);
    node.shutdown()
}
