//! Making a checkpoint of what a snapshot holds, step by step: every step is one synced batch that also says how many
//! steps are done, so what is interrupted goes on where it stopped. Until the last step the checkpoint is unfinished.

use std::path::Path;

use fresnel_state::snapshot::{Leaf, Sequence};
use fresnel_types::{BlockIndex, EntryNumber, decode, encode};
use rocksdb::{WriteBatch, WriteOptions};

use super::{
    Family, Held, Holding, IN_HAND, LEAVES, META, META_KEY, Numbers, OUTCOMES, RECORDS, RocksStore,
    StoreError, description, key,
};

/// A checkpoint that is being made of a snapshot.
pub(crate) struct Restoring {
    store: RocksStore,
    /// Says which one.
    snapshot: [u8; 32],
    done: u64,
}

impl Restoring {
    /// Begins, or goes on with what was begun with the same snapshot; none when the database in `folder` holds a
    /// checkpoint or something else that was begun.
    pub(crate) fn open(folder: &Path, snapshot: [u8; 32]) -> Result<Option<Self>, StoreError> {
        let store = RocksStore::open(folder)?;
        let progress = store.db.get(key(META, PROGRESS_KEY))?;
        let progress: Option<([u8; 32], u64)> = match progress {
            Some(bytes) => Some(decode(&bytes).map_err(|_| StoreError::Damaged("its progress"))?),
            None => None,
        };
        let done = match (&store.holding, progress) {
            (Holding::Nothing, _) => {
                // In one step with the mark, so that what was begun here is told from what a worker began.
                let mut batch = WriteBatch::default();
                batch.put(key(META, META_KEY), description(None));
                batch.put(key(META, PROGRESS_KEY), encode(&(snapshot, 0_u64)));
                write(&store, batch)?;
                0
            }
            (Holding::Unfinished, Some((begun, done))) if begun == snapshot => done,
            (Holding::Unfinished | Holding::Whole(_), _) => return Ok(None),
        };
        Ok(Some(Self { store, snapshot, done }))
    }

    /// How many steps are done.
    pub(crate) fn done(&self) -> u64 {
        self.done
    }

    /// The next step: leaves.
    pub(crate) fn leaves(&mut self, leaves: &[Leaf]) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        leaves.iter().for_each(|(place, value)| batch.put(key(LEAVES, &place.0), value));
        self.step(batch)
    }

    /// The next step: items of a sequence, numbered from `first` on.
    pub(crate) fn items(
        &mut self,
        sequence: Sequence,
        first: u64,
        items: &[Vec<u8>],
    ) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        let family = family(sequence);
        (first..).zip(items).for_each(|(number, item)| batch.put(key(family, &number.to_be_bytes()), item));
        self.step(batch)
    }

    fn step(&mut self, mut batch: WriteBatch) -> Result<(), StoreError> {
        batch.put(key(META, PROGRESS_KEY), encode(&(self.snapshot, self.done + 1)));
        write(&self.store, batch)?;
        self.done += 1;
        Ok(())
    }

    /// Makes it the checkpoint of `block`, with sequences of these numbers: from the first, below the last. The log of
    /// the worker begins behind it.
    pub(crate) fn finish(
        self,
        block: BlockIndex,
        numbers: impl Fn(Sequence) -> (u64, u64),
    ) -> Result<(), StoreError> {
        let numbers = |sequence| {
            let (first, next) = numbers(sequence);
            Numbers { first, next }
        };
        let held = Held {
            generation: 1,
            block,
            entry: EntryNumber(0),
            records: numbers(Sequence::Records),
            outcomes: numbers(Sequence::Outcomes),
            in_hand: numbers(Sequence::InHand),
        };
        let mut batch = WriteBatch::default();
        batch.delete(key(META, PROGRESS_KEY));
        batch.put(key(META, META_KEY), description(Some(&held)));
        write(&self.store, batch)
    }
}

fn write(store: &RocksStore, batch: WriteBatch) -> Result<(), StoreError> {
    let mut options = WriteOptions::default();
    options.set_sync(true);
    Ok(store.db.write_opt(batch, &options)?)
}

fn family(sequence: Sequence) -> Family {
    match sequence {
        Sequence::Records => RECORDS,
        Sequence::Outcomes => OUTCOMES,
        Sequence::InHand => IN_HAND,
    }
}

/// Beside the description of what is held.
const PROGRESS_KEY: &[u8] = b"restoring";
