//! Snapshots as files: made of a stopped process' checkpoint, checked with nothing but the genesis, and turned into the
//! checkpoint of a worker that has none. `fresnel_state::snapshot` says what they hold and when to believe them.
//!
//! A folder holds `manifest`, which is written last, `chunk-000000` and so on, and `part-000000` and so on.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use fresnel_crypto::{Verifier, hash};
use fresnel_state::snapshot::{
    Assembly, ChunkError, ListedChunk, ListedPart, Manifest, ManifestError, Part, Sequence, cut, groups,
};
use fresnel_types::{
    Attestation, AuthorityIndex, BlockIndex, Genesis, LogEntry, Record, ShardId, decode,
    frame::Role,
    proof::{AttestingVertex, SignedAttestation},
    verify::Rules,
};
use serde::Serialize;

use crate::{
    DataError, Identity, NodeError, StoreError,
    checkpoints::{Restoring, folders},
    data::{DataDirectory, replace},
    disk::{make_folder, sync_folder},
    replay::{checkpoint, read_log, replay_log},
    roles,
    verify_data::worker_config,
};

/// What a snapshot is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SnapshotReport {
    /// Whose worker it was taken from.
    pub authority: AuthorityIndex,
    /// The shard.
    pub shard: ShardId,
    /// The block after which it was taken.
    pub block: BlockIndex,
    /// The digest of the certified record.
    pub record: fresnel_types::RecordDigest,
    /// How many authorities attested it.
    pub attested: usize,
    /// How many leaves.
    pub leaves: u64,
    /// How many chunks.
    pub chunks: usize,
    /// How many parts.
    pub parts: usize,
    /// Bytes of all files.
    pub bytes: u64,
}

