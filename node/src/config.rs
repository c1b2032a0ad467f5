//! The configuration of one process: local matters only. What all authorities must agree on is in the genesis.

use std::{
    num::NonZero,
    path::{Path, PathBuf},
    thread::available_parallelism,
};

use fresnel_beacon::Pacing;
use fresnel_shard::{Batching, Execution, Policy};
use fresnel_types::{Ablation, AuthorityIndex, frame::Role};
use serde::{Deserialize, Serialize};

use crate::{clock::monotonic_nanos, roles};

/// What one process needs to know. Paths in the file are relative to the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The bytes of the genesis.
    pub genesis: PathBuf,
    /// The topology file.
    pub topology: PathBuf,
    /// The folder for everything that the process keeps.
    pub data: PathBuf,
    /// The key that signs vertices and votes; only where the beacon is hosted.
    #[serde(default)]
    pub consensus_key: Option<PathBuf>,
    /// The TLS key of the process.
    pub network_key: PathBuf,
    /// Whose machines it hosts.
    pub authority: AuthorityIndex,
    /// Which of them: `beacon`, `worker-N`.
    #[serde(with = "roles")]
    pub roles: Vec<Role>,
    /// Host and port for the operator: `/livez`, `/readyz`, `/metrics`. Loopback only; by default there is none.
    #[serde(default)]
    pub admin_address: Option<String>,
    /// Host and port for JSON-RPC, over HTTP and WebSocket. By default there is none.
    #[serde(default)]
    pub rpc_address: Option<String>,
    /// Bytes of each machine's log that are kept for peers although no restart of the own one needs them.
    #[serde(default = "log_retained")]
    pub log_retained: u64,
    /// Threads that check what links and clients bring; by default one per core.
    #[serde(default)]
    pub verify_threads: Option<usize>,
    /// How workers execute the transactions of blocks. No record depends on it.
    #[serde(default)]
    pub executor: ExecutorMode,
    /// Threads of each worker that execute, its own included; by default the workers of the process share the cores.
    #[serde(default)]
    pub executor_threads: Option<usize>,
    /// What a benchmark leaves out, the same at every process: `signatures`, `execution`, `tree`, `store`. Refused on
    /// every other chain.
    #[serde(default, skip_serializing_if = "Ablation::is_empty")]
    pub ablate: Ablation,
    /// Local timing of the beacon.
    #[serde(default, with = "PacingSection")]
    pub pacing: Pacing,
    /// Local limits of the workers.
    #[serde(default)]
    pub batching: Batching,
}

/// How workers execute the transactions of blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExecutorMode {
    /// One after the other.
    Serial,
    /// On several threads where measurements say that it pays.
    #[default]
    Auto,
    /// On several threads always.
    Speculative,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("configuration {path} cannot be read", path = .0.display())]
    Unreadable(PathBuf, #[source] std::io::Error),
    /// The contents are no configuration.
    #[error("the configuration is malformed: {0}")]
    Malformed(#[from] toml::de::Error),
}

impl Config {
    /// Reads a configuration file.
    ///
    /// # Errors
    /// When it is missing or holds something else.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|error| ConfigError::Unreadable(path.to_owned(), error))?;
        Self::from_table(toml::from_str(&text)?, path.parent().unwrap_or(Path::new("")))
    }

    /// Takes a configuration from a table, to which more than a file may have contributed. Paths are relative to
    /// `folder`.
    ///
    /// # Errors
    /// When a value is missing, malformed or unknown.
    pub fn from_table(table: toml::Table, folder: &Path) -> Result<Self, ConfigError> {
        let mut config: Self = table.try_into()?;
        for path in [&mut config.genesis, &mut config.topology, &mut config.data, &mut config.network_key]
            .into_iter()
            .chain(&mut config.consensus_key)
        {
            *path = folder.join(&*path);
        }
        Ok(config)
    }

    /// What executes the blocks of each worker; nothing beside the worker's own thread where that would do all of it.
    pub(crate) fn execution(&self) -> Option<Execution> {
        let workers = self.roles.iter().filter(|role| matches!(role, Role::Worker(_))).count().max(1);
        let cores = available_parallelism().map_or(1, NonZero::get);
        let threads = self.executor_threads.unwrap_or(cores / workers).max(1);
        let policy = match self.executor {
            ExecutorMode::Serial => return None,
            ExecutorMode::Auto if threads == 1 => return None,
            ExecutorMode::Auto => Policy::Auto,
            ExecutorMode::Speculative => Policy::Speculative,
        };
        Some(Execution { threads, policy, clock: monotonic_nanos })
    }

    /// The file of this configuration.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a configuration has only strings, numbers and tables of them")
    }
}

