//! The checkpoint store in RocksDB: one database per worker, written in one synced batch per checkpoint and read as a
//! whole when the worker starts. No transaction ever waits for it.

use std::path::Path;

use fresnel_state::CheckpointStore;
use fresnel_types::{
    BlockIndex, Checkpoint, EntryNumber, StateKey,
    checkpoint::{Extension, Restored},
    decode, encode,
};
use rocksdb::{
    BlockBasedOptions, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, DBRecoveryMode,
    InfoLogger, IteratorMode, LogLevel, Options, ReadOptions, WriteBatch, WriteOptions,
};
use wincode::{SchemaRead, SchemaWrite};

/// The checkpoints of one worker.
pub(crate) struct RocksStore {
    db: DB,
    held: Option<Held>,
}

/// Why checkpoints cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database failed.
    #[error("the database failed")]
    Database(#[from] rocksdb::Error),
    /// It does not hold what was stored.
    #[error("the checkpoint store is damaged: {0}")]
    Damaged(&'static str),
    /// It was written by another version of the code.
    #[error("the checkpoint store is of version {0}")]
    Version(u32),
}

/// What is held besides leaves; all that `meta` says.
#[derive(Clone, Debug, Default, PartialEq, Eq, SchemaRead, SchemaWrite)]
struct Held {
    block: BlockIndex,
    entry: EntryNumber,
    records: Numbers,
    outcomes: Numbers,
    in_hand: Numbers,
}

/// Numbers of items in a column family: from `first`, below `next`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, SchemaRead, SchemaWrite)]
struct Numbers {
    first: u64,
    next: u64,
}

impl RocksStore {
    /// Opens the database in `folder`, or makes one.
    pub(crate) fn open(folder: &Path) -> Result<Self, StoreError> {
        Self::new(DB::open_cf_descriptors(&database_options(), folder, families())?)
    }

    /// Opens the database in `folder` without changing anything in it; none if there is none.
    pub(crate) fn open_unaltered(folder: &Path) -> Result<Option<Self>, StoreError> {
        if !folder.join(DATABASE_MARK).exists() {
            return Ok(None);
        }
        let db = DB::open_cf_descriptors_read_only(&database_options(), folder, families(), false)?;
        Self::new(db).map(Some)
    }

    fn new(db: DB) -> Result<Self, StoreError> {
        let held = match db.get_cf(family(&db, META), META_KEY)? {
            None => None,
            Some(bytes) => {
                let (version, held) = bytes.split_first_chunk().ok_or(StoreError::Damaged("no version"))?;
                match u32::from_le_bytes(*version) {
                    VERSION => Some(decode(held).map_err(|_| StoreError::Damaged("its description"))?),
                    other => return Err(StoreError::Version(other)),
                }
            }
        };
        Ok(Self { db, held })
    }

    /// Stores a checkpoint on top of the one before. Returns the bytes written.
    pub(crate) fn take_over(&mut self, checkpoint: &Checkpoint) -> Result<usize, StoreError> {
        let Checkpoint { block, entry, leaves, records, outcomes, in_hand } = checkpoint;
        let held = self.held.clone().unwrap_or_default();
        let mut batch = WriteBatch::default();
        let leaf_family = self.family(LEAVES);
        for (key, value) in leaves.iter() {
            match value {
                Some(value) => batch.put_cf(leaf_family, key.0, value),
                None => batch.delete_cf(leaf_family, key.0),
            }
        }
        let held = Held {
            block: *block,
            entry: *entry,
            records: extend(&mut batch, self.family(RECORDS), held.records, records),
            outcomes: extend(&mut batch, self.family(OUTCOMES), held.outcomes, outcomes),
            in_hand: replace(&mut batch, self.family(IN_HAND), held.in_hand, in_hand),
        };
        let description = [VERSION.to_le_bytes().as_slice(), &encode(&held)].concat();
        batch.put_cf(self.family(META), META_KEY, description);
        let bytes = batch.size_in_bytes();
        let mut options = WriteOptions::default();
        options.set_sync(true);
        self.db.write_opt(batch, &options)?;
        self.held = Some(held);
        Ok(bytes)
    }

    fn family(&self, name: &str) -> &ColumnFamily {
        family(&self.db, name)
    }

    /// All that a column family holds, ascending by key.
    fn all(&self, name: &str) -> impl Iterator<Item = Result<(Box<[u8]>, Vec<u8>), StoreError>> {
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        options.set_readahead_size(READAHEAD_BYTES);
        let pairs = self.db.iterator_cf_opt(self.family(name), options, IteratorMode::Start);
        pairs.map(|pair| pair.map(|(key, value)| (key, value.into_vec())).map_err(StoreError::from))
    }

    fn items(&self, name: &'static str, numbers: Numbers) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut items = Vec::new();
        let mut expected = numbers.first;
        for pair in self.all(name) {
            let (key, item) = pair?;
            if *key != expected.to_be_bytes() {
                return Err(StoreError::Damaged(name));
            }
            items.push(item);
            expected += 1;
        }
        if expected == numbers.next { Ok(items) } else { Err(StoreError::Damaged(name)) }
    }
}

impl CheckpointStore for RocksStore {
    type Error = StoreError;

    fn load(&self) -> Result<Option<Restored>, StoreError> {
        let Some(held) = self.held.clone() else { return Ok(None) };
        let mut leaves = Vec::new();
        for pair in self.all(LEAVES) {
            let (key, value) = pair?;
            let key = (*key).try_into().map_err(|_| StoreError::Damaged(LEAVES))?;
            leaves.push((StateKey(key), value));
        }
        Ok(Some(Restored {
            block: held.block,
            entry: held.entry,
            leaves,
            records: self.items(RECORDS, held.records)?,
            outcomes: self.items(OUTCOMES, held.outcomes)?,
            in_hand: self.items(IN_HAND, held.in_hand)?,
        }))
    }

    fn store(&mut self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        self.take_over(checkpoint).map(drop)
    }
}

/// Adds items and forgets old ones; which are held then.
fn extend(batch: &mut WriteBatch, family: &ColumnFamily, held: Numbers, extension: &Extension) -> Numbers {
    let Extension { first, items, oldest } = extension;
    let held = if held.first == held.next { Numbers { first: *first, next: *first } } else { held };
    assert_eq!(held.next, *first, "a checkpoint continues the sequences of the one before");
    let next = first + items.len() as u64;
    let kept = Numbers { first: (*oldest).clamp(held.first, next), next };
    delete(batch, family, Numbers { first: held.first, next: kept.first.min(held.next) });
    for (number, item) in (*first..).zip(items).filter(|(number, _)| *number >= kept.first) {
        batch.put_cf(family, number.to_be_bytes(), item);
    }
    kept
}

/// Puts items in the place of those held.
fn replace(batch: &mut WriteBatch, family: &ColumnFamily, held: Numbers, items: &[Vec<u8>]) -> Numbers {
    delete(batch, family, held);
    for (number, item) in (0_u64..).zip(items) {
        batch.put_cf(family, number.to_be_bytes(), item);
    }
    Numbers { first: 0, next: items.len() as u64 }
}

fn delete(batch: &mut WriteBatch, family: &ColumnFamily, numbers: Numbers) {
    if numbers.first < numbers.next {
        batch.delete_range_cf(family, numbers.first.to_be_bytes(), numbers.next.to_be_bytes());
    }
}

fn family<'a>(db: &'a DB, name: &str) -> &'a ColumnFamily {
    db.cf_handle(name).expect("a database is opened with all its column families")
}

