//! The engines of others: NOMT, a durable trie on disk, and the Jellyfish Merkle tree of Penumbra over a store in memory.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fresnel_types::StateKey;
use jmt::{KeyHash, OwnedValue, Sha256Jmt, mock::MockTreeStore};
use nomt::{KeyReadWrite, Nomt, Options, SessionParams, hasher::Blake3Hasher};
use tempfile::TempDir;

use super::{Change, Engine, timed};

/// Those that can start here.
pub(super) fn all(keys: &[StateKey], skipped: &mut Vec<String>) -> Vec<Box<dyn Engine>> {
    let mut engines: Vec<Box<dyn Engine>> = vec![];
    match OnDisk::of(keys) {
        Ok(engine) => engines.push(Box::new(engine)),
        Err(error) => skipped.push(format!("nomt with {} accounts: {error:#}", keys.len())),
    }
    match InMemory::of(keys) {
        Ok(engine) => engines.push(Box::new(engine)),
        Err(error) => skipped.push(format!("jmt with {} accounts: {error:#}", keys.len())),
    }
    engines
}

/// NOMT with two commit workers and caches that hold everything, in a temporary folder.
struct OnDisk {
    nomt: Nomt<Blake3Hasher>,
    _folder: TempDir,
}

impl OnDisk {
    fn of(keys: &[StateKey]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut options = Options::new();
        options.path(folder.path().join("nomt"));
        options.commit_concurrency(2);
        options.hashtable_buckets(u32::try_from(keys.len() / 2)?.max(64_000));
        options.page_cache_size(2_048);
        options.leaf_cache_size(1_024);
        let mut engine = Self { nomt: Nomt::open(options)?, _folder: folder };
        for chunk in keys.chunks(LOADED_AT_ONCE) {
            engine.update(&chunk.iter().map(|key| (*key, [7; 24])).collect::<Vec<_>>())?;
        }
        Ok(engine)
    }
}

impl Engine for OnDisk {
    fn name(&self) -> &'static str {
        "nomt"
    }

    fn update(&mut self, changes: &[Change]) -> Result<(Duration, Duration)> {
        let (finished, root) = timed(|| {
            let session = self.nomt.begin_session(SessionParams::default());
            let write = |(key, value): &Change| (key.0, KeyReadWrite::Write(Some(value.to_vec())));
            let mut writes: Vec<_> = changes.iter().map(write).collect();
            writes.sort_unstable_by_key(|(key, _)| *key);
            writes.iter().for_each(|(key, _)| session.warm_up(*key));
            session.finish(writes)
        });
        let (committed, commit) = timed(|| finished?.commit(&self.nomt));
        committed?;
        Ok((root, commit))
    }
}

/// The Jellyfish Merkle tree; what a version replaces is purged from its store.
struct InMemory {
    store: MockTreeStore,
    version: u64,
}

impl InMemory {
    fn of(keys: &[StateKey]) -> Result<Self> {
        let needed = keys.len() as u64 * BYTES_PER_ACCOUNT;
        let free = free_memory().context("no word on free memory")?;
        ensure!(free > needed, "it would need {} MB, and {} MB are free", needed >> 20, free >> 20);
        let mut engine = Self { store: MockTreeStore::new(true), version: 0 };
        for chunk in keys.chunks(LOADED_AT_ONCE) {
            engine.update(&chunk.iter().map(|key| (*key, [7; 24])).collect::<Vec<_>>())?;
        }
        Ok(engine)
    }
}

impl Engine for InMemory {
    fn name(&self) -> &'static str {
        "jmt"
    }

    fn update(&mut self, changes: &[Change]) -> Result<(Duration, Duration)> {
        let version = self.version;
        let (made, root) = timed(|| {
            let writes = changes.iter().map(|(key, value)| (KeyHash(key.0), Some(OwnedValue::from(*value))));
            Sha256Jmt::new(&self.store).put_value_set(writes, version)
        });
        let (_, batch) = made?;
        let (stored, commit) = timed(|| {
            self.store.write_tree_update_batch(batch)?;
            self.store.purge_stale_nodes(version)
        });
        stored?;
        self.version += 1;
        Ok((root, commit))
    }
}

/// Bytes that the system could give.
fn free_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("MemAvailable:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? << 10)
}

/// Accounts written in one go while a state is loaded.
const LOADED_AT_ONCE: usize = 100_000;

/// What the Jellyfish Merkle tree takes in memory while it is loaded.
const BYTES_PER_ACCOUNT: u64 = 1_500;
