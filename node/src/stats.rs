//! What a process used and counted, in a file that is replaced every second: `stats.json` in the data directory.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, atomic::Ordering::Relaxed},
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
    /// CPU time of the threads of each name, in microseconds, also of those that have ended.
    pub threads: BTreeMap<String, u64>,
    /// Counts since the start.
    pub counters: BTreeMap<String, u64>,
}

impl Stats {
    /// Of this process, now.
    pub(crate) fn take(ledger: &Ledger, counters: &Counters) -> io::Result<Self> {
        let mut tasks = BTreeMap::new();
        for task in fs::read_dir("/proc/self/task")? {
            // A thread may end between the listing and the reading.
            tasks.extend(task_of(&task?.path()));
        }
        tasks.extend(ledger.0.lock().expect("nobody panics with the lock held").clone());
        let mut threads = BTreeMap::new();
        for (name, micros) in tasks.into_values() {
            *threads.entry(name).or_default() += micros;
        }
        let counters = counters.all().into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
        Ok(Self { rss_bytes_max: memory_bytes("VmHWM:")?, threads, counters })
    }
}

/// What threads used that have ended: number, name and CPU time.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<BTreeMap<String, (String, u64)>>);

impl Ledger {
    /// To be called by a thread as the last thing it does.
    pub(crate) fn record_this_thread(&self) {
        // The kernel brings the time of a running thread up to date when it is asked to let others run.
        thread::yield_now();
        let link = fs::read_link("/proc/thread-self").ok();
        let task = link.and_then(|link| task_of(&Path::new("/proc").join(link)));
        self.0.lock().expect("nobody panics with the lock held").extend(task);
    }
}

/// Number, name and CPU time in microseconds of the thread with this folder under `/proc`.
fn task_of(folder: &Path) -> Option<(String, (String, u64))> {
    let number = folder.file_name()?.to_str()?.to_owned();
    let name = fs::read_to_string(folder.join("comm")).ok()?;
    let times = fs::read_to_string(folder.join("schedstat")).ok()?;
    let nanos: u64 = times.split(' ').next()?.parse().ok()?;
    Some((number, (name.trim_end().to_owned(), nanos / 1_000)))
}

/// Starts the thread that writes the file every second and a last time when the other end of `stop` is dropped.
pub(crate) fn start(
    file: PathBuf,
    ledger: Arc<Ledger>,
    counters: Arc<Counters>,
    stop: Receiver<()>,
) -> io::Result<JoinHandle<()>> {
    let data = file.parent().unwrap_or(Path::new(".")).to_owned();
    let written = Arc::clone(&counters);
    let write = move || -> io::Result<()> {
        let stats = Stats::take(&ledger, &counters)?;
        let new = file.with_extension("json.new");
        fs::write(&new, serde_json::to_vec_pretty(&stats).expect("maps of strings and numbers"))?;
        fs::rename(&new, &file)
    };
    thread::Builder::new().name("stats".to_owned()).spawn(move || {
        loop {
            let last = stop.recv_timeout(STATS_INTERVAL) != Err(RecvTimeoutError::Timeout);
            if let Err(error) = look(&data, &written) {
                tracing::warn!(%error, "cannot look how much room there is on the disk");
            }
            if let Err(error) = write() {
                tracing::warn!(%error, "cannot write the statistics");
            }
            if last {
                return;
            }
        }
    })
}

/// Looks how much room there is, and how much of what was written for checkpoints is gone.
fn look(data: &Path, counters: &Counters) -> io::Result<()> {
    counters.space.look(data)?;
    let written = counters.checkpoint_bytes.load(Relaxed);
    let deleted = written.saturating_sub(counters.space.checkpoint_bytes());
    counters.checkpoint_bytes_deleted.fetch_max(deleted, Relaxed);
    Ok(())
}

/// The memory that the process holds now.
pub(crate) fn rss_bytes() -> io::Result<u64> {
    memory_bytes("VmRSS:")
}

fn memory_bytes(field: &str) -> io::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches("kB").trim_end().parse::<u64>().ok());
    Ok(kilobytes.unwrap_or(0) * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_threads_and_counters() {
        let ledger = Arc::new(Ledger::default());
        let work = {
            let ledger = Arc::clone(&ledger);
            move || {
                (0..20_000).for_each(|number: u32| drop(std::hint::black_box(number.to_string())));
                ledger.record_this_thread();
            }
        };
        let thread = thread::Builder::new().name("a-worker".to_owned()).spawn(work).expect("a thread");
        thread.join().expect("it does not panic");
        let stats = Stats::take(&ledger, &Counters::default()).expect("a Linux process");
        assert!(stats.rss_bytes_max > 1 << 20, "{stats:?}");
        assert!(stats.threads["a-worker"] > 0, "threads that ended are remembered: {stats:?}");
        assert!(stats.threads.len() > 1, "and others are seen: {stats:?}");
        assert_eq!(stats.counters["log_syncs"], 0);
    }
}