/// Why there is no snapshot, or why one is refused.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// A file cannot be read or written.
    #[error("{path} cannot be used", path = .0.display())]
    File(PathBuf, #[source] io::Error),
    /// The operating system gives no randomness.
    #[error("the operating system gives no randomness")]
    Randomness(#[source] io::Error),
    /// What is in the data directory cannot be used.
    #[error("the data directory cannot be used")]
    Node(#[from] NodeError),
    /// The data directory cannot be used.
    #[error("the data directory cannot be used")]
    Data(#[from] DataError),
    /// The worker has stored no checkpoint yet.
    #[error("{0} has no checkpoint yet")]
    NoCheckpoint(String),
    /// The beacon's log has too few attestations of the record.
    #[error(
        "the log of the beacon holds attestations of block {block} from {found} authorities, which is no quorum; is it \
         that of the same authority?"
    )]
    Attestations {
        /// Of the checkpoint.
        block: BlockIndex,
        /// How many attested it.
        found: usize,
    },
    /// The manifest does not hold.
    #[error("the manifest is refused")]
    Manifest(#[from] ManifestError),
    /// A chunk does not hold.
    #[error("chunk {0} is refused")]
    Chunk(usize, #[source] ChunkError),
    /// A part is not the one that the manifest names.
    #[error("part {0} is not the one that the manifest names")]
    Part(usize),
    /// Something else is where the snapshot should go.
    #[error("{path} holds something else already", path = .0.display())]
    Occupied(PathBuf),
    /// The database fails.
    #[error("the checkpoint cannot be written")]
    Store(#[from] StoreError),
}

/// Makes a snapshot of the newest checkpoint of a worker in the data directory of a stopped process, in the folder `to`,
/// which must be new or empty. What certifies it is taken from the beacon's log in `beacon_data`, or in the same directory.
///
/// # Errors
/// When a directory cannot be used, the worker has no checkpoint, or the beacon's log does not certify it.
pub fn create_snapshot(
    path: &Path,
    genesis: &Genesis,
    shard: ShardId,
    to: &Path,
    beacon_data: Option<&Path>,
) -> Result<SnapshotReport, SnapshotError> {
    let chain = genesis.chain();
    let (data, authority) = DataDirectory::open_existing(path, chain)?;
    let name = roles::name(Role::Worker(shard));
    let restored = checkpoint(&name, &data)?.ok_or_else(|| SnapshotError::NoCheckpoint(name.clone()))?;
    let malformed = || NodeError::Checkpoints(name.clone(), StoreError::Damaged("its last record"));
    let record =
        restored.records.last().and_then(|record| decode::<Record>(record).ok()).ok_or_else(malformed)?;
    let attested = match beacon_data {
        Some(path) => attestations(&DataDirectory::open_existing(path, chain)?.0, genesis, &record)?,
        None => attestations(&data, genesis, &record)?,
    };

    let io = |error| SnapshotError::File(to.to_owned(), error);
    make_folder(to).map_err(io)?;
    if fs::read_dir(to).map_err(io)?.next().is_some() {
        return Err(SnapshotError::Occupied(to.to_owned()));
    }
    let (pieces, root) = cut(&restored.leaves, genesis.shards, shard, CHUNK_BYTES);
    if root != record.state {
        let damaged = StoreError::Damaged("the leaves are not those of the last record");
        return Err(NodeError::Checkpoints(name.clone(), damaged).into());
    }
    let mut chunks = Vec::with_capacity(pieces.len());
    for (number, piece) in pieces.iter().enumerate() {
        let bytes = piece.chunk(&restored.leaves).to_bytes();
        write(&chunk_file(to, number), &bytes)?;
        let (prefix, leaves) = (piece.prefix, piece.range.len() as u64);
        chunks.push(ListedChunk { prefix, leaves, hash: hash::leaf(&bytes) });
    }
    let next = record.position + 1;
    let sequences = [
        (Sequence::Records, next, restored.records),
        (Sequence::Outcomes, next, restored.outcomes),
        (Sequence::InHand, restored.in_hand.len() as u64, restored.in_hand),
    ];
    let mut parts = Vec::new();
    for (sequence, next, items) in sequences {
        let mut first = next.checked_sub(items.len() as u64).ok_or_else(malformed)?;
        for items in groups(items, CHUNK_BYTES) {
            let count = items.len() as u64;
            let bytes = Part { sequence, items }.to_bytes();
            write(&part_file(to, parts.len()), &bytes)?;
            parts.push(ListedPart { sequence, first, count, hash: hash::leaf(&bytes) });
            first += count;
        }
    }
    let manifest = Manifest { chain, authority, record, later: None, attested, chunks, parts };
    manifest.verify(genesis, &mut verifier()?)?;
    sync_folder(to).map_err(io)?;
    replace(&to.join(MANIFEST), &manifest.to_bytes()).map_err(io)?;
    report(&manifest, to)
}

/// Checks every file of a snapshot.
///
/// # Errors
/// The first one that does not hold.
pub fn verify_snapshot(folder: &Path, genesis: &Genesis) -> Result<SnapshotReport, SnapshotError> {
    let mut assembly = assembly(folder, genesis)?;
    for number in 0..assembly.manifest().chunks.len() {
        let bytes = read(&chunk_file(folder, number))?;
        assembly.accept(number, &bytes).map_err(|error| SnapshotError::Chunk(number, error))?;
    }
    for number in 0..assembly.manifest().parts.len() {
        part(folder, assembly.manifest(), number)?;
    }
    report(assembly.manifest(), folder)
}

/// Makes a snapshot the checkpoint of the worker that it was taken from, in a data directory where that worker has kept
/// nothing. When this is interrupted, the same call goes on with it.
///
/// # Errors
/// When a file does not hold, when the worker has kept something there, or when what comes out restores no worker.
pub fn restore_snapshot(folder: &Path, genesis: Genesis, to: &Path) -> Result<SnapshotReport, SnapshotError> {
    let mut assembly = assembly(folder, &genesis)?;
    let manifest = assembly.manifest().clone();
    let identity = Identity { chain: manifest.chain, authority: manifest.authority };
    let data = DataDirectory::open(to, &identity)?;
    let shard = manifest.record.shard;
    let name = roles::name(Role::Worker(shard));
    let log = data.log(&name);
    make_folder(&log).map_err(|error| SnapshotError::File(log.clone(), error))?;
    if fs::read_dir(&log).map_err(|error| SnapshotError::File(log.clone(), error))?.next().is_some() {
        return Err(SnapshotError::Occupied(log));
    }
    let [database, other] = folders(&data.checkpoints(&name))?;
    if other.exists() {
        return Err(SnapshotError::Occupied(other));
    }
    make_folder(&database).map_err(|error| SnapshotError::File(database.clone(), error))?;
    let snapshot = hash::leaf(&manifest.to_bytes());
    let restoring = Restoring::open(&database, snapshot)?;
    let mut restoring = restoring.ok_or_else(|| SnapshotError::Occupied(database.clone()))?;
    let chunks = manifest.chunks.len();
    for step in restoring.done() as usize..chunks + manifest.parts.len() {
        if let Some(number) = step.checked_sub(chunks) {
            let part = part(folder, &manifest, number)?;
            restoring.items(part.sequence, manifest.parts[number].first, &part.items)?;
        } else {
            let bytes = read(&chunk_file(folder, step))?;
            let chunk = assembly.accept(step, &bytes).map_err(|error| SnapshotError::Chunk(step, error))?;
            restoring.leaves(&chunk.leaves)?;
        }
    }
    restoring.finish(manifest.record.block, |sequence| manifest.numbers(sequence))?;

    let rules = Arc::new(Rules::of(&genesis));
    let config = worker_config(manifest.authority, shard, &Arc::new(genesis), &rules);
    replay_log(config, checkpoint(&name, &data)?, read_log(&name, &data)?)?;
    report(&manifest, folder)
}

fn assembly(folder: &Path, genesis: &Genesis) -> Result<Assembly, SnapshotError> {
    let manifest = Manifest::from_bytes(&read(&folder.join(MANIFEST))?)?;
    Ok(Assembly::new(manifest, genesis, &mut verifier()?)?)
}

fn part(folder: &Path, manifest: &Manifest, number: usize) -> Result<Part, SnapshotError> {
    let bytes = read(&part_file(folder, number))?;
    Part::from_bytes(&bytes, &manifest.parts[number]).ok_or(SnapshotError::Part(number))
}

/// What a quorum attested, from the log of a beacon: the first attestations that suffice.
fn attestations(
    data: &DataDirectory,
    genesis: &Genesis,
    record: &Record,
) -> Result<Vec<SignedAttestation>, SnapshotError> {
    let attestation = Attestation { shard: record.shard, block: record.block, record: record.digest() };
    let committee = genesis.committee();
    let mut found = BTreeMap::new();
    for entry in read_log(&roles::name(Role::Beacon), data)?.entries.entries {
        let LogEntry::Vertex(signed) = entry else { continue };
        let author = signed.vertex.head.author;
        let attested = AttestingVertex::of(&signed);
        if let Some(attested) = attested.and_then(|vertex| SignedAttestation::of(&vertex, &attestation)) {
            found.entry(author).or_insert(attested);
            if committee.is_quorum(&found.keys().copied().collect()) {
                return Ok(found.into_values().collect());
            }
        }
    }
    Err(SnapshotError::Attestations { block: record.block, found: found.len() })
}

fn report(manifest: &Manifest, folder: &Path) -> Result<SnapshotReport, SnapshotError> {
    let length = |path: PathBuf| fs::metadata(&path).map(|file| file.len()).map_err(|error| (path, error));
    let chunks = (0..manifest.chunks.len()).map(|number| chunk_file(folder, number));
    let parts = (0..manifest.parts.len()).map(|number| part_file(folder, number));
    let files = chunks.chain(parts).chain([folder.join(MANIFEST)]);
    let bytes: Result<u64, _> = files.map(length).sum();
    Ok(SnapshotReport {
        authority: manifest.authority,
        shard: manifest.record.shard,
        block: manifest.record.block,
        record: manifest.record.digest(),
        attested: manifest.attested.len(),
        leaves: manifest.chunks.iter().map(|chunk| chunk.leaves).sum(),
        chunks: manifest.chunks.len(),
        parts: manifest.parts.len(),
        bytes: bytes.map_err(|(path, error)| SnapshotError::File(path, error))?,
    })
}

fn chunk_file(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("chunk-{number:06}"))
}

fn part_file(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("part-{number:06}"))
}

fn read(path: &Path) -> Result<Vec<u8>, SnapshotError> {
    fs::read(path).map_err(|error| SnapshotError::File(path.to_owned(), error))
}

/// Writes a new file, durably but for its name.
fn write(path: &Path, bytes: &[u8]) -> Result<(), SnapshotError> {
    let write = || {
        let mut file = File::create_new(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|error| SnapshotError::File(path.to_owned(), error))
}

fn verifier() -> Result<Verifier, SnapshotError> {
    Verifier::new().map_err(|error| SnapshotError::Randomness(io::Error::other(error)))
}

const MANIFEST: &str = "manifest";

/// About the bytes of a file: few enough for a frame between peers, and so many that hashing is all the work.
const CHUNK_BYTES: usize = 4 << 20;
