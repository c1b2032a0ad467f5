//! The files of a local cluster: genesis, topology, and per process a folder with its configuration and keys.
//!
//! The load generator knows the `fresnel` program only from outside, so the two TOML formats are written here by their
//! documented fields and not by the program's own types.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    num::NonZero,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    thread::available_parallelism,
};

use anyhow::{Context, Result, bail, ensure};
use fresnel_crypto::SigningKey;
use fresnel_types::{Ablation, Authority, AuthorityIndex, Genesis, PublicKey, frame::Role};
use serde::Serialize;

use super::{ClusterOptions, Endpoint, ExecutorMode, Layout};
use crate::faults::{Hosted, hosted};

/// The name of a process' configuration in its folder.
pub(super) const CONFIG: &str = "config.toml";

/// The name of a process' data directory in its folder.
pub(super) const DATA: &str = "data";

/// A process as it stands in the files.
#[derive(Debug)]
pub(super) struct Planned {
    /// For people: `authority-0`, `authority-0/worker-1`.
    pub(super) name: String,
    /// The folder of its files.
    pub(super) folder: PathBuf,
    /// Where clients reach it.
    pub(super) endpoint: Endpoint,
}

/// A process in the topology file.
#[derive(Serialize)]
struct TopologyProcess {
    authority: u16,
    roles: Vec<String>,
    network_key: PublicKey,
    peer_address: String,
    client_address: String,
    rpc_address: String,
}

#[derive(Serialize)]
struct Topology {
    process: Vec<TopologyProcess>,
}

/// A process' own file. Paths are relative to it.
#[derive(Serialize)]
struct Config<'a> {
    genesis: &'a Path,
    topology: &'a Path,
    data: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    consensus_key: Option<&'a str>,
    network_key: &'a str,
    rpc_address: String,
    authority: u16,
    roles: Vec<String>,
    executor: ExecutorMode,
    executor_threads: usize,
    verify_threads: usize,
    #[serde(skip_serializing_if = "Ablation::is_empty")]
    ablate: &'a Ablation,
}

/// Makes all keys and writes all files of a new cluster.
pub(super) fn write(options: &ClusterOptions) -> Result<(Genesis, Vec<Planned>)> {
    ensure!(options.authorities > 0, "a cluster has at least one authority");
    let folder = &options.folder;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let folder = &fs::canonicalize(folder)?;
    let (genesis_path, topology_path) = (folder.join("genesis.bin"), folder.join("topology.toml"));
    ensure!(!genesis_path.exists(), "{} holds a cluster already", folder.display());

    let processes = hosted(options.authorities, options.shards, options.layout);
    let ports = free_ports(3 * processes.len())?;
    let mut addresses = ports.into_iter().map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let mut next_address = || addresses.next().context("one port was taken for each listener");

    let (mut authorities, mut topology, mut planned, mut files) = (vec![], vec![], vec![], vec![]);
    for index in 0..options.authorities {
        let name = format!("authority-{index}");
        let consensus = generate()?;
        let mut network_keys = Vec::new();
        let own = |process: &&Hosted| process.0 == AuthorityIndex(index);
        for (_, roles) in processes.iter().filter(own) {
            let path = match (options.layout, roles.as_slice()) {
                (Layout::Split, [role]) => format!("{name}/{}", role_name(*role)),
                _ => name.clone(),
            };
            let network = generate()?;
            let (peer, client, rpc) = (next_address()?, next_address()?, next_address()?);
            topology.push(TopologyProcess {
                authority: index,
                roles: roles.iter().copied().map(role_name).collect(),
                network_key: PublicKey::of(&network),
                peer_address: peer.to_string(),
                client_address: client.to_string(),
                rpc_address: rpc.to_string(),
            });
            network_keys.push(PublicKey::of(&network));
            planned.push(Planned {
                folder: folder.join(&path),
                name: path,
                endpoint: Endpoint {
                    authority: AuthorityIndex(index),
                    roles: roles.clone(),
                    address: client,
                    rpc,
                },
            });
            files.push((
                index,
                roles.clone(),
                rpc,
                network,
                roles.contains(&Role::Beacon).then(|| consensus.clone()),
            ));
        }
        authorities.push(Authority {
            name,
            stake: 1,
            consensus_key: PublicKey::of(&consensus),
            network_keys,
        });
    }

    let genesis = Genesis {
        protocol: fresnel_types::limits::PROTOCOL_VERSION,
        name: options.name.clone(),
        shards: options.shards,
        parameters: options.parameters.clone(),
        authorities,
        accounts: options.accounts.clone(),
    };
    genesis.check().context("the cluster's genesis is none")?;
    // All processes of the cluster share the machine.
    let workers = usize::from(options.authorities) * options.shards.count();
    let cores = available_parallelism().map_or(1, NonZero::get);
    let executor_threads = (cores / workers).max(1);
    let verify_threads = (cores / planned.len().max(1)).max(1);
    for (planned, (index, roles, rpc, network, consensus)) in planned.iter().zip(files) {
        fs::create_dir_all(&planned.folder)?;
        write_key(&planned.folder.join("network.key"), &network)?;
        if let Some(consensus) = &consensus {
            write_key(&planned.folder.join("consensus.key"), consensus)?;
        }
        let config = Config {
            genesis: &genesis_path,
            topology: &topology_path,
            data: DATA,
            consensus_key: consensus.is_some().then_some("consensus.key"),
            network_key: "network.key",
            rpc_address: rpc.to_string(),
            authority: index,
            roles: roles.into_iter().map(role_name).collect(),
            executor: options.executor,
            executor_threads,
            verify_threads,
            ablate: &options.ablate,
        };
        fs::write(planned.folder.join(CONFIG), toml::to_string(&config)?)?;
    }
    fs::write(&topology_path, toml::to_string(&Topology { process: topology })?)?;
    fs::write(&genesis_path, genesis.to_bytes())?;
    Ok((genesis, planned))
}

