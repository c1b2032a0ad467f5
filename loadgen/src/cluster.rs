//! A cluster of real processes on loopback: its files, its processes, what can be done to them.

mod files;
mod process;

use std::{
    fmt, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    str::FromStr,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, bail, ensure};
use fresnel_client::Client;
use fresnel_types::{
    Ablation, AuthorityIndex, ChainId, Genesis, Parameters, Shards, frame::Role, genesis::Allocation,
    status::Query,
};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use crate::{
    Fault,
    faults::FaultAction,
    limits::{READY_MAX, STOP_MAX},
};
use process::Process;
pub use process::Usage;

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

/// How workers execute the transactions of blocks. No record depends on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
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

impl fmt::Display for ExecutorMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Serial => "serial",
            Self::Auto => "auto",
            Self::Speculative => "speculative",
        })
    }
}

impl FromStr for ExecutorMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Serial, Self::Auto, Self::Speculative]
            .into_iter()
            .find(|mode| mode.to_string() == text)
            .ok_or_else(|| format!("{text:?} is no executor: serial, auto or speculative"))
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
    /// How workers execute blocks.
    pub executor: ExecutorMode,
    /// What the processes leave out; only where the parameters say that the chain is for benchmarks.
    pub ablate: Ablation,
    /// Funded accounts, ascending by address.
    pub accounts: Vec<Allocation>,
}

/// A running cluster. Dropping it kills its processes.
#[derive(Debug)]
pub struct Cluster {
    binary: PathBuf,
    folder: PathBuf,
    genesis: Genesis,
    processes: Vec<Process>,
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
    /// Its RPC listener.
    pub rpc: SocketAddr,
}

impl Cluster {
    /// Writes the files of a new cluster, starts its processes and waits until all of them answer.
    ///
    /// # Errors
    /// When the folder cannot be written, a port not be had, or a process does not come up.
    pub async fn start(options: ClusterOptions) -> Result<Self> {
        let mut cluster = Self::create(options)?;
        cluster.start_all().await?;
        Ok(cluster)
    }

    /// Writes the files of a new cluster and starts nothing.
    ///
    /// # Errors
    /// When the folder cannot be written or a port not be had.
    pub fn create(options: ClusterOptions) -> Result<Self> {
        let (genesis, planned) = files::write(&options)?;
        let folder = fs::canonicalize(&options.folder)?;
        let processes = planned.into_iter().map(Process::new).collect();
        Ok(Self { binary: options.binary, folder, genesis, processes })
    }

    /// Starts whatever does not run and waits until all of it answers.
    ///
    /// # Errors
    /// When a process does not come up.
    pub async fn start_all(&mut self) -> Result<()> {
        for process in self.processes.iter_mut().filter(|process| !process.is_started()) {
            process.start(&self.binary)?;
        }
        let chain = self.genesis.chain();
        let until = Instant::now() + READY_MAX;
        for process in &mut self.processes {
            loop {
                if let Some(status) = process.has_ended()? {
                    bail!("{} ended with {status}:\n{}", process.name(), process.last_words());
                }
                match answers(process.endpoint(), chain).await {
                    Ok(()) => break,
                    Err(error) if Instant::now() >= until => {
                        let name = process.name();
                        bail!("{name} does not answer ({error:#}):\n{}", process.last_words());
                    }
                    Err(_) => sleep(READY_POLL).await,
                }
            }
        }
        Ok(())
    }

