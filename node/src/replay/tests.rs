//! Logs written by hand: one authority, one shard, one payment in block 1.

use std::path::PathBuf;

use fresnel_crypto::SigningKey;
use fresnel_types::{
    Action, Address, Amount, Authority, Batch, Close, CommitIndex, LogDigest, Nonce, Order, OrderedBatch,
    PublicKey, Round, Shards, SignedTransaction, Timestamp, Transaction, genesis::Allocation,
};
use tempfile::TempDir;

use super::*;
use crate::data::Identity;

const AUTHORITY: AuthorityIndex = AuthorityIndex(0);
const SHARD: ShardId = ShardId(0);

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn genesis() -> Genesis {
    Genesis {
        protocol: fresnel_types::limits::PROTOCOL_VERSION,
        name: "replayed".to_owned(),
        shards: Shards::new(1).expect("a power of two"),
        parameters: Default::default(),
        authorities: vec![Authority {
            name: "a".to_owned(),
            stake: 1,
            consensus_key: PublicKey::of(&key(1)),
            network_keys: vec![PublicKey::of(&key(2))],
        }],
        accounts: vec![Allocation { address: PublicKey::of(&key(3)).address(), amount: Amount(1_000) }],
    }
}

fn payment() -> SignedTransaction {
    Transaction {
        chain: genesis().chain(),
        sender: PublicKey::of(&key(3)),
        nonce: Nonce(0),
        fee: Amount(1),
        valid_until: Timestamp(1_000),
        action: Action::Transfer { recipient: Address([7; 32]), amount: Amount(500) },
    }
    .sign(&key(3))
}

/// The order of a commit that closes the block of the same number.
fn order(commit: u64, batches: Vec<OrderedBatch>, certified: Certified) -> LogEntry {
    let close = Close {
        block: BlockIndex(commit),
        time: Timestamp(commit),
        opened: Timestamp(commit - 1),
        log: LogDigest([commit as u8; 32]),
        certified: vec![Certified::default()],
        usable: vec![BlockIndex(0)],
    };
    let events = batches.into_iter().map(OrderEvent::Batch).chain([OrderEvent::Close(close)]).collect();
    LogEntry::Order(Order {
        shard: SHARD,
        commit: CommitIndex(commit),
        time: Timestamp(commit),
        floor: Round(0),
        events,
        certified: vec![certified],
        lag: 0,
    })
}

/// A data directory whose worker stored a payment in block 1 and then heard that `certified` is.
fn stored(certified: Option<Certified>) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("data");
    let identity = Identity { chain: genesis().chain(), authority: AUTHORITY };
    let data = DataDirectory::open(&path, &identity).expect("a new directory");
    let disk = crate::disk::FileDisk::open(&data.log("worker-0")).expect("a new folder");
    let (mut log, _) = Log::open(disk, Options { segment_bytes: 1 << 16 }).expect("a new log");
    let (bytes, batch) = Batch { author: AUTHORITY, shard: SHARD, transactions: vec![payment()] }.seal();
    let ordered = OrderedBatch { author: AUTHORITY, batch };
    let mut entries = vec![LogEntry::Batch(bytes), order(1, vec![ordered], Certified::default())];
    entries.extend(certified.map(|certified| order(2, vec![], certified)));
    entries.iter().for_each(|entry| log.append(entry).expect("room"));
    log.sync().expect("a disk");
    (folder, path)
}

fn certified(block: u64, record: RecordDigest) -> Certified {
    Certified { block: BlockIndex(block), record }
}

#[test]
fn what_was_certified_is_compared_with_what_comes_out() {
    let (_folder, path) = stored(None);
    let first = replay(&path, genesis(), 1).expect("a log").remove(0);
    assert_eq!((first.commit, first.closed, first.executed), (CommitIndex(1), BlockIndex(1), BlockIndex(1)));
    assert_eq!((first.records, first.transactions, first.compared), (1, 1, 0));
    assert_eq!(first.difference, None);
    let record = first.last_record.expect("a payment is input");

    let (_folder, path) = stored(Some(certified(1, record)));
    let same = replay(&path, genesis(), 1).expect("a log").remove(0);
    assert_eq!((same.closed, same.records, same.transactions), (BlockIndex(2), 1, 1));
    assert_eq!((same.compared, same.compared_up_to, same.difference), (1, BlockIndex(1), None));
    let one = replay(&path.join("log/worker-0"), genesis(), 1).expect("a worker's folder").remove(0);
    let same = Replayed { micros: 0, ..same };
    assert_eq!(Replayed { micros: 0, ..one }, same);
    let speculating = replay(&path, genesis(), 3).expect("a log").remove(0);
    assert_eq!(Replayed { micros: 0, ..speculating }, same, "on any number of threads");

    let foreign = RecordDigest([9; 32]);
    for (what, computed) in [(certified(1, foreign), Some(record)), (certified(2, foreign), None)] {
        let (_folder, path) = stored(Some(what));
        let other = replay(&path, genesis(), 1).expect("a log").remove(0);
        let expected = Difference { block: what.block, certified: Some(foreign), computed };
        assert_eq!(other.difference, Some(expected));
    }
}

