//! Executing the log of a worker again, offline, and comparing what comes out with what the order in the same log
//! certified: from the genesis while the log begins there, otherwise from the stored checkpoint. Both stay as they are.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use fresnel_log::{Log, Options, Recovered};
use fresnel_shard::{Batching, Execution, Policy, Worker};
use fresnel_state::CheckpointStore;
use fresnel_types::{
    AuthorityIndex, BlockIndex, CommitIndex, EntryNumber, Genesis, LogEntry, OrderEvent, Record,
    RecordDigest, ShardId, checkpoint::Restored, commit::Certified, frame::Role, verify::Rules,
};
use serde::Serialize;

use crate::{
    DataError, NodeError,
    checkpoints::{RocksStore, folders},
    clock::{Clock, monotonic_nanos},
    data::DataDirectory,
    disk::UnalteredDisk,
    node::unrestored,
    process::SEGMENT_BYTES,
    roles,
};

/// What executing the log of a worker again gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Replayed {
    /// Whose worker.
    pub authority: AuthorityIndex,
    /// Of which shard.
    pub shard: ShardId,
    /// The block of the checkpoint that it began with, because the log begins later than the chain. Everything before
    /// was taken as stored.
    pub checkpoint: Option<BlockIndex>,
    /// The last commit in the log.
    pub commit: CommitIndex,
    /// The last block that the order in the log closes.
    pub closed: BlockIndex,
    /// The last block executed: before `closed` when the log ends before a batch or a bundle that the next one needs.
    pub executed: BlockIndex,
    /// Records of the chain up to there.
    pub records: u64,
    /// Transactions ordered in the blocks that were executed here.
    pub transactions: u64,
    /// Certified records that were compared, one by one. Each states all before it, so they are compared as well.
    pub compared: u64,
    /// The last block whose certified record was compared.
    pub compared_up_to: BlockIndex,
    /// The digest of the last record.
    pub last_record: Option<RecordDigest>,
    /// Bytes of a torn tail in the log, which were left out.
    pub torn_bytes: u64,
    /// Microseconds that executing took.
    pub micros: u64,
    /// The first certified record that is not the computed one.
    pub difference: Option<Difference>,
}

/// A certified record that is not the one computed from the same order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Of this block.
    pub block: BlockIndex,
    /// What the order certified; none where it is gone from the log.
    pub certified: Option<RecordDigest>,
    /// What was computed; none where the block has no record.
    pub computed: Option<RecordDigest>,
}

/// Executes the logs of workers again: all of them in the data directory `path`, or only the one in its folder
/// `log/worker-N`. With more than one thread, blocks are executed by as many, always speculating. The directory is held
/// meanwhile, and nothing in it is changed.
///
/// # Errors
/// When there is no such directory, another process holds it, it belongs to another chain than that of `genesis`, or a log
/// is damaged.
pub fn replay(path: &Path, genesis: Genesis, threads: usize) -> Result<Vec<Replayed>, NodeError> {
    let (data, only) = match worker_folder(path)? {
        Some((data, shard)) => (data, Some(shard)),
        None => (path.to_owned(), None),
    };
    let rules = Arc::new(Rules::of(&genesis));
    let genesis = Arc::new(genesis);
    let execution =
        (threads > 1).then_some(Execution { threads, policy: Policy::Speculative, clock: monotonic_nanos });
    let (data, authority) = DataDirectory::open_existing(&data, rules.chain)?;
    let shards: BTreeSet<ShardId> = match only {
        Some(shard) => [shard].into(),
        None => shards(&data)?
            .into_iter()
            .filter(|shard| rules.shards.iter().any(|known| known == *shard))
            .collect(),
    };
    shards
        .into_iter()
        .map(|shard| {
            let genesis = Arc::clone(&genesis);
            let batching = Batching::default();
            let checkpointing = fresnel_shard::Checkpointing::default();
            let config = fresnel_shard::Config {
                authority,
                shard,
                genesis,
                rules: Arc::clone(&rules),
                batching,
                checkpointing,
                execution,
            };
            replay_worker(config, &data)
        })
        .collect()
}

/// The data directory and the shard of a folder `DATA/log/worker-N`.
fn worker_folder(path: &Path) -> Result<Option<(PathBuf, ShardId)>, NodeError> {
    let unreadable = |error| NodeError::Unreadable(path.to_owned(), error);
    let path = path.canonicalize().map_err(unreadable)?;
    let shard = path.file_name().and_then(|name| name.to_str()).and_then(shard_of);
    let log = path.parent().filter(|log| log.ends_with("log"));
    Ok(shard.zip(log.and_then(Path::parent)).map(|(shard, data)| (data.to_owned(), shard)))
}

fn shard_of(name: &str) -> Option<ShardId> {
    match roles::parse(name) {
        Ok(Role::Worker(shard)) => Some(shard),
        Ok(Role::Beacon | Role::Client) | Err(_) => None,
    }
}

/// The shards whose workers have a log here.
pub(crate) fn shards(data: &DataDirectory) -> Result<BTreeSet<ShardId>, DataError> {
    let names = || {
        fs::read_dir(data.path().join("log"))?
            .map(|entry| Ok(entry?.file_name().to_str().and_then(shard_of)))
            .collect::<io::Result<Vec<_>>>()
    };
    let names = names().map_err(|error| DataError::Io(data.path().to_owned(), error))?;
    Ok(names.into_iter().flatten().collect())
}

