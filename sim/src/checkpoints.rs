//! A worker's checkpoint store on a simulated disk: one file, written anew for each checkpoint beside the old one. Until
//! it is synced, a loss of power may tear it; then its checksum is wrong and the old one is still there.

use std::io;

use fresnel_log::Disk;
use fresnel_state::{CheckpointStore, checkpoint::Contents};
use fresnel_types::{BlockIndex, Checkpoint, EntryNumber, checkpoint::Restored, decode, encode};

use crate::disk::SimDisk;

/// The store of a running worker.
#[derive(Debug)]
pub(crate) struct SimStore {
    disk: SimDisk,
    /// The newest file and what it holds.
    stored: Option<(u64, Contents)>,
    /// The next one, written and not synced.
    begun: Option<(u64, Contents)>,
}

impl SimStore {
    /// Opens the store on `disk`: the newest file that is whole counts, others are removed.
    pub(crate) fn open(mut disk: SimDisk) -> io::Result<Self> {
        let mut numbers: Vec<u64> = disk.files()?.iter().filter_map(|file| number(file)).collect();
        numbers.sort_unstable();
        let mut stored = None;
        for number in numbers.into_iter().rev() {
            let file = name(number);
            let contents = if stored.is_none() { parse(&disk.read(&file)?) } else { None };
            match contents {
                Some(contents) => {
                    // Whole does not mean synced: the process may have ended before.
                    disk.sync(&file)?;
                    stored = Some((number, contents));
                }
                None => disk.remove(&file)?,
            }
        }
        Ok(Self { disk, stored, begun: None })
    }

    /// Writes a checkpoint. Until it is finished, it may be lost or torn, and the last one counts.
    pub(crate) fn begin(&mut self, checkpoint: &Checkpoint) -> io::Result<()> {
        let (number, mut contents) = self.stored.clone().unwrap_or_default();
        contents.take_over(checkpoint);
        let contents_bytes = encode(&contents);
        let bytes = [blake3::hash(&contents_bytes).as_bytes(), contents_bytes.as_slice()].concat();
        let file = name(number + 1);
        self.disk.create(&file, bytes.len() as u64)?;
        self.disk.write(&file, 0, &bytes)?;
        self.begun = Some((number + 1, contents));
        Ok(())
    }

    /// Makes what was begun durable and removes what it replaces. Returns its block.
    pub(crate) fn finish(&mut self) -> io::Result<BlockIndex> {
        let (number, contents) = self.begun.take().expect("finishing follows beginning");
        self.disk.sync(&name(number))?;
        let block = contents.block();
        if let Some((old, _)) = self.stored.replace((number, contents)) {
            self.disk.remove(&name(old))?;
        }
        Ok(block)
    }

    /// The first entry of the log that is needed beside what is stored.
    pub(crate) fn entry(&self) -> EntryNumber {
        self.stored.as_ref().map_or(EntryNumber(0), |(_, contents)| contents.entry())
    }

    /// The disk as it is.
    pub(crate) fn into_disk(self) -> SimDisk {
        self.disk
    }
}

impl CheckpointStore for SimStore {
    type Error = io::Error;

    fn load(&self) -> io::Result<Option<Restored>> {
        Ok(self.stored.clone().map(|(_, contents)| contents.restored()))
    }

    fn store(&mut self, checkpoint: &Checkpoint) -> io::Result<()> {
        self.begin(checkpoint)?;
        self.finish().map(drop)
    }
}

/// What a file holds, if it is whole.
fn parse(bytes: &[u8]) -> Option<Contents> {
    let (hash, contents) = bytes.split_at_checked(blake3::OUT_LEN)?;
    (blake3::hash(contents).as_bytes() == hash).then(|| decode(contents).expect("its hash is right"))
}

fn name(number: u64) -> String {
    format!("{PREFIX}{number}")
}

fn number(file: &str) -> Option<u64> {
    file.strip_prefix(PREFIX)?.parse().ok()
}

const PREFIX: &str = "checkpoint-";

#[cfg(test)]
mod tests {
    use fresnel_state::checkpoint::suite;
    use fresnel_types::checkpoint::Extension;

    use super::*;
    use crate::random::Random;

    fn disk(seed: u64) -> SimDisk {
        SimDisk::new(Random::new(seed, "checkpoints"))
    }

    fn open(disk: SimDisk) -> SimStore {
        SimStore::open(disk).expect("a disk that does not fail")
    }

    fn checkpoint(number: u64) -> Checkpoint {
        let extension = Extension { first: number, items: vec![vec![7; 3_000]], oldest: number };
        Checkpoint {
            block: BlockIndex(number),
            entry: EntryNumber(10 * number),
            anew: false,
            leaves: Default::default(),
            records: extension.clone(),
            outcomes: extension,
            in_hand: vec![number.to_le_bytes().to_vec()],
        }
    }

    #[test]
    fn it_passes_the_suite() {
        suite::run(|| open(disk(1)), |store| open(store.into_disk()));
    }

    #[test]
    fn a_loss_of_power_leaves_the_last_checkpoint_or_the_one_that_was_being_written() {
        let mut found = [0, 0];
        for seed in 0..60 {
            let mut store = open(disk(seed));
            store.store(&checkpoint(1)).expect("no fault");
            store.begin(&checkpoint(2)).expect("no fault");
            let mut disk = store.into_disk();
            disk.lose_power();
            let mut store = open(disk);
            let restored = store.load().expect("no fault").expect("the first was stored");
            found[usize::from(restored.block == BlockIndex(2))] += 1;
            assert_eq!(restored.in_hand, vec![restored.block.0.to_le_bytes().to_vec()]);
            assert_eq!(store.entry(), restored.entry);
            assert_eq!(store.disk.files().expect("no fault").len(), 1);
            // Whichever it is, it is durable now and the next one follows it.
            let next = restored.block.0 + 1;
            let mut disk = store.into_disk();
            disk.lose_power();
            store = open(disk);
            store.store(&checkpoint(next)).expect("no fault");
            assert_eq!(store.load().expect("no fault").expect("stored").block, BlockIndex(next));
        }
        assert!(found.iter().all(|found| *found > 5), "{found:?}");
    }
}
