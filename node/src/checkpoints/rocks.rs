//! One checkpoint in RocksDB: a database that is brought from a checkpoint to a later one in one synced batch, or, when
//! that would be a large one, in many between two marks. It is read as a whole when the worker starts; no transaction ever
//! waits for it.

mod restoring;

use std::{cmp::Ordering, io, path::Path};

use fresnel_state::CheckpointStore;
use fresnel_types::{
    BlockIndex, Checkpoint, EntryNumber, StateKey,
    checkpoint::{Extension, Restored},
    decode, encode,
};
use rocksdb::{
    BlockBasedOptions, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, DBRecoveryMode,
    ErrorKind, InfoLogger, IteratorMode, LogLevel, Options, ReadOptions, WriteBatch, WriteOptions,
};
use wincode::{SchemaRead, SchemaWrite};

pub(crate) use restoring::Restoring;

/// One checkpoint, and the way to the next.
pub(crate) struct RocksStore {
    db: DB,
    holding: Holding,
}

/// What a database holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Holding {
    /// No checkpoint was ever written.
    #[default]
    Nothing,
    /// The writing of a checkpoint was begun and not ended.
    Unfinished,
    /// A checkpoint.
    Whole(Held),
}

/// Why checkpoints cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database failed.
    #[error("the database failed")]
    Database(#[source] rocksdb::Error),
    /// There is no room for what it would write. What it held before, it still holds.
    #[error("no space is left for checkpoints")]
    Full(#[source] rocksdb::Error),
    /// Its folder cannot be made or removed.
    #[error("the folder of a checkpoint cannot be used")]
    Folder(#[source] io::Error),
    /// It does not hold what was stored.
    #[error("the checkpoint store is damaged: {0}")]
    Damaged(&'static str),
    /// It was written by another version of the code.
    #[error("the checkpoint store is of version {0}")]
    Version(u32),
}

impl From<rocksdb::Error> for StoreError {
    fn from(error: rocksdb::Error) -> Self {
        // RocksDB tells this kind of input or output error apart only in its words.
        if error.as_ref().contains("No space left on device") {
            Self::Full(error)
        } else {
            Self::Database(error)
        }
    }
}

impl StoreError {
    /// Whether this says that bytes of the database are lost or altered, so that it will never be readable again. Not so
    /// when the disk fails or is full, or when another version wrote it.
    pub(crate) fn is_damage(&self) -> bool {
        match self {
            Self::Damaged(_) => true,
            Self::Database(error) => match error.kind() {
                ErrorKind::Corruption | ErrorKind::InvalidArgument | ErrorKind::NotFound => true,
                ErrorKind::IOError => error.as_ref().contains("No such file"),
                _ => false,
            },
            Self::Full(_) | Self::Folder(_) | Self::Version(_) => false,
        }
    }
}

/// What is held besides leaves; with the mark of an unfinished one, all that `meta` says.
#[derive(Clone, Debug, Default, PartialEq, Eq, SchemaRead, SchemaWrite)]
struct Held {
    /// How many checkpoints were taken over until this one; tells which of two databases holds the later one.
    generation: u64,
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
        let holding = match db.get_cf(family(&db, META), META_KEY)? {
            None => Holding::Nothing,
            Some(bytes) => {
                let (version, held) = bytes.split_first_chunk().ok_or(StoreError::Damaged("no version"))?;
                match u32::from_le_bytes(*version) {
                    VERSION => match decode::<Option<Held>>(held) {
                        Ok(Some(held)) => Holding::Whole(held),
                        Ok(None) => Holding::Unfinished,
                        Err(_) => return Err(StoreError::Damaged("its description")),
                    },
                    other => return Err(StoreError::Version(other)),
                }
            }
        };
        Ok(Self { db, holding })
    }

    /// The block of the checkpoint, if there is a whole one.
    pub(crate) fn block(&self) -> Option<BlockIndex> {
        self.held().map(|held| held.block)
    }

    /// How many checkpoints led to the one that it holds; none without a whole one.
    pub(crate) fn generation(&self) -> Option<u64> {
        self.held().map(|held| held.generation)
    }

    /// Whether nothing was ever begun here.
    pub(crate) fn is_empty(&self) -> bool {
        self.holding == Holding::Nothing
    }

    fn held(&self) -> Option<&Held> {
        match &self.holding {
            Holding::Whole(held) => Some(held),
            Holding::Nothing | Holding::Unfinished => None,
        }
    }

    /// Stores checkpoints, each on top of the one before, as if they were one. Returns the bytes written. As long as those
    /// are few, the whole is one step that a loss of power takes back or leaves; beyond, what it interrupts is unfinished,
    /// and so is what fails.
    pub(crate) fn take_over<'a>(
        &mut self,
        checkpoints: impl IntoIterator<Item = &'a Checkpoint>,
    ) -> Result<usize, StoreError> {
        let mut held = match std::mem::replace(&mut self.holding, Holding::Unfinished) {
            Holding::Whole(held) => held,
            Holding::Nothing => Held::default(),
            Holding::Unfinished => return Err(StoreError::Damaged(UNFINISHED)),
        };
        let mut writer = Writer::new(&self.db);
        for Checkpoint { block, entry, anew, leaves, records, outcomes, in_hand } in checkpoints {
            if *anew {
                writer.delete_everything();
                held = Held { generation: held.generation, ..Held::default() };
            }
            for (key, value) in leaves.iter() {
                match value {
                    Some(value) => writer.put(LEAVES, &key.0, value)?,
                    None => writer.delete(LEAVES, &key.0)?,
                }
            }
            held = Held {
                generation: held.generation + 1,
                block: *block,
                entry: *entry,
                records: writer.extend(RECORDS, held.records, records)?,
                outcomes: writer.extend(OUTCOMES, held.outcomes, outcomes)?,
                in_hand: writer.replace(IN_HAND, held.in_hand, in_hand)?,
            };
        }
        let bytes = writer.finish(&held)?;
        self.holding = Holding::Whole(held);
        Ok(bytes)
    }

    /// Makes this hold what `other` holds, which must be a whole checkpoint, by writing what differs. Returns the bytes
    /// written.
    pub(crate) fn copy(&mut self, other: &Self) -> Result<usize, StoreError> {
        let held = other.held().ok_or(StoreError::Damaged(UNFINISHED))?.clone();
        self.holding = Holding::Unfinished;
        let mut writer = Writer::new(&self.db);
        for name in FAMILIES {
            let (mut own, mut wanted) = (self.all(name), other.all(name));
            let (mut mine, mut theirs) = (own.next().transpose()?, wanted.next().transpose()?);
            loop {
                let order = match (&mine, &theirs) {
                    (None, None) => break,
                    (Some(_), None) => Ordering::Less,
                    (None, Some(_)) => Ordering::Greater,
                    (Some((mine, _)), Some((theirs, _))) => mine.cmp(theirs),
                };
                match (&mine, &theirs) {
                    (Some((key, _)), _) if order.is_lt() => writer.delete(name, key)?,
                    (Some((_, old)), Some((_, new))) if order.is_eq() && old == new => {}
                    (_, Some((key, value))) => writer.put(name, key, value)?,
                    (_, None) => unreachable!("then the own key is the lesser"),
                }
                if order.is_le() {
                    mine = own.next().transpose()?;
                }
                if order.is_ge() {
                    theirs = wanted.next().transpose()?;
                }
            }
        }
        let bytes = writer.finish(&held)?;
        self.holding = Holding::Whole(held);
        Ok(bytes)
    }

    /// Reads everything once, so that every checksum is compared.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        FAMILIES.iter().try_for_each(|name| self.all(name).try_for_each(|pair| pair.map(drop)))
    }

    /// As a process leaves it that ends while it writes.
    #[cfg(test)]
    pub(crate) fn mark_unfinished(&self) {
        let mut writer = Writer::new(&self.db);
        writer.describe(None);
        writer.sync().expect("room");
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
        let held = match &self.holding {
            Holding::Nothing => return Ok(None),
            Holding::Unfinished => return Err(StoreError::Damaged(UNFINISHED)),
            Holding::Whole(held) => held.clone(),
        };
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
        self.take_over([checkpoint]).map(drop)
    }
}

