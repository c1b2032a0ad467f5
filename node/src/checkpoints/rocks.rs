//! One checkpoint in RocksDB: a database that is brought from a checkpoint to a later one by a table that is written beside
//! it, synced, and taken into it in one step. That costs a third of what batches do, of which every entry goes to a
//! write-ahead log, to a list in memory and then to a table; and it needs no memory however much changes. The database is
//! read as a whole when the worker starts; no transaction ever waits for it.

mod restoring;
mod table;

use std::{cmp::Ordering, io, iter, path::Path};

use fresnel_state::CheckpointStore;
use fresnel_types::{BlockIndex, Checkpoint, EntryNumber, StateKey, checkpoint::Restored, decode, encode};
use rocksdb::{
    BlockBasedOptions, DB, DBCompressionType, DBRecoveryMode, ErrorKind, InfoLogger, IteratorMode, LogLevel,
    Options, ReadOptions,
};
use table::Table;
use wincode::{SchemaRead, SchemaWrite};

pub(crate) use restoring::Restoring;

/// One checkpoint, and the way to the next.
pub(crate) struct RocksStore {
    db: DB,
    /// With which it was opened, for the tables that it takes in.
    options: Options,
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
        let options = options();
        reject_second_layout(&options, folder)?;
        Self::new(DB::open(&options, folder)?, options)
    }

    /// Opens the database in `folder` without changing anything in it; none if there is none.
    pub(crate) fn open_unaltered(folder: &Path) -> Result<Option<Self>, StoreError> {
        if !folder.join(DATABASE_MARK).exists() {
            return Ok(None);
        }
        let options = options();
        reject_second_layout(&options, folder)?;
        Self::new(DB::open_for_read_only(&options, folder, false)?, options).map(Some)
    }

    fn new(db: DB, options: Options) -> Result<Self, StoreError> {
        let holding = match db.get(key(META, META_KEY))? {
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
        Ok(Self { db, options, holding })
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

    /// Stores checkpoints, each on top of the one before, as if they were one: what several change is written once. Returns
    /// the bytes written. It is one step, which a loss of power takes back or leaves.
    pub(crate) fn take_over<'a>(
        &mut self,
        checkpoints: impl IntoIterator<Item = &'a Checkpoint>,
    ) -> Result<usize, StoreError> {
        let checkpoints: Vec<&Checkpoint> = checkpoints.into_iter().collect();
        let mut before = match &self.holding {
            Holding::Whole(held) => held.clone(),
            Holding::Nothing => Held::default(),
            Holding::Unfinished => return Err(StoreError::Damaged(UNFINISHED)),
        };
        let Some(last) = checkpoints.last() else { return Ok(0) };
        let generation = before.generation + checkpoints.len() as u64;
        let mut table = Table::begin(&self.db, &self.options)?;
        let anew = checkpoints.iter().rposition(|checkpoint| checkpoint.anew);
        let checkpoints = &checkpoints[anew.unwrap_or(0)..];
        if anew.is_some() {
            table.delete_everything()?;
            before = Held::default();
        }
        for (key, value) in changes(checkpoints) {
            match value {
                Some(value) => table.put(LEAVES, &key.0, value)?,
                None => table.delete(LEAVES, &key.0)?,
            }
        }
        let records = checkpoints.iter().map(|checkpoint| &checkpoint.records);
        let outcomes = checkpoints.iter().map(|checkpoint| &checkpoint.outcomes);
        let held = Held {
            generation,
            block: last.block,
            entry: last.entry,
            records: table.extend(RECORDS, before.records, records)?,
            outcomes: table.extend(OUTCOMES, before.outcomes, outcomes)?,
            in_hand: table.replace(IN_HAND, before.in_hand, &last.in_hand)?,
        };
        let bytes = table.finish(&held)?;
        self.holding = Holding::Whole(held);
        Ok(bytes)
    }

    /// Makes this hold what `other` holds, which must be a whole checkpoint, by writing what differs, in one step. Returns
    /// the bytes written.
    pub(crate) fn copy(&mut self, other: &Self) -> Result<usize, StoreError> {
        let held = other.held().ok_or(StoreError::Damaged(UNFINISHED))?.clone();
        let mut table = Table::begin(&self.db, &self.options)?;
        for family in FAMILIES {
            let (mut own, mut wanted) = (self.all(family), other.all(family));
            let (mut mine, mut theirs) = (own.next().transpose()?, wanted.next().transpose()?);
            loop {
                let order = match (&mine, &theirs) {
                    (None, None) => break,
                    (Some(_), None) => Ordering::Less,
                    (None, Some(_)) => Ordering::Greater,
                    (Some((mine, _)), Some((theirs, _))) => mine.cmp(theirs),
                };
                match (&mine, &theirs) {
                    (Some((key, _)), _) if order.is_lt() => table.delete(family, key)?,
                    (Some((_, old)), Some((_, new))) if order.is_eq() && old == new => {}
                    (_, Some((key, value))) => table.put(family, key, value)?,
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
        let bytes = table.finish(&held)?;
        self.holding = Holding::Whole(held);
        Ok(bytes)
    }

    /// Reads everything once, so that every checksum is compared.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        FAMILIES.iter().try_for_each(|family| self.all(*family).try_for_each(|pair| pair.map(drop)))
    }

    /// As a process leaves it that ends while it restores a snapshot.
    #[cfg(test)]
    pub(crate) fn mark_unfinished(&self) {
        self.db.put(key(META, META_KEY), description(None)).expect("room");
    }

    /// All that a family holds, ascending by key.
    fn all(&self, family: Family) -> impl Iterator<Item = Result<(Box<[u8]>, Vec<u8>), StoreError>> {
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        options.set_readahead_size(READAHEAD_BYTES);
        options.set_iterate_lower_bound([family.0]);
        options.set_iterate_upper_bound([family.0 + 1]);
        let pairs = self.db.iterator_opt(IteratorMode::Start, options);
        pairs.map(|pair| {
            pair.map(|(key, value)| (key[1..].into(), value.into_vec())).map_err(StoreError::from)
        })
    }

    fn items(&self, family: Family, numbers: Numbers) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut items = Vec::new();
        let mut expected = numbers.first;
        for pair in self.all(family) {
            let (key, item) = pair?;
            if *key != expected.to_be_bytes() {
                return Err(StoreError::Damaged(family.name()));
            }
            items.push(item);
            expected += 1;
        }
        if expected == numbers.next { Ok(items) } else { Err(StoreError::Damaged(family.name())) }
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
            let key = (*key).try_into().map_err(|_| StoreError::Damaged(LEAVES.name()))?;
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

/// What the keys of one kind of thing begin with. In a table they ascend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Family(u8);

impl Family {
    fn name(self) -> &'static str {
        match self {
            LEAVES => "leaves",
            RECORDS => "records",
            OUTCOMES => "outcomes",
            IN_HAND => "in_hand",
            _ => "meta",
        }
    }
}

fn key(family: Family, key: &[u8]) -> Vec<u8> {
    [&[family.0], key].concat()
}

/// What stands under [`META_KEY`]; nothing held is the mark of an unfinished checkpoint.
fn description(held: Option<&Held>) -> Vec<u8> {
    [VERSION.to_le_bytes().as_slice(), &encode(&held.cloned())].concat()
}

/// The changes of all of them together, ascending: for each leaf the last.
fn changes<'a>(checkpoints: &[&'a Checkpoint]) -> impl Iterator<Item = (&'a StateKey, Option<&'a [u8]>)> {
    let mut all: Vec<_> = checkpoints.iter().map(|checkpoint| checkpoint.leaves.iter().peekable()).collect();
    iter::from_fn(move || {
        let least = all.iter_mut().filter_map(|changes| changes.peek().map(|(key, _)| *key)).min()?;
        all.iter_mut().filter_map(|changes| changes.next_if(|(key, _)| *key == least)).last()
    })
}

