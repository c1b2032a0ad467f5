//! The common suite, and what is left when one of the two databases is damaged, lost, unfinished or given up.

use std::{cell::Cell, path::Path};

use fresnel_state::checkpoint::{Contents, suite};
use fresnel_types::{BlockIndex, EntryNumber, StateKey, WriteSet, checkpoint::Extension};

use super::*;

/// A checkpoint of 20 leaves, of which each one changes some.
pub(super) fn checkpoint(number: u64) -> Checkpoint {
    let extension =
        Extension { first: number, items: vec![vec![number as u8; 20]], oldest: number.saturating_sub(3) };
    let mut leaves = WriteSet::default();
    for key in (0..60_u64).filter(|key| number == 1 || (key + number).is_multiple_of(7)) {
        // One of them takes several blocks of a table.
        let value = [key as u8, number as u8].repeat(if number == 4 { 2 << 10 } else { 30 });
        leaves.push(StateKey([key as u8; 32]), (key % 3 != number % 3).then_some(&value));
    }
    Checkpoint {
        block: BlockIndex(number),
        entry: EntryNumber(10 * number),
        anew: false,
        leaves,
        records: extension.clone(),
        outcomes: extension,
        in_hand: vec![vec![number as u8; 50]; number as usize % 5],
    }
}

/// What a store must hold after the first `count` of these checkpoints.
pub(super) fn expected(count: u64) -> Option<Restored> {
    let mut contents = Contents::default();
    (1..=count).for_each(|number| contents.take_over(&checkpoint(number)));
    (count > 0).then(|| contents.restored())
}

pub(super) fn opened(folder: &Path) -> AlternatingStore {
    AlternatingStore::open(folder).expect("a store that opens")
}

/// A store of checkpoints up to `count`, closed.
fn stored(folder: &Path, count: u64) {
    let mut store = opened(folder);
    (1..=count).for_each(|number| store.store(&checkpoint(number)).expect("room"));
}

/// Overwrites the middle of every file of a database whose name ends so.
fn damage(folder: &Path, ending: &str) {
    let paths = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut damaged = 0;
    for path in paths.filter(|path| path.to_str().is_some_and(|path| path.ends_with(ending))) {
        let mut bytes = fs::read(&path).expect("a file");
        if !bytes.is_empty() {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0x55;
            fs::write(path, bytes).expect("the same file");
            damaged += 1;
        }
    }
    assert!(damaged > 0, "no file of {} ends with {ending}", folder.display());
}

#[test]
fn it_passes_the_suite() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let stores = Cell::new(0);
    let fresh = || {
        stores.set(stores.get() + 1);
        opened(&folder.path().join(stores.get().to_string()))
    };
    let reopened = |store: AlternatingStore| {
        let path = store.folders[0].parent().expect("in a folder").to_owned();
        drop(store);
        opened(&path)
    };
    suite::run(fresh, reopened);
}

#[test]
fn the_one_before_is_there_when_the_newest_is_given_up() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for count in 1..6 {
        let path = folder.path().join(count.to_string());
        stored(&path, count);
        let mut store = opened(&path);
        assert_eq!(store.load().expect("a store"), expected(count));
        assert!(store.reject());
        assert_eq!(store.load().expect("a store"), expected(count - 1));
        // It goes on from there, and again has two.
        for number in count..count + 3 {
            store.store(&checkpoint(number)).expect("room");
            assert_eq!(store.load().expect("a store"), expected(number));
        }
        assert!(store.reject());
        assert_eq!(store.load().expect("a store"), expected(count + 1));
        assert!(store.reject());
        assert_eq!(store.load().expect("a store"), None);
        assert!(!store.reject(), "there is nothing left to give up");
    }
}

#[test]
fn damage_of_either_database_leaves_the_other() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // The fourth is in `b`, the third in `a`.
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 5] = [
        ("current", |side| fs::write(side.join("CURRENT"), "nonsense").expect("own folder")),
        ("manifest", |side| {
            let manifest = fs::read_dir(side).expect("a folder").map(|entry| entry.expect("an entry").path());
            let manifest =
                manifest.filter(|path| path.to_str().is_some_and(|path| path.contains("MANIFEST")));
            manifest.for_each(|path| fs::remove_file(path).expect("a file"));
        }),
        ("table", |side| damage(side, ".sst")),
        ("lost", |side| fs::remove_dir_all(side).expect("a folder")),
        ("mark", |side| {
            let store = RocksStore::open(side).expect("a database");
            store.mark_unfinished();
        }),
    ];
    for (name, damage) in damages {
        for (side, left) in [("a", 4), ("b", 3)] {
            let path = folder.path().join(name).join(side);
            stored(&path, 4);
            damage(&path.join(side));
            let mut store = opened(&path);
            let mut loaded = store.load();
            if loaded.as_ref().is_err_and(StoreError::is_damage) {
                assert!(store.reject());
                loaded = store.load();
            }
            assert_eq!(loaded.expect("the other is whole"), expected(left), "{name} of {side}");
            for number in left + 1..left + 4 {
                store.store(&checkpoint(number)).expect("room");
                assert_eq!(store.load().expect("a store"), expected(number), "{name} of {side}");
            }
            assert!(store.reject());
            assert_eq!(store.load().expect("a store"), expected(left + 2), "{name} of {side}");
        }
    }
}

#[test]
fn where_both_are_damaged_a_checkpoint_anew_is_the_first_and_the_first_layout_is_an_error() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    stored(folder.path(), 4);
    for side in NAMES {
        fs::write(folder.path().join(side).join("CURRENT"), "nonsense").expect("own folder");
    }
    let mut store = opened(folder.path());
    assert_eq!(store.load().expect("nothing to read"), None);
    let anew = Checkpoint { anew: true, ..checkpoint(9) };
    store.store(&anew).expect("room");
    store.store(&checkpoint(10)).expect("room");
    let mut contents = Contents::default();
    [anew, checkpoint(10)].iter().for_each(|checkpoint| contents.take_over(checkpoint));
    drop(store);
    assert_eq!(opened(folder.path()).load().expect("a store"), Some(contents.restored()));
    let folder = tempfile::tempdir().expect("a temporary folder");
    drop(RocksStore::open(folder.path()).expect("a new database"));
    let error = AlternatingStore::open(folder.path()).err().expect("the first layout");
    assert!(matches!(error, StoreError::Version(1)) && !error.is_damage());
}
