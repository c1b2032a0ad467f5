//! One process of a cluster: started, killed, started again, stopped, and what it says about its use of the machine.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    os::unix::{fs::MetadataExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result};
use fresnel_types::AuthorityIndex;
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::{
    Endpoint,
    files::{CONFIG, DATA, Planned},
};

/// What a process has used, over all its lives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Usage {
    /// The most resident memory.
    #[serde(default)]
    pub rss_bytes_max: u64,
    /// Microseconds of CPU time by the thread's name.
    #[serde(default)]
    pub threads: BTreeMap<String, u64>,
}

impl Usage {
    fn add(&mut self, other: &Self) {
        self.rss_bytes_max = self.rss_bytes_max.max(other.rss_bytes_max);
        for (thread, micros) in &other.threads {
            *self.threads.entry(thread.clone()).or_default() += micros;
        }
    }
}

/// A process of a cluster, running or not.
#[derive(Debug)]
pub(super) struct Process {
    name: String,
    folder: PathBuf,
    endpoint: Endpoint,
    child: Option<Child>,
    /// Of earlier lives.
    past: Usage,
}

impl Process {
    pub(super) fn new(planned: Planned) -> Self {
        let Planned { name, folder, endpoint } = planned;
        Self { name, folder, endpoint, child: None, past: Usage::default() }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn authority(&self) -> AuthorityIndex {
        self.endpoint.authority
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    pub(super) fn is_started(&self) -> bool {
        self.child.is_some()
    }

    pub(super) fn config(&self) -> PathBuf {
        self.folder.join(CONFIG)
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Starts it; what it prints goes to `output.log` in its folder.
    pub(super) fn start(&mut self, binary: &Path) -> Result<()> {
        let log = self.folder.join(OUTPUT);
        let output = OpenOptions::new().create(true).append(true).open(&log)?;
        let child = Command::new(binary)
            .args(["node", "run", "--config"])
            .arg(self.config())
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            // Ctrl-C in a terminal is for us, who then stop the processes in order.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        self.child = Some(child);
        Ok(())
    }

    /// SIGKILL.
    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It fails only when the process has ended by itself.
            let _ = child.kill();
            let _ = child.wait();
            self.past = self.usage();
            let _ = fs::remove_file(self.stats());
        }
    }

    /// SIGTERM, without waiting.
    pub(super) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// SIGSTOP: stands still with its connections open.
    pub(super) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub(super) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        if let Some(child) = &self.child {
            // It fails only when the process has ended by itself.
            let _ = kill_process(Pid::from_child(child), signal);
        }
    }

    /// Bytes of memory that it holds now, if it runs.
    pub(super) fn rss_bytes(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()?)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1_024)
    }

    /// Bytes of its files on disk.
    pub(super) fn disk_bytes(&self) -> u64 {
        disk_bytes(&self.folder.join(DATA))
    }

    /// Waits for the end; `None` when it takes longer.
    pub(super) async fn ended(&mut self, until: Instant) -> Result<Option<ExitStatus>> {
        loop {
            if let Some(status) = self.has_ended()? {
                return Ok(Some(status));
            }
            if Instant::now() >= until {
                return Ok(None);
            }
            sleep(ENDED_POLL).await;
        }
    }

    /// How it ended, if it did by itself.
    pub(super) fn has_ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(match &mut self.child {
            Some(child) => child.try_wait()?,
            None => None,
        })
    }

    /// Leaves it running when this is dropped.
    pub(super) fn detach(&mut self) {
        self.child = None;
    }

    /// What it has used until about a second ago.
    pub(super) fn usage(&self) -> Usage {
        let mut usage = self.past.clone();
        let now = fs::read(self.stats()).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        usage.add(&now.unwrap_or_default());
        usage
    }

    /// When it last said what it has used.
    pub(super) fn told(&self) -> Option<SystemTime> {
        fs::metadata(self.stats()).ok()?.modified().ok()
    }

    /// The end of what it printed.
    pub(super) fn last_words(&self) -> String {
        let text = fs::read(self.folder.join(OUTPUT)).unwrap_or_default();
        let tail = &text[text.len().saturating_sub(LAST_WORDS_BYTES)..];
        String::from_utf8_lossy(tail).trim().to_owned()
    }

    fn stats(&self) -> PathBuf {
        self.folder.join(DATA).join("stats.json")
    }
}

/// Bytes on disk of everything below `folder`. Files may come and go meanwhile.
fn disk_bytes(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let bytes = entries.filter_map(|entry| {
        let metadata = entry.metadata().ok()?;
        Some(if metadata.is_dir() { disk_bytes(&entry.path()) } else { metadata.blocks() * BLOCK_BYTES })
    });
    bytes.sum()
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Where a process' output goes.
const OUTPUT: &str = "output.log";

/// What `st_blocks` counts, whatever the file system's own blocks.
const BLOCK_BYTES: u64 = 512;

/// How often we look whether a process has ended.
const ENDED_POLL: Duration = Duration::from_millis(20);

/// Bytes of output that are shown when a process fails.
const LAST_WORDS_BYTES: usize = 2_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_adds_up_over_lives() {
        let read = |text: &str| -> Usage { serde_json::from_str(text).expect("well formed") };
        let mut usage = read(r#"{"rss_bytes_max": 10, "threads": {"beacon": 5, "net-0": 1}, "more": 1}"#);
        usage.add(&read(r#"{"rss_bytes_max": 7, "threads": {"beacon": 2, "worker-0": 9}}"#));
        assert_eq!(usage.rss_bytes_max, 10);
        let expected = [("beacon", 7), ("net-0", 1), ("worker-0", 9)];
        assert_eq!(usage.threads, expected.map(|(name, micros)| (name.to_owned(), micros)).into());
    }
}
