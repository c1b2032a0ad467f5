//! The topology: which process hosts which machines, and where it listens. It holds addresses, which the genesis must
//! not: they may change while the chain goes on.

use std::{collections::BTreeSet, path::Path};

use fresnel_types::{AuthorityIndex, Genesis, PublicKey, frame::Role};
use serde::{Deserialize, Serialize};

use crate::roles;

/// All processes of a network. Every process is given the same list in the same order: the order decides who dials.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topology {
    /// The processes.
    #[serde(rename = "process")]
    pub processes: Vec<Process>,
}

/// One process of an authority.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// Whose machines it hosts.
    pub authority: AuthorityIndex,
    /// Which of them: `beacon`, `worker-N`.
    #[serde(with = "roles")]
    pub roles: Vec<Role>,
    /// The TLS key that its peers expect: one of the authority's network keys in the genesis.
    pub network_key: PublicKey,
    /// Host and port where other processes of the topology connect.
    pub peer_address: String,
    /// Host and port where clients connect.
    pub client_address: String,
    /// Host and port where it answers JSON-RPC, if it does: other processes of the authority pass calls on to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpc_address: Option<String>,
}

/// Why a topology is none of the chain's.
#[derive(Debug, thiserror::Error)]
pub enum TopologyError {
    /// The file cannot be read.
    #[error("the topology cannot be read")]
    Unreadable(#[source] std::io::Error),
    /// The file is no topology.
    #[error("the topology is malformed: {0}")]
    Malformed(#[from] toml::de::Error),
    /// Names an authority that the genesis does not have.
    #[error("the topology names authority {0}, the genesis has none of that index")]
    Authority(AuthorityIndex),
    /// A worker of a shard that the genesis does not have.
    #[error("the topology names {role} of authority {authority}, the genesis has no such shard", role = roles::name(*.1), authority = .0)]
    Shard(AuthorityIndex, Role),
    /// A key that does not belong to the authority.
    #[error("network key {1} does not belong to authority {0} in the genesis")]
    Key(AuthorityIndex, PublicKey),
    /// A machine that two processes host.
    #[error("{role} of authority {authority} is in the topology twice", role = roles::name(*.1), authority = .0)]
    Twice(AuthorityIndex, Role),
    /// A machine that no process hosts.
    #[error("{role} of authority {authority} is not in the topology", role = roles::name(*.1), authority = .0)]
    Missing(AuthorityIndex, Role),
    /// A process without machines.
    #[error("a process of authority {0} has no roles")]
    Idle(AuthorityIndex),
    /// No process hosts exactly these roles of the authority.
    #[error("no process of the topology hosts exactly {roles} of authority {authority}", roles = written(.1), authority = .0)]
    NoSuchProcess(AuthorityIndex, Vec<Role>),
}

impl Topology {
    /// Reads a topology and checks it against the genesis.
    ///
    /// # Errors
    /// When there is none, or it is not one of this chain.
    pub fn load(path: &Path, genesis: &Genesis) -> Result<Self, TopologyError> {
        let text = std::fs::read_to_string(path).map_err(TopologyError::Unreadable)?;
        let topology: Self = toml::from_str(&text)?;
        topology.check(genesis)?;
        Ok(topology)
    }

    /// The file of this topology.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a topology has only strings, numbers and lists")
    }

    /// Whether every machine of the chain is hosted exactly once, under a key of its authority.
    ///
    /// # Errors
    /// The first thing that does not hold.
    pub fn check(&self, genesis: &Genesis) -> Result<(), TopologyError> {
        let committee = genesis.committee();
        let mut hosted = BTreeSet::new();
        for process in &self.processes {
            let index = process.authority;
            let authority = committee.authority(index).ok_or(TopologyError::Authority(index))?;
            if !authority.network_keys.contains(&process.network_key) {
                return Err(TopologyError::Key(index, process.network_key));
            }
            if process.roles.is_empty() {
                return Err(TopologyError::Idle(index));
            }
            for &role in &process.roles {
                if matches!(role, Role::Worker(shard) if !genesis.shards.contains(shard)) {
                    return Err(TopologyError::Shard(index, role));
                }
                if !hosted.insert((index, role)) {
                    return Err(TopologyError::Twice(index, role));
                }
            }
        }
        for index in committee.indices() {
            let roles = genesis.shards.iter().map(Role::Worker).chain([Role::Beacon]);
            for role in roles {
                if !hosted.contains(&(index, role)) {
                    return Err(TopologyError::Missing(index, role));
                }
            }
        }
        Ok(())
    }

    /// The position of the process that hosts exactly `roles` of `authority`.
    ///
    /// # Errors
    /// When there is none.
    pub fn position(&self, authority: AuthorityIndex, roles: &[Role]) -> Result<usize, TopologyError> {
        let sought: BTreeSet<Role> = roles.iter().copied().collect();
        self.processes
            .iter()
            .position(|process| {
                process.authority == authority
                    && process.roles.iter().copied().collect::<BTreeSet<Role>>() == sought
            })
            .ok_or_else(|| TopologyError::NoSuchProcess(authority, roles.to_vec()))
    }
}

fn written(list: &[Role]) -> String {
    list.iter().map(|role| roles::name(*role)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use fresnel_types::{Authority, Shards};

    use super::*;

    fn genesis() -> Genesis {
        let authority = |index: u8| Authority {
            name: format!("a{index}"),
            stake: 1,
            consensus_key: PublicKey([100 + index; 32]),
            network_keys: vec![PublicKey([index; 32])],
        };
        Genesis {
            protocol: fresnel_types::limits::PROTOCOL_VERSION,
            name: "t".to_owned(),
            shards: Shards::new(2).expect("a power of two"),
            parameters: Default::default(),
            authorities: vec![authority(0), authority(1)],
            accounts: vec![],
        }
    }

    fn topology(changed: &str, into: &str) -> Result<Topology, TopologyError> {
        let process = |authority: u16| {
            format!(
                "[[process]]\nauthority = {authority}\nroles = [\"beacon\", \"worker-0\", \"worker-1\"]\n\
                 network_key = \"{}\"\npeer_address = \"127.0.0.1:900{authority}\"\n\
                 client_address = \"127.0.0.1:910{authority}\"\n",
                PublicKey([authority as u8; 32])
            )
        };
        let text = [process(0), process(1)].concat();
        assert!(text.contains(changed), "{changed}");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("topology.toml");
        std::fs::write(&path, text.replacen(changed, into, 1)).expect("own folder");
        Topology::load(&path, &genesis())
    }

    #[test]
    fn a_topology_hosts_every_machine_once_under_a_key_of_its_authority() {
        let whole = topology("", "").expect("whole");
        assert_eq!(whole.position(AuthorityIndex(1), &whole.processes[1].roles).expect("there"), 1);
        let some = whole.position(AuthorityIndex(1), &[Role::Beacon]);
        assert!(matches!(some, Err(TopologyError::NoSuchProcess(..))), "{some:?}");
        let again: Topology = toml::from_str(&whole.to_toml()).expect("own file");
        assert_eq!(again, whole);

        let error = |changed, into| topology(changed, into).expect_err(into);
        assert!(matches!(
            error("authority = 1", "authority = 2"),
            TopologyError::Authority(AuthorityIndex(2))
        ));
        assert!(matches!(error("\"worker-1\"", "\"worker-2\""), TopologyError::Shard(..)));
        assert!(matches!(error("\"worker-1\"", "\"worker-0\""), TopologyError::Twice(..)));
        assert!(matches!(error(", \"worker-1\"", ""), TopologyError::Missing(..)));
        assert!(matches!(error("\"beacon\", \"worker-0\", \"worker-1\"", ""), TopologyError::Idle(_)));
        assert!(matches!(error("authority = 1", "authority = 0"), TopologyError::Key(..)));
        assert!(matches!(error("peer_address", "peer"), TopologyError::Malformed(_)));
        assert!(matches!(error("\"beacon\"", "\"bacon\""), TopologyError::Malformed(_)));
    }
}
