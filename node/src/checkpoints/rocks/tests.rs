//! The common suite, what a read-only opening leaves behind, and damage.

use std::{cell::Cell, collections::BTreeMap, fs, path::PathBuf};

use fresnel_state::checkpoint::suite;
use fresnel_types::WriteSet;

use super::*;

fn checkpoint(number: u64) -> Checkpoint {
    let extension = Extension { first: number, items: vec![number.to_le_bytes().to_vec()], oldest: 0 };
    let mut leaves = WriteSet::default();
    leaves.push(StateKey([number as u8; 32]), Some(&[7; 100]));
    Checkpoint {
        block: BlockIndex(number),
        entry: EntryNumber(10 * number),
        anew: false,
        leaves,
        records: extension.clone(),
        outcomes: extension,
        in_hand: vec![vec![number as u8; 50]],
    }
}

/// Every file below `folder` with its contents.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let paths = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    paths.map(|path| (path.clone(), fs::read(path).expect("a file"))).collect()
}

#[test]
fn it_passes_the_suite() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let stores = Cell::new(0);
    let fresh = || {
        stores.set(stores.get() + 1);
        RocksStore::open(&folder.path().join(stores.get().to_string())).expect("a new database")
    };
    let reopened = |store: RocksStore| {
        let path = store.db.path().to_owned();
        drop(store);
        RocksStore::open(&path).expect("its own database")
    };
    suite::run(fresh, reopened);
}

#[test]
fn reading_alters_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("checkpoints");
    assert!(RocksStore::open_unaltered(&path).expect("nothing is no error").is_none());
    assert!(!path.exists());
    let mut store = RocksStore::open(&path).expect("a new database");
    (1..4).for_each(|number| store.store(&checkpoint(number)).expect("room"));
    let stored = store.load().expect("a database");
    drop(store);
    let before = contents(&path);
    let store = RocksStore::open_unaltered(&path).expect("a database").expect("it is there");
    assert_eq!(store.load().expect("a database"), stored);
    drop(store);
    assert!(contents(&path) == before, "{:?}", contents(&path).keys());
}

#[test]
fn a_batch_that_was_being_written_is_dropped() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("checkpoints");
    let mut store = RocksStore::open(&path).expect("a new database");
    store.store(&checkpoint(1)).expect("room");
    let wal = contents(&path).into_keys().find(|path| path.extension().is_some_and(|name| name == "log"));
    let wal = wal.expect("a write-ahead log");
    let first = fs::metadata(&wal).expect("a file").len();
    store.store(&checkpoint(2)).expect("room");
    // As the power would leave it: the files of a running process, the last batch torn.
    let torn = folder.path().join("torn");
    fs::create_dir(&torn).expect("a folder");
    for (file, bytes) in contents(&path) {
        let name = file.file_name().expect("a file");
        let end = if file == wal { first as usize + 60 } else { bytes.len() };
        fs::write(torn.join(name), &bytes[..end]).expect("a file");
    }
    drop(store);
    let mut store = RocksStore::open(&torn).expect("a database");
    let restored = store.load().expect("a database").expect("the first");
    assert_eq!((restored.block, restored.leaves.len()), (BlockIndex(1), 1));
    store.store(&checkpoint(2)).expect("it goes on from there");
    assert_eq!(store.load().expect("a database").expect("the second").records.len(), 2);
}

#[test]
fn items_that_are_missing_or_strange_are_damage() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    type Damage = fn(&RocksStore);
    let damages: [(&str, Damage); 5] = [
        ("lost", |store| store.db.delete_cf(store.family(RECORDS), 1_u64.to_be_bytes()).expect("room")),
        ("last", |store| store.db.delete_cf(store.family(IN_HAND), 0_u64.to_be_bytes()).expect("room")),
        ("more", |store| store.db.put_cf(store.family(OUTCOMES), 2_u64.to_be_bytes(), b"").expect("room")),
        ("name", |store| store.db.put_cf(store.family(OUTCOMES), b"x", b"").expect("room")),
        ("leaf", |store| store.db.put_cf(store.family(LEAVES), b"x", b"").expect("room")),
    ];
    for (name, damage) in damages {
        let mut store = RocksStore::open(&folder.path().join(name)).expect("a new database");
        store.store(&checkpoint(1)).expect("room");
        damage(&store);
        assert!(matches!(store.load(), Err(StoreError::Damaged(_))), "{name}");
    }
    let path = folder.path().join("version");
    let store = RocksStore::open(&path).expect("a new database");
    store.db.put_cf(store.family(META), META_KEY, 3_u32.to_le_bytes()).expect("room");
    drop(store);
    assert!(matches!(RocksStore::open(&path), Err(StoreError::Version(3))));
}