fn database_options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_paranoid_checks(true);
    // A batch that was being written when the power failed is dropped, and the last checkpoint is what it was before. If
    // more than that is lost, the log of the worker begins behind the checkpoint or the state root differs, and the
    // worker says so.
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    options.set_max_total_wal_size(WAL_BYTES_MAX);
    options.set_db_write_buffer_size(WRITE_BUFFERS_BYTES);
    options.set_max_background_jobs(BACKGROUND_JOBS);
    options.set_max_open_files(OPEN_FILES_MAX);
    options.set_bytes_per_sync(BYTES_PER_SYNC);
    options.set_stats_dump_period_sec(0);
    // Warnings stand where all others do, and no log file is begun, also in a database that is only read.
    let logger = InfoLogger::new_callback_logger(LogLevel::Warn, |level, line| match level {
        LogLevel::Error | LogLevel::Fatal => tracing::error!(line, "checkpoint store"),
        _ => tracing::warn!(line, "checkpoint store"),
    });
    options.set_info_logger(logger);
    options
}

fn families() -> impl Iterator<Item = ColumnFamilyDescriptor> {
    let large = [LEAVES, RECORDS, OUTCOMES, IN_HAND].map(|name| (name, WRITE_BUFFER_BYTES));
    large.into_iter().chain([(META, META_BUFFER_BYTES)]).map(|(name, write_buffer)| {
        let mut table = BlockBasedOptions::default();
        table.set_block_size(BLOCK_BYTES);
        // Everything is read once, at the start, in order: nothing to cache, nothing to filter.
        table.disable_cache();
        let mut options = Options::default();
        options.set_block_based_table_factory(&table);
        options.set_write_buffer_size(write_buffer);
        options.set_level_compaction_dynamic_level_bytes(true);
        // Hashes and signatures do not compress.
        options.set_compression_type(DBCompressionType::None);
        ColumnFamilyDescriptor::new(name, options)
    })
}

const LEAVES: &str = "leaves";
const RECORDS: &str = "records";
const OUTCOMES: &str = "outcomes";
const IN_HAND: &str = "in_hand";
const META: &str = "meta";
const META_KEY: &[u8] = b"checkpoint";

/// Of the layout of keys and values.
const VERSION: u32 = 1;

/// A file that every database has.
const DATABASE_MARK: &str = "CURRENT";

/// Of a column family; together the column families use at most [`WRITE_BUFFERS_BYTES`] of memory.
const WRITE_BUFFER_BYTES: usize = 32 << 20;
const META_BUFFER_BYTES: usize = 1 << 20;
const WRITE_BUFFERS_BYTES: usize = 64 << 20;

/// Beyond this the oldest data is moved from the write-ahead log into tables.
const WAL_BYTES_MAX: u64 = 128 << 20;

/// One writes tables while another merges them.
const BACKGROUND_JOBS: i32 = 2;

const OPEN_FILES_MAX: i32 = 256;
const BLOCK_BYTES: usize = 16 << 10;
const READAHEAD_BYTES: usize = 2 << 20;

/// Written tables reach the disk as they grow, so that a sync of a log never waits for a whole one.
const BYTES_PER_SYNC: u64 = 1 << 20;

#[cfg(test)]
mod tests;