/// What goes into the database: a single batch while that is small. The first batch that is full is preceded by a durable
/// mark that what follows is not finished, and the last one, synced, takes that mark away.
struct Writer<'a> {
    db: &'a DB,
    batch: WriteBatch,
    written: usize,
}

impl<'a> Writer<'a> {
    fn new(db: &'a DB) -> Self {
        Self { db, batch: WriteBatch::default(), written: 0 }
    }

    fn put(&mut self, name: &str, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.batch.put_cf(family(self.db, name), key, value);
        self.spill()
    }

    fn delete(&mut self, name: &str, key: &[u8]) -> Result<(), StoreError> {
        self.batch.delete_cf(family(self.db, name), key);
        self.spill()
    }

    fn delete_all(&mut self, name: &str, numbers: Numbers) {
        if numbers.first < numbers.next {
            let (first, next) = (numbers.first.to_be_bytes(), numbers.next.to_be_bytes());
            self.batch.delete_range_cf(family(self.db, name), first, next);
        }
    }

    /// Deletes whatever is held, of which no key is longer than that of a leaf.
    fn delete_everything(&mut self) {
        for name in FAMILIES {
            self.batch.delete_range_cf(family(self.db, name), [].as_slice(), &[0xff; KEY_BYTES_MAX + 1]);
        }
    }

