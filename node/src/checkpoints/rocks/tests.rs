//! The common suite, what a read-only opening leaves behind, and damage.

use std::{cell::Cell, collections::BTreeMap, fs, path::PathBuf};

use fresnel_state::checkpoint::suite;
use fresnel_types::{WriteSet, checkpoint::Extension};

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
fn a_table_that_was_being_taken_in_is_dropped() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("checkpoints");
    let mut store = RocksStore::open(&path).expect("a new database");
    store.store(&checkpoint(1)).expect("room");
    let is_list = |path: &PathBuf| path.to_str().is_some_and(|path| path.contains("MANIFEST"));
    let list = contents(&path).into_keys().find(is_list).expect("a list of tables");
    let first = fs::metadata(&list).expect("a file").len();
    store.store(&checkpoint(2)).expect("room");
    // As the power would leave it: the files of a running process, the last line of the list torn.
    let torn = folder.path().join("torn");
    fs::create_dir(&torn).expect("a folder");
    for (file, bytes) in contents(&path) {
        let name = file.file_name().expect("a file");
        let end = if file == list { first as usize + 20 } else { bytes.len() };
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
fn a_table_that_was_taken_in_is_never_written_again() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut store = RocksStore::open(folder.path()).expect("a new database");
    store.store(&checkpoint(1)).expect("room");
    // A process that ended just then leaves the table under both of its names.
    let is_table = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "sst");
    let table = contents(folder.path()).into_keys().find(is_table).expect("a table");
    fs::hard_link(table, folder.path().join("taken-in.new")).expect("a second name");
    store.store(&checkpoint(2)).expect("room");
    drop(store);
    let store = RocksStore::open(folder.path()).expect("a database");
    assert_eq!(store.load().expect("a database").expect("the second").leaves.len(), 2);
}

#[test]
fn what_several_checkpoints_change_is_written_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let with_leaf = |number: u64, value: Option<&[u8]>| {
        let leaves = [(StateKey([1; 32]), value)].into_iter().collect();
        Checkpoint { leaves, ..checkpoint(number) }
    };
    let mut store = RocksStore::open(folder.path()).expect("a new database");
    let value = [7; 10_000];
    let checkpoints = [with_leaf(1, Some(&[6; 10_000])), with_leaf(2, None), with_leaf(3, Some(&value))];
    let bytes = store.take_over(&checkpoints).expect("room");
    assert!((10_000..11_000).contains(&bytes), "{bytes}");
    let restored = store.load().expect("a database").expect("the third");
    assert_eq!(restored.leaves, [(StateKey([1; 32]), value.to_vec())]);
    assert_eq!((restored.block, restored.records.len(), restored.in_hand.len()), (BlockIndex(3), 3, 1));
    let anew = Checkpoint { anew: true, ..checkpoint(9) };
    store.take_over(&[with_leaf(4, Some(&value)), anew]).expect("room");
    let restored = store.load().expect("a database").expect("the ninth");
    assert_eq!(restored.leaves, [(StateKey([9; 32]), vec![7; 100])], "what was before is gone");
    assert_eq!((restored.block, restored.records.len()), (BlockIndex(9), 1));
}

#[test]
fn items_that_are_missing_or_strange_are_damage() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    type Damage = fn(&RocksStore);
    let damages: [(&str, Damage); 5] = [
        ("lost", |store| store.db.delete(key(RECORDS, &1_u64.to_be_bytes())).expect("room")),
        ("last", |store| store.db.delete(key(IN_HAND, &0_u64.to_be_bytes())).expect("room")),
        ("more", |store| store.db.put(key(OUTCOMES, &2_u64.to_be_bytes()), b"").expect("room")),
        ("name", |store| store.db.put(key(OUTCOMES, b"x"), b"").expect("room")),
        ("leaf", |store| store.db.put(key(LEAVES, b"x"), b"").expect("room")),
    ];
    for (name, damage) in damages {
        let mut store = RocksStore::open(&folder.path().join(name)).expect("a new database");
        store.store(&checkpoint(1)).expect("room");
        damage(&store);
        assert!(matches!(store.load(), Err(StoreError::Damaged(_))), "{name}");
    }
}

#[test]
fn another_version_is_told_from_damage() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("later");
    let store = RocksStore::open(&path).expect("a new database");
    store.db.put(key(META, META_KEY), 4_u32.to_le_bytes()).expect("room");
    drop(store);
    assert!(matches!(RocksStore::open(&path), Err(StoreError::Version(4))));
    let path = folder.path().join("second layout");
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    drop(DB::open_cf(&options, &path, ["leaves", "meta"]).expect("a new database"));
    assert!(matches!(RocksStore::open(&path), Err(StoreError::Version(2))));
    assert!(matches!(RocksStore::open_unaltered(&path), Err(StoreError::Version(2))));
}