fn replay_worker(config: fresnel_shard::Config, data: &DataDirectory) -> Result<Replayed, NodeError> {
    let name = roles::name(Role::Worker(config.shard));
    let recovered = read_log(&name, data)?;
    let restored = if recovered.entries.first > EntryNumber(0) { checkpoint(&name, data)? } else { None };
    replay_log(config, restored, recovered)
}

/// The log of a machine, which stays as it is.
pub(crate) fn read_log(name: &str, data: &DataDirectory) -> Result<Recovered, NodeError> {
    let disk = UnalteredDisk(data.log(name));
    let opened = Log::open(disk, Options { segment_bytes: SEGMENT_BYTES });
    opened.map(|(_, recovered)| recovered).map_err(|error| NodeError::Log(name.to_owned(), error))
}

/// Executes a log again, from a checkpoint on if there is one.
pub(crate) fn replay_log(
    config: fresnel_shard::Config,
    restored: Option<Restored>,
    recovered: Recovered,
) -> Result<Replayed, NodeError> {
    let (authority, shard, role) = (config.authority, config.shard, Role::Worker(config.shard));
    let checkpoint = restored.as_ref().map(|restored| restored.block);
    let after = checkpoint.unwrap_or_default();
    let order = OrderInLog::of(shard, &recovered.entries.entries);
    let clock = Clock::start();
    let started = clock.now();
    let worker = Worker::open(config, restored, recovered.entries, started)
        .map_err(|error| unrestored(role, error))?;
    let micros = clock.now().since(started);

    let status = worker.status();
    let records = worker.records(BlockIndex(0), usize::MAX);
    let compared = Compared::of(&records, &order.certified, after, status.executed);
    // The worker compares as it goes, also with records that it keeps no longer.
    let halted = status.diverged.map(|block| difference(&records, &order.certified, block));
    Ok(Replayed {
        authority,
        shard,
        checkpoint,
        commit: status.commit,
        closed: order.blocks.last().map_or(BlockIndex(0), |(block, _)| *block),
        executed: status.executed,
        records: records.last().map_or(0, |record| record.position + 1),
        transactions: order
            .blocks
            .iter()
            .filter(|(block, _)| (after.next()..=status.executed).contains(block))
            .map(|(_, transactions)| transactions)
            .sum(),
        compared: compared.count,
        compared_up_to: compared.up_to,
        last_record: records.last().map(Record::digest),
        torn_bytes: recovered.cut.map_or(0, |cut| cut.bytes),
        micros,
        difference: halted.or(compared.difference),
    })
}

/// The checkpoint of a worker, from a store that stays as it is.
pub(crate) fn checkpoint(name: &str, data: &DataDirectory) -> Result<Option<Restored>, NodeError> {
    let load = || {
        let mut stores = Vec::new();
        for folder in folders(&data.checkpoints(name))? {
            stores.extend(RocksStore::open_unaltered(&folder)?);
        }
        let newest = stores
            .into_iter()
            .filter(|store| store.generation().is_some())
            .max_by_key(RocksStore::generation);
        newest.map_or(Ok(None), |store| store.load())
    };
    load().map_err(|error| NodeError::Checkpoints(name.to_owned(), error))
}

/// What the order in a log says about one shard.
#[derive(Debug, Default)]
struct OrderInLog {
    /// Closed blocks with the transactions ordered in them.
    blocks: Vec<(BlockIndex, u64)>,
    certified: BTreeSet<Certified>,
}

impl OrderInLog {
    fn of(shard: ShardId, entries: &[LogEntry]) -> Self {
        let mut found = Self::default();
        let mut open = 0;
        for order in entries.iter().filter_map(|entry| match entry {
            LogEntry::Order(order) => Some(order),
            _ => None,
        }) {
            for event in &order.events {
                match event {
                    OrderEvent::Batch(ordered) => open += u64::from(ordered.batch.count),
                    OrderEvent::Void(_) => {}
                    OrderEvent::Close(close) => {
                        found.blocks.push((close.block, std::mem::take(&mut open)));
                    }
                }
            }
            let certified = order.certified.get(shard.index()).copied();
            found.certified.extend(certified.filter(|certified| *certified != Certified::default()));
        }
        found
    }
}

/// How records compare with what is certified.
#[derive(Debug, Default)]
struct Compared {
    count: u64,
    up_to: BlockIndex,
    difference: Option<Difference>,
}

impl Compared {
    /// Compares the certified records of executed blocks with `records`, the last ones, ascending. Blocks up to `after` were
    /// not executed here.
    fn of(
        records: &[Record],
        certified: &BTreeSet<Certified>,
        after: BlockIndex,
        executed: BlockIndex,
    ) -> Self {
        let mut compared = Self::default();
        let records = &records[records.partition_point(|record| record.block <= after)..];
        let first = records.first().map_or(after.next(), |record| record.block);
        let within = |certified: &&Certified| (first..=executed).contains(&certified.block);
        for Certified { block, record } in certified.iter().filter(within).copied() {
            let computed = computed(records, block);
            compared.count += 1;
            compared.up_to = block;
            if computed != Some(record) && compared.difference.is_none() {
                compared.difference = Some(Difference { block, certified: Some(record), computed });
            }
        }
        compared
    }
}

fn difference(records: &[Record], certified: &BTreeSet<Certified>, block: BlockIndex) -> Difference {
    let computed = computed(records, block);
    let certified = certified.iter().find(|certified| certified.block == block);
    Difference { block, certified: certified.map(|certified| certified.record), computed }
}

fn computed(records: &[Record], block: BlockIndex) -> Option<RecordDigest> {
    let place = records.binary_search_by_key(&block, |record| record.block).ok()?;
    Some(records[place].digest())
}

#[cfg(test)]
mod tests;
