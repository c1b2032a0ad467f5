//! What a process used and counted, in a file that is replaced every second: `stats.json` in the data directory.

use std::{
    collections::BTreeMap,
    fs, io,
    path::PathBuf,
    sync::Arc,
    thread::{self, JoinHandle},
};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use serde::{Deserialize, Serialize};

use crate::{counters::Counters, limits::STATS_INTERVAL};

/// The contents of `stats.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// The most memory that the process ever held.
    pub rss_bytes_max: u64,
    /// CPU time of the threads of each name, in microseconds, those that have ended left out.
    pub threads: BTreeMap<String, u64>,
    /// Counts since the start.
    pub counters: BTreeMap<String, u64>,
}

impl Stats {
    /// Of this process, now.
    fn take(counters: &Counters) -> io::Result<Self> {
        let mut threads = BTreeMap::new();
        for task in fs::read_dir("/proc/self/task")? {
            let folder = task?.path();
            let read = |file| fs::read_to_string(folder.join(file));
            // A thread may end between the listing and the reading.
            let (Ok(name), Ok(times)) = (read("comm"), read("schedstat")) else { continue };
            let nanos: u64 = times.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0);
            *threads.entry(name.trim_end().to_owned()).or_default() += nanos / 1_000;
        }
        let counters = counters.all().into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
        Ok(Self { rss_bytes_max: rss_bytes_max()?, threads, counters })
    }
}

/// Starts the thread that writes the file every second and a last time when the other end of `stop` is dropped.
pub(crate) fn start(
    file: PathBuf,
    counters: Arc<Counters>,
    stop: Receiver<()>,
) -> io::Result<JoinHandle<()>> {
    let write = move || -> io::Result<()> {
        let stats = Stats::take(&counters)?;
        let new = file.with_extension("json.new");
        fs::write(&new, serde_json::to_vec_pretty(&stats).expect("maps of strings and numbers"))?;
        fs::rename(&new, &file)
    };
    thread::Builder::new().name("stats".to_owned()).spawn(move || {
        loop {
            let last = stop.recv_timeout(STATS_INTERVAL) != Err(RecvTimeoutError::Timeout);
            if let Err(error) = write() {
                tracing::warn!(%error, "cannot write the statistics");
            }
            if last {
                return;
            }
        }
    })
}

fn rss_bytes_max() -> io::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches("kB").trim_end().parse::<u64>().ok());
    Ok(kilobytes.unwrap_or(0) * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_threads_and_counters() {
        let stats = Stats::take(&Counters::default()).expect("a Linux process");
        assert!(stats.rss_bytes_max > 1 << 20, "{stats:?}");
        assert!(!stats.threads.is_empty());
        assert_eq!(stats.counters["log_syncs"], 0);
    }
}