/// The second layout had a column family for each kind of thing.
fn reject_second_layout(options: &Options, folder: &Path) -> Result<(), StoreError> {
    // What cannot be listed cannot be opened either, and that says why.
    let families = DB::list_cf(options, folder).unwrap_or_default();
    if families.len() > 1 { Err(StoreError::Version(2)) } else { Ok(()) }
}

fn options() -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_size(BLOCK_BYTES);
    // Everything is read once, at the start, in order: nothing to cache, nothing to filter.
    table.disable_cache();
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_paranoid_checks(true);
    // Only a restoring writes to it, step by step. A step that was being written when the power failed is dropped.
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    options.set_max_total_wal_size(WAL_BYTES_MAX);
    options.set_write_buffer_size(WRITE_BUFFER_BYTES);
    options.set_block_based_table_factory(&table);
    options.set_level_compaction_dynamic_level_bytes(true);
    // Hashes and signatures do not compress.
    options.set_compression_type(DBCompressionType::None);
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

const FAMILIES: [Family; 4] = [LEAVES, RECORDS, OUTCOMES, IN_HAND];
const LEAVES: Family = Family(1);
const RECORDS: Family = Family(2);
const OUTCOMES: Family = Family(3);
const IN_HAND: Family = Family(4);
const META: Family = Family(5);
const META_KEY: &[u8] = b"checkpoint";

/// Of the layout of keys and values.
const VERSION: u32 = 3;

/// Why a database that was being written is not to be read.
const UNFINISHED: &str = "the writing of a checkpoint did not end";

/// A file that every database has.
pub(super) const DATABASE_MARK: &str = "CURRENT";

/// Of what a restoring writes.
const WRITE_BUFFER_BYTES: usize = 16 << 20;

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