    /// Where its files are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The first state of the chain.
    pub fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// Where clients reach each process.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        self.processes.iter().map(|process| process.endpoint().clone()).collect()
    }

    /// Whether all processes of an authority were started and not killed since.
    pub fn is_up(&self, authority: AuthorityIndex) -> bool {
        self.processes.iter().filter(|process| process.authority() == authority).all(Process::is_started)
    }

    /// Does to the struck processes what the fault says. A restart does not wait for an answer.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn strike(&mut self, fault: &Fault) -> Result<()> {
        for process in &mut self.processes {
            let Endpoint { authority, roles, .. } = process.endpoint();
            if !fault.target.strikes(*authority, roles) {
                continue;
            }
            match fault.action {
                FaultAction::Kill => process.kill(),
                FaultAction::Restart if !process.is_started() => process.start(&self.binary)?,
                FaultAction::Restart => {}
                FaultAction::Freeze => process.freeze(),
                FaultAction::Thaw => process.thaw(),
            }
        }
        Ok(())
    }

    /// Bytes of memory that all processes hold now.
    pub fn rss_bytes(&self) -> u64 {
        self.processes.iter().filter_map(Process::rss_bytes).sum()
    }

    /// Bytes on disk of all processes.
    pub fn disk_bytes(&self) -> u64 {
        self.processes.iter().map(Process::disk_bytes).sum()
    }

    /// Processes that ended by themselves, with the end of what they printed.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn failures(&mut self) -> Result<Vec<String>> {
        let mut failures = Vec::new();
        for process in &mut self.processes {
            if let Some(status) = process.has_ended()? {
                failures.push(format!("{} ended with {status}:\n{}", process.name(), process.last_words()));
            }
        }
        Ok(failures)
    }

    /// What each process has used until about a second ago, by name.
    pub fn usage(&self) -> Vec<(String, Usage)> {
        self.processes.iter().map(|process| (process.name().to_owned(), process.usage())).collect()
    }

    /// As [`Self::usage`], of all processes that run until now at the earliest: they say so once a second, and what they
    /// did in a second that is missing would count for nothing, or for what comes next.
    #[expect(clippy::disallowed_methods, reason = "the times of files are of the system's clock")]
    pub async fn usage_now(&self) -> Vec<(String, Usage)> {
        let (now, until) = (SystemTime::now(), Instant::now() + USAGE_MAX);
        let late = |process: &&Process| process.is_started() && process.told().is_none_or(|told| told <= now);
        while Instant::now() < until && self.processes.iter().any(|process| late(&process)) {
            sleep(READY_POLL).await;
        }
        self.usage()
    }

    /// Stops all processes with SIGTERM and waits for them; kills those that take too long.
    ///
    /// # Errors
    /// When a process did not stop by itself or ended with an error.
    pub async fn stop(&mut self) -> Result<()> {
        self.processes.iter().for_each(Process::terminate);
        let until = Instant::now() + STOP_MAX;
        let mut failures = Vec::new();
        for process in self.processes.iter_mut().filter(|process| process.is_started()) {
            match process.ended(until).await? {
                Some(status) if status.success() => {}
                Some(status) => failures.push(format!(
                    "{} ended with {status}:\n{}",
                    process.name(),
                    process.last_words()
                )),
                None => failures.push(format!("{} did not stop within {STOP_MAX:?}", process.name())),
            }
            process.kill();
        }
        ensure!(failures.is_empty(), "{}", failures.join("\n"));
        Ok(())
    }

    /// Leaves the processes running and notes them in the folder for [`stop_detached`].
    ///
    /// # Errors
    /// When the note cannot be written; the processes are then killed.
    pub fn detach(mut self) -> Result<()> {
        let notes: Vec<Note> = self
            .processes
            .iter()
            .filter_map(|process| process.pid().map(|pid| Note { pid, config: process.config() }))
            .collect();
        fs::write(self.folder.join(NOTES), serde_json::to_vec_pretty(&notes)?)?;
        self.processes.iter_mut().for_each(Process::detach);
        Ok(())
    }
}

/// Stops the processes of a cluster that was left running in `folder`, and gives their number.
///
/// # Errors
/// When no cluster was left there, or a process does not stop in time.
pub async fn stop_detached(folder: &Path) -> Result<usize> {
    let path = folder.join(NOTES);
    let bytes = fs::read(&path).with_context(|| format!("no running cluster in {}", folder.display()))?;
    let notes: Vec<Note> =
        serde_json::from_slice(&bytes).context("the note about the cluster is unreadable")?;
    let running: Vec<&Note> = notes.iter().filter(|note| note.is_running()).collect();
    for note in &running {
        note.signal(Signal::TERM);
    }
    let until = Instant::now() + STOP_MAX;
    while running.iter().any(|note| note.is_running()) {
        if Instant::now() >= until {
            running.iter().filter(|note| note.is_running()).for_each(|note| note.signal(Signal::KILL));
            fs::remove_file(&path)?;
            bail!("some processes did not stop within {STOP_MAX:?} and were killed");
        }
        sleep(READY_POLL).await;
    }
    fs::remove_file(&path)?;
    Ok(running.len())
}

/// A process left running.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    pid: u32,
    config: PathBuf,
}

impl Note {
    /// Whether the process is still the noted one: a number is used again, a command line is not.
    fn is_running(&self) -> bool {
        let line = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        line.split(|&byte| byte == 0).any(|argument| argument == self.config.as_os_str().as_encoded_bytes())
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) {
            // It fails only when the process has ended by itself.
            let _ = kill_process(pid, signal);
        }
    }
}

/// Whether every machine of a process tells where it is.
async fn answers(endpoint: &Endpoint, chain: ChainId) -> Result<()> {
    let mut client = Client::connect(endpoint.address, chain).await?;
    for &role in &endpoint.roles {
        client.query(role, Query::Status).await?;
    }
    Ok(())
}

/// How long it may take until all processes have said what they used: a little more than the second between two times.
const USAGE_MAX: Duration = Duration::from_millis(1_500);

/// The note about processes left running.
const NOTES: &str = "processes.json";

/// How often we look whether a process answers or has ended.
const READY_POLL: Duration = Duration::from_millis(20);