    /// Adds items and forgets old ones; which are held then.
    fn extend(&mut self, name: &str, held: Numbers, extension: &Extension) -> Result<Numbers, StoreError> {
        let Extension { first, items, oldest } = extension;
        let held = if held.first == held.next { Numbers { first: *first, next: *first } } else { held };
        assert_eq!(held.next, *first, "a checkpoint continues the sequences of the one before");
        let next = first + items.len() as u64;
        let kept = Numbers { first: (*oldest).clamp(held.first, next), next };
        self.delete_all(name, Numbers { first: held.first, next: kept.first.min(held.next) });
        for (number, item) in (*first..).zip(items).filter(|(number, _)| *number >= kept.first) {
            self.put(name, &number.to_be_bytes(), item)?;
        }
        Ok(kept)
    }

    /// Puts items in the place of those held.
    fn replace(&mut self, name: &str, held: Numbers, items: &[Vec<u8>]) -> Result<Numbers, StoreError> {
        self.delete_all(name, held);
        for (number, item) in (0_u64..).zip(items) {
            self.put(name, &number.to_be_bytes(), item)?;
        }
        Ok(Numbers { first: 0, next: items.len() as u64 })
    }

    fn spill(&mut self) -> Result<(), StoreError> {
        if self.batch.size_in_bytes() < BATCH_BYTES {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.batch);
        if self.written == 0 {
            self.describe(None);
            self.sync()?;
        }
        self.written += batch.size_in_bytes();
        Ok(self.db.write(batch)?)
    }

    /// Returns the bytes written since the beginning.
    fn finish(mut self, held: &Held) -> Result<usize, StoreError> {
        self.describe(Some(held));
        self.sync()?;
        Ok(self.written)
    }

    fn describe(&mut self, held: Option<&Held>) {
        let description = [VERSION.to_le_bytes().as_slice(), &encode(&held.cloned())].concat();
        self.batch.put_cf(family(self.db, META), META_KEY, description);
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        let batch = std::mem::take(&mut self.batch);
        self.written += batch.size_in_bytes();
        let mut options = WriteOptions::default();
        options.set_sync(true);
        Ok(self.db.write_opt(batch, &options)?)
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
    // more than that is lost, the state root differs or the log of the worker begins behind the checkpoint, and the
    // other database is taken.
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
        // All options, at every opening.
        LogLevel::Header => {}
        _ => tracing::warn!(line, "checkpoint store"),
    });
    options.set_info_logger(logger);
    options
}

fn families() -> impl Iterator<Item = ColumnFamilyDescriptor> {
    let large = FAMILIES.map(|name| (name, WRITE_BUFFER_BYTES));
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

const FAMILIES: [&str; 4] = [LEAVES, RECORDS, OUTCOMES, IN_HAND];
const LEAVES: &str = "leaves";
const RECORDS: &str = "records";
const OUTCOMES: &str = "outcomes";
const IN_HAND: &str = "in_hand";

/// Of a key: those of leaves are the longest.
const KEY_BYTES_MAX: usize = 32;
const META: &str = "meta";
const META_KEY: &[u8] = b"checkpoint";

/// Of the layout of keys and values.
const VERSION: u32 = 2;

/// Why a database that was being written is not to be read.
const UNFINISHED: &str = "the writing of a checkpoint did not end";

/// What is gathered before it goes to the database: a checkpoint of a few seconds under load is less, all leaves of a
/// million accounts are ten times more and shall not be in memory twice.
pub(super) const BATCH_BYTES: usize = if cfg!(test) { 16 << 10 } else { 16 << 20 };

/// A file that every database has.
pub(super) const DATABASE_MARK: &str = "CURRENT";

/// Of a column family; together the column families use at most [`WRITE_BUFFERS_BYTES`] of memory.
const WRITE_BUFFER_BYTES: usize = 16 << 20;
const META_BUFFER_BYTES: usize = 1 << 20;
const WRITE_BUFFERS_BYTES: usize = 32 << 20;

/// Beyond this the oldest data is moved from the write-ahead log into tables.
const WAL_BYTES_MAX: u64 = 64 << 20;

/// One writes tables while another merges them.
const BACKGROUND_JOBS: i32 = 2;

const OPEN_FILES_MAX: i32 = 256;
const BLOCK_BYTES: usize = 16 << 10;
const READAHEAD_BYTES: usize = 2 << 20;

/// Written tables reach the disk as they grow, so that a sync of a log never waits for a whole one.
const BYTES_PER_SYNC: u64 = 1 << 20;

#[cfg(test)]
mod tests;
