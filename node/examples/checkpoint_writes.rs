//! How a checkpoint best gets into RocksDB: one batch, batches with and without the write-ahead log, another memtable, or
//! tables written aside and ingested. For the first checkpoint of a million leaves, and for one that changes some of them.
//!
//!     cargo run --release -p fresnel-node --example checkpoint_writes [LEAVES] [ROUNDS]
//!
//! The ways take turns, and medians are printed: wall time until the data is durable, CPU time of the whole process for
//! it and for what the database does afterwards in the background, bytes on the disk, and the time to read all of it after
//! it was opened again.

#![expect(clippy::disallowed_methods, reason = "it measures time")]

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use rocksdb::{
    BlockBasedOptions, DB, DBCompressionType, IngestExternalFileOptions, IteratorMode, MemtableFactory,
    Options, SstFileWriter, WaitForCompactOptions, WriteBatch, WriteOptions,
};

/// How leaves are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    OneBatch,
    Batches,
    BatchesWithoutLog,
    BatchesIntoVector,
    Ingest,
}

const WAYS: [Way; 5] =
    [Way::OneBatch, Way::Batches, Way::BatchesWithoutLog, Way::BatchesIntoVector, Way::Ingest];

/// As the store has it.
const BATCH_BYTES: usize = 16 << 20;

/// Of an account.
const VALUE_BYTES: usize = 24;

struct Measured {
    wall: Duration,
    cpu: Duration,
    bytes: u64,
    read: Duration,
}

fn options(way: Way) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_size(16 << 10);
    table.disable_cache();
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_block_based_table_factory(&table);
    options.set_write_buffer_size(16 << 20);
    options.set_level_compaction_dynamic_level_bytes(true);
    options.set_compression_type(DBCompressionType::None);
    options.set_max_background_jobs(2);
    options.set_bytes_per_sync(1 << 20);
    if way == Way::BatchesIntoVector {
        options.set_memtable_factory(MemtableFactory::Vector);
        options.set_allow_concurrent_memtable_write(false);
    }
    options
}

/// A leaf; `round` tells old values from new.
fn leaf(number: u64, round: u8) -> ([u8; 32], [u8; VALUE_BYTES]) {
    let mut key = [0; 32];
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for (place, part) in key.chunks_mut(8).enumerate() {
        let part_bytes =
            mixed.rotate_left(place as u32 * 16).wrapping_mul(2 * place as u64 + 1).to_be_bytes();
        part.copy_from_slice(&part_bytes);
    }
    (key, [round ^ number as u8; VALUE_BYTES])
}

fn leaves(count: u64, every: u64, round: u8) -> Vec<([u8; 32], [u8; VALUE_BYTES])> {
    let mut leaves: Vec<_> = (0..count).step_by(every as usize).map(|number| leaf(number, round)).collect();
    leaves.sort_unstable();
    leaves
}

/// Writes leaves durably, and last a mark that they are.
fn write(
    db: &DB,
    way: Way,
    folder: &Path,
    leaves: &[([u8; 32], [u8; VALUE_BYTES])],
) -> Result<(), rocksdb::Error> {
    let mut plain = WriteOptions::default();
    plain.disable_wal(way == Way::BatchesWithoutLog);
    if way == Way::Ingest {
        let options = options(way);
        let mut writer = SstFileWriter::create(&options);
        let file = folder.join("ingested.sst");
        writer.open(&file)?;
        leaves.iter().try_for_each(|(key, value)| writer.put(key, value))?;
        writer.finish()?;
        let mut how = IngestExternalFileOptions::default();
        how.set_move_files(true);
        db.ingest_external_file_opts(&how, vec![file])?;
    } else {
        let mut batch = WriteBatch::default();
        for (key, value) in leaves {
            batch.put(key, value);
            if way != Way::OneBatch && batch.size_in_bytes() >= BATCH_BYTES {
                db.write_opt(std::mem::take(&mut batch), &plain)?;
            }
        }
        db.write_opt(batch, &plain)?;
        if way == Way::BatchesWithoutLog {
            db.flush()?;
        }
    }
    let mut synced = WriteOptions::default();
    synced.set_sync(true);
    db.put_opt(b"mark", b"", &synced)
}

fn measure(way: Way, count: u64, every: Option<u64>) -> Result<Measured, Box<dyn std::error::Error>> {
    let parent = tempfile::tempdir_in(".")?;
    let folder = parent.path().join("db");
    let db = DB::open(&options(way), &folder)?;
    let first = leaves(count, 1, 0);
    if every.is_some() {
        write(&db, way, parent.path(), &first)?;
        db.wait_for_compact(&WaitForCompactOptions::default())?;
    }
    let changes = every.map_or(first, |every| leaves(count, every, 1));
    let (started, cpu) = (Instant::now(), cpu_time());
    write(&db, way, parent.path(), &changes)?;
    let wall = started.elapsed();
    // What follows in the background belongs to the cost.
    db.flush()?;
    db.wait_for_compact(&WaitForCompactOptions::default())?;
    let cpu = cpu_time() - cpu;
    drop(db);
    let bytes =
        fs::read_dir(&folder)?.map(|entry| Ok(entry?.metadata()?.len())).sum::<std::io::Result<u64>>()?;
    let started = Instant::now();
    let db = DB::open(&options(way), &folder)?;
    let read = db.iterator(IteratorMode::Start).try_fold(0_u64, |count, pair| pair.map(|_| count + 1))?;
    assert_eq!(read, count + 1, "every leaf and the mark");
    Ok(Measured { wall, cpu, bytes, read: started.elapsed() })
}

/// Of this process, all threads, to a hundredth of a second.
fn cpu_time() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(") ").next().unwrap_or_default();
    let ticks: u64 =
        after_name.split(' ').skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u64>());
    let count = arguments.next().transpose()?.unwrap_or(1_000_000);
    let rounds = arguments.next().transpose()?.unwrap_or(3);
    println!("| leaves | way | durable after ms | CPU ms | MB on disk | open and read ms |");
    println!("|---|---|---|---|---|---|");
    for (what, every) in
        [("first, all", None), ("a tenth changed", Some(10)), ("one in fifty changed", Some(50))]
    {
        let mut all: Vec<(Way, Vec<Measured>)> = WAYS.map(|way| (way, Vec::new())).into();
        for _ in 0..rounds {
            for (way, measured) in &mut all {
                measured.push(measure(*way, count, every)?);
            }
        }
        for (way, measured) in all {
            let of = |value: &dyn Fn(&Measured) -> f64| median(measured.iter().map(value).collect());
            println!(
                "| {what} of {count} | {way:?} | {:.0} | {:.0} | {:.1} | {:.0} |",
                of(&|one| one.wall.as_secs_f64() * 1e3),
                of(&|one| one.cpu.as_secs_f64() * 1e3),
                of(&|one| one.bytes as f64 / 1e6),
                of(&|one| one.read.as_secs_f64() * 1e3),
            );
        }
    }
    Ok(())
}