fn role_name(role: Role) -> String {
    match role {
        Role::Beacon => "beacon".to_owned(),
        Role::Worker(shard) => format!("worker-{shard}"),
        Role::Client => "client".to_owned(),
    }
}

fn generate() -> Result<SigningKey> {
    SigningKey::generate().map_err(|error| anyhow::anyhow!("the system gives no randomness: {error}"))
}

fn write_key(path: &Path, key: &SigningKey) -> Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot make {}", path.display()))?;
    writeln!(file, "{}", hex::encode(key.to_bytes()))?;
    Ok(())
}

/// Free ports on loopback, below the range from which the kernel takes ports of outgoing connections: a killed process
/// must find its ports free when it comes back, and whoever knocks meanwhile must not connect to itself.
fn free_ports(count: usize) -> Result<Vec<u16>> {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let end = range.split_whitespace().next().and_then(|port| port.parse().ok()).unwrap_or(32_768_u16);
    let first = if end > PORTS_FROM { PORTS_FROM } else { 1_025 };
    let span = u32::from(end.saturating_sub(first));
    ensure!(span > 0, "no ports below those of outgoing connections");
    // Clusters of several processes at the same time begin at different places.
    let start = std::process::id().wrapping_mul(PORTS_APART);
    let mut held = Vec::new();
    for step in 0..span {
        let port = first + (start.wrapping_add(step) % span) as u16;
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            held.push((port, listener));
            if held.len() == count {
                return Ok(held.into_iter().map(|(port, _)| port).collect());
            }
        }
    }
    bail!("only {} of {count} ports on loopback are free", held.len())
}

/// Where the search for ports begins.
const PORTS_FROM: u16 = 18_000;

/// How far apart the searches of two processes begin.
const PORTS_APART: u32 = 64;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use fresnel_types::{Parameters, ShardId, Shards};

    use super::*;

    fn options(folder: &Path, layout: Layout) -> ClusterOptions {
        ClusterOptions {
            binary: PathBuf::from("fresnel"),
            folder: folder.to_owned(),
            name: "files".to_owned(),
            authorities: 4,
            shards: Shards::new(2).expect("valid"),
            layout,
            parameters: Parameters::default(),
            executor: ExecutorMode::default(),
            ablate: Ablation::default(),
            accounts: Vec::new(),
        }
    }

    #[test]
    fn every_machine_is_in_one_process_with_its_keys() {
        for (layout, processes) in [(Layout::Node, 4), (Layout::Split, 12)] {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let (genesis, planned) = write(&options(folder.path(), layout)).expect("a new folder");
            assert_eq!(planned.len(), processes);
            let stored = fs::read(folder.path().join("genesis.bin")).expect("written");
            assert_eq!(Genesis::from_bytes(&stored).expect("valid").chain(), genesis.chain());
            let topology: toml::Table = fs::read_to_string(folder.path().join("topology.toml"))
                .expect("written")
                .parse()
                .expect("TOML");
            let listed = topology["process"].as_array().expect("a list");
            let mut ports: Vec<String> = Vec::new();
            for (process, planned) in listed.iter().zip(&planned) {
                let text = |key: &str| process[key].as_str().expect("a string").to_owned();
                let key: PublicKey = text("network_key").parse().expect("hex");
                assert_eq!(
                    genesis.committee().by_network_key(&key),
                    Some(planned.endpoint.authority),
                    "its key is its authority's"
                );
                ports.extend([text("peer_address"), text("client_address"), text("rpc_address")]);
                let config: toml::Table =
                    fs::read_to_string(planned.folder.join(CONFIG)).expect("written").parse().expect("TOML");
                assert_eq!(config["roles"], process["roles"]);
                assert_eq!(config["rpc_address"], process["rpc_address"]);
                let hosts_beacon = planned.endpoint.roles.contains(&Role::Beacon);
                assert_eq!(config.contains_key("consensus_key"), hosts_beacon);
                let key = fs::metadata(planned.folder.join("network.key")).expect("written");
                assert_eq!(key.permissions().mode() & 0o777, 0o600);
            }
            ports.sort();
            ports.dedup();
            assert_eq!(ports.len(), 3 * processes);
            let error = write(&options(folder.path(), layout)).expect_err("the folder is taken");
            assert!(error.to_string().contains("already"), "{error}");
        }
    }

    #[test]
    fn roles_are_written_as_the_program_reads_them() {
        assert_eq!(role_name(Role::Beacon), "beacon");
        assert_eq!(role_name(Role::Worker(ShardId(13))), "worker-13");
    }
}