/// A worker whose record is not the certified one gives up its state: what is wrong is exported, nothing is removed, and
/// from then on its log begins with the search for a state.
#[test]
fn what_differs_is_exported_before_the_state_is_given_up() {
    let (_folder, path) = stored(None);
    let sound = crate::rebuild(&path, genesis(), SHARD).expect("a log");
    assert_eq!((sound.commit, sound.diverged, sound.exported), (CommitIndex(2), None, None));
    let error = crate::rebuild(&path, genesis(), ShardId(1)).expect_err("no worker of this shard");
    assert!(matches!(error, NodeError::Data(DataError::Io(..))), "{error}");

    let foreign = RecordDigest([9; 32]);
    let (_folder, path) = stored(Some(certified(1, foreign)));
    let computed = replay(&path, genesis(), 1).expect("a log").remove(0).last_record.expect("a record");
    let rebuilt = crate::rebuild(&path, genesis(), SHARD).expect("a log");
    assert_eq!((rebuilt.commit, rebuilt.diverged), (CommitIndex(3), Some(BlockIndex(1))));
    let file = rebuilt.exported.expect("a file");
    let text = fs::read_to_string(file).expect("it was written");
    let exported: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(exported["certified"], serde_json::json!(foreign), "{exported:#}");
    assert_eq!(exported["digest"], serde_json::json!(computed), "{exported:#}");
    assert_eq!(exported["computed"]["block"], 1, "{exported:#}");
    assert_eq!(exported["batches"].as_array().map(Vec::len), Some(1), "{exported:#}");

    let (data, _) = DataDirectory::open_existing(&path, genesis().chain()).expect("the directory");
    let log = read_log("worker-0", &data).expect("a log").entries;
    assert_eq!(log.entries.len(), 4, "nothing was removed");
    let begin = LogEntry::Sync(fresnel_types::snapshot::SyncEntry::Begin(CommitIndex(3)));
    assert_eq!(log.entries.last(), Some(&begin));
    let config = crate::verify_data::worker_config(
        AUTHORITY,
        SHARD,
        &Arc::new(genesis()),
        &Arc::new(Rules::of(&genesis())),
    );
    let worker = Worker::open(config, None, log, Timestamp(9)).expect("a worker without a state");
    let status = worker.status();
    assert_eq!((status.executed, status.commit, status.diverged), (BlockIndex(0), CommitIndex(2), None));
}

#[test]
fn a_torn_tail_is_left_out_and_stays_in_the_file() {
    let (_folder, path) = stored(None);
    let segment = fs::read_dir(path.join("log/worker-0"))
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .find(|path| fs::read(path).is_ok_and(|bytes| bytes.iter().any(|byte| *byte != 0)))
        .expect("a segment");
    let mut bytes = fs::read(&segment).expect("a file");
    // Entries may end with zeros, and are shorter than a kilobyte.
    let behind = bytes.iter().rposition(|byte| *byte != 0).expect("entries") + 1_024;
    bytes[behind..behind + 100].fill(0xff);
    fs::write(&segment, &bytes).expect("own file");
    let replayed = replay(&path, genesis(), 1).expect("a log with a torn tail").remove(0);
    assert!(replayed.torn_bytes > 0 && replayed.records == 1, "{replayed:?}");
    assert!(fs::read(&segment).expect("a file") == bytes, "not a byte was altered");
}

#[test]
fn directories_in_use_foreign_or_absent_are_refused() {
    let (folder, path) = stored(None);
    let other = Genesis { name: "other".to_owned(), ..genesis() };
    let error = replay(&path, other, 1).expect_err("another chain");
    assert!(matches!(error, NodeError::Data(DataError::Foreign { .. })), "{error}");
    let error = replay(&folder.path().join("nothing"), genesis(), 1).expect_err("no directory");
    assert!(matches!(error, NodeError::Unreadable(..)), "{error}");
    let error = replay(folder.path(), genesis(), 1).expect_err("a folder of others");
    assert!(matches!(error, NodeError::Data(DataError::Io(..))), "{error}");
    assert!(fs::read_dir(folder.path()).expect("a folder").count() == 1, "nothing was made there");

    let identity = Identity { chain: genesis().chain(), authority: AUTHORITY };
    let _held = DataDirectory::open(&path, &identity).expect("its process");
    for path in [path.clone(), path.join("log/worker-0")] {
        let error = replay(&path, genesis(), 1).expect_err("in use");
        assert!(matches!(error, NodeError::Data(DataError::Locked(_))), "{error}");
    }
}