fn log_retained() -> u64 {
    512 << 20
}

/// How [`Pacing`] stands in a file.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Pacing", default, deny_unknown_fields)]
struct PacingSection {
    interval_min: u64,
    interval_max: u64,
    heartbeat: u64,
    anchor_wait_max: u64,
    resend_min: u64,
    resend_max: u64,
}

impl Default for PacingSection {
    fn default() -> Self {
        let Pacing { interval_min, interval_max, heartbeat, anchor_wait_max, resend_min, resend_max } =
            Pacing::default();
        Self { interval_min, interval_max, heartbeat, anchor_wait_max, resend_min, resend_max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "genesis = \"genesis.bin\"\ntopology = \"/net/topology.toml\"\ndata = \"data\"\n\
        consensus_key = \"keys/consensus\"\nnetwork_key = \"keys/network\"\nauthority = 2\n\
        roles = [\"beacon\", \"worker-3\"]\n[pacing]\nheartbeat = 5\n[batching]\npending_max = 7\n";

    fn read(text: &str) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("node.toml");
        std::fs::write(&path, text).expect("own folder");
        let config = Config::load(&path)?;
        assert_eq!(config.data, folder.path().join("data"), "relative to the file");
        Ok(config)
    }

    #[test]
    fn what_a_file_leaves_out_has_a_default() {
        let config = read(FILE).expect("a configuration");
        assert_eq!(config.topology, Path::new("/net/topology.toml"), "absolute paths stay");
        assert_eq!(config.pacing, Pacing { heartbeat: 5, ..Pacing::default() });
        assert_eq!(config.batching, Batching { pending_max: 7, ..Batching::default() });
        assert_eq!(config.log_retained, 512 << 20);
        let again: toml::Table = toml::from_str(&config.to_toml()).expect("own file");
        let again = Config::from_table(again, Path::new("/elsewhere")).expect("own file");
        assert_eq!((again.data, again.pacing, again.roles), (config.data, config.pacing, config.roles));
    }

    #[test]
    fn threads_execute_where_there_is_more_than_one_or_they_are_asked_for() {
        let execution = |lines: &str| {
            let config =
                read(&FILE.replace("[pacing]", &format!("{lines}\n[pacing]"))).expect("a configuration");
            config.execution().map(|execution| (execution.threads, execution.policy))
        };
        assert_eq!(execution("executor_threads = 3"), Some((3, Policy::Auto)));
        assert_eq!(execution("executor_threads = 1"), None);
        assert_eq!(execution("executor = \"serial\"\nexecutor_threads = 3"), None);
        let speculative = execution("executor = \"speculative\"\nexecutor_threads = 0");
        assert_eq!(speculative, Some((1, Policy::Speculative)));
    }

    #[test]
    fn unknown_missing_and_malformed_values_are_errors() {
        for (changed, into) in [
            ("authority", "autority"),
            ("heartbeat", "hartbeat"),
            ("pending_max", "pending"),
            ("data = \"data\"\n", ""),
            ("worker-3", "worker-x"),
            ("authority = 2", "authority = -2"),
        ] {
            let error = read(&FILE.replace(changed, into)).expect_err(into);
            assert!(matches!(error, ConfigError::Malformed(_)), "{error}");
        }
    }
}
