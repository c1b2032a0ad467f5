//! Giving up what a worker computed, offline: what is wrong with it is exported first, everything else stays, and the next
//! start fetches the state from the workers of other authorities.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use fresnel_log::{Log, Options};
use fresnel_shard::Worker;
use fresnel_types::{
    AuthorityIndex, BatchId, BlockIndex, CommitIndex, Entries, EntryNumber, Genesis, LogEntry, OrderEvent,
    Record, RecordDigest, ShardId, Timestamp, frame::Role, snapshot::SyncEntry, verify::Rules,
};
use serde::Serialize;

use crate::{
    DataError, NodeError,
    data::{DataDirectory, replace},
    disk::{FileDisk, make_folder},
    process::SEGMENT_BYTES,
    replay::checkpoint,
    roles,
    verify_data::worker_config,
};

/// What was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rebuild {
    /// Whose worker.
    pub authority: AuthorityIndex,
    /// Of which shard.
    pub shard: ShardId,
    /// The commit from which on it takes the order.
    pub commit: CommitIndex,
    /// The block whose record was not the certified one, if there was one.
    pub diverged: Option<BlockIndex>,
    /// The file with that block and both records.
    pub exported: Option<PathBuf>,
}

/// A block with the record that was computed of it and the one that was certified.
#[derive(Debug, Serialize)]
struct Divergence {
    block: BlockIndex,
    /// The batches of the block, in order. Their bytes are in the log.
    batches: Vec<BatchId>,
    /// What the order certified; none where that is gone from the log.
    certified: Option<RecordDigest>,
    /// The digest of `computed`.
    digest: Option<RecordDigest>,
    /// None where the worker found no input.
    computed: Option<Record>,
}

/// Makes the worker of `shard` in the data directory of a stopped process give up its state.
///
/// # Errors
/// When there is no such directory, another process holds it, it belongs to another chain, or the log of the worker cannot
/// be read or written.
pub fn rebuild(path: &Path, genesis: Genesis, shard: ShardId) -> Result<Rebuild, NodeError> {
    let rules = Arc::new(Rules::of(&genesis));
    let (data, authority) = DataDirectory::open_existing(path, rules.chain)?;
    let name = roles::name(Role::Worker(shard));
    let folder = data.log(&name);
    let missing = || DataError::Io(folder.clone(), io::ErrorKind::NotFound.into());
    if !folder.is_dir() {
        return Err(missing().into());
    }
    let failed = |error| NodeError::Log(name.clone(), error);
    let disk = FileDisk::open(&folder).map_err(|error| failed(error.into()))?;
    let (mut log, recovered) = Log::open(disk, Options { segment_bytes: SEGMENT_BYTES }).map_err(failed)?;
    let entries = recovered.entries;
    let last = entries.entries.iter().rev().find_map(|entry| match entry {
        LogEntry::Order(order) => Some(order.commit),
        _ => None,
    });
    let commit = last.unwrap_or_default().next();
    let config = worker_config(authority, shard, &Arc::new(genesis), &rules);
    let divergence = divergence(&name, &data, config, entries);
    let exported = match &divergence {
        Some(divergence) => Some(export(&data, &name, divergence)?),
        None => None,
    };
    log.append(&LogEntry::Sync(SyncEntry::Begin(commit))).map_err(failed)?;
    log.sync().map_err(failed)?;
    let diverged = divergence.map(|divergence| divergence.block);
    Ok(Rebuild { authority, shard, commit, diverged, exported })
}

/// What is wrong with the records of a worker, if that shows. What does not even restore it says nothing about them.
fn divergence(
    name: &str,
    data: &DataDirectory,
    config: fresnel_shard::Config,
    log: Entries,
) -> Option<Divergence> {
    let shard = config.shard;
    let orders: Vec<_> = log
        .entries
        .iter()
        .filter_map(|entry| match entry {
            LogEntry::Order(order) => Some(order.clone()),
            _ => None,
        })
        .collect();
    let restored = if log.first > EntryNumber(0) { checkpoint(name, data).ok()? } else { None };
    let worker = Worker::open(config, restored, log, Timestamp(0)).ok()?;
    let block = worker.status().diverged?;
    let computed = worker.records(block, 1).pop().filter(|record| record.block == block);
    let certified = orders.iter().filter_map(|order| order.certified.get(shard.index()));
    let certified =
        certified.clone().find(|certified| certified.block == block).map(|certified| certified.record);
    let (mut batches, mut open) = (Vec::new(), Vec::new());
    for event in orders.iter().flat_map(|order| &order.events) {
        match event {
            OrderEvent::Batch(ordered) => open.push(ordered.batch.id),
            OrderEvent::Void(_) => {}
            OrderEvent::Close(close) => {
                let closed = std::mem::take(&mut open);
                if close.block == block {
                    batches = closed;
                }
            }
        }
    }
    Some(Divergence { block, batches, certified, digest: computed.as_ref().map(Record::digest), computed })
}

fn export(data: &DataDirectory, name: &str, divergence: &Divergence) -> Result<PathBuf, NodeError> {
    let folder = data.path().join("diverged");
    let file = folder.join(format!("{name}-block-{}.json", divergence.block));
    let write = || {
        make_folder(&folder)?;
        let text = serde_json::to_vec_pretty(divergence).map_err(io::Error::other)?;
        replace(&file, &text)
    };
    write().map_err(|error| DataError::Io(file.clone(), error))?;
    fs::canonicalize(&file).map_err(|error| DataError::Io(file.clone(), error).into())
}
