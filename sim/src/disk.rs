//! A disk that loses power: unsynced sectors survive or not, each for itself, and a sync may fail.

use std::{collections::BTreeMap, io};

use fresnel_log::Disk;

use crate::random::Random;

/// The disk of one simulated machine.
#[derive(Debug)]
pub struct SimDisk {
    files: BTreeMap<String, File>,
    random: Random,
    fail_sync: bool,
}

#[derive(Debug)]
struct File {
    /// What a running machine reads.
    bytes: Vec<u8>,
    /// What stood in each sector that was written since the last sync.
    synced: BTreeMap<usize, Vec<u8>>,
}

impl SimDisk {
    /// An empty disk whose losses are drawn from `random`.
    pub fn new(random: Random) -> Self {
        Self { files: BTreeMap::new(), random, fail_sync: false }
    }

    /// Makes the next sync fail. What it should have made durable is written and not synced.
    pub fn fail_next_sync(&mut self) {
        self.fail_sync = true;
    }

    /// Takes back [`SimDisk::fail_next_sync`].
    pub fn repair(&mut self) {
        self.fail_sync = false;
    }

    /// Removes every file.
    pub fn erase(&mut self) {
        self.files.clear();
    }

    /// Loses power: of the sectors written since the last sync none, all or some are kept. Returns how many were.
    pub fn lose_power(&mut self) -> Loss {
        let keep = self.random.pick(&[0, 1_000, 500, 900, 100]);
        let mut loss = Loss::default();
        for file in self.files.values_mut() {
            for (sector, old) in std::mem::take(&mut file.synced) {
                if self.random.chance(keep) {
                    loss.kept += 1;
                } else {
                    let start = sector * SECTOR_BYTES;
                    file.bytes[start..start + old.len()].copy_from_slice(&old);
                    loss.lost += 1;
                }
            }
        }
        loss
    }

    fn file(&mut self, name: &str) -> io::Result<&mut File> {
        self.files.get_mut(name).ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, name.to_owned()))
    }
}

/// What became of the sectors that a loss of power found unsynced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Sectors that hold what was last written.
    pub kept: u64,
    /// Sectors that hold what was last synced.
    pub lost: u64,
}

impl Disk for SimDisk {
    fn files(&self) -> io::Result<Vec<String>> {
        Ok(self.files.keys().cloned().collect())
    }

    fn create(&mut self, name: &str, bytes: u64) -> io::Result<()> {
        if self.files.contains_key(name) {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, name.to_owned()));
        }
        let bytes = vec![0; usize::try_from(bytes).map_err(io::Error::other)?];
        self.files.insert(name.to_owned(), File { bytes, synced: BTreeMap::new() });
        Ok(())
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let file = self.files.get(name);
        file.map(|file| file.bytes.clone())
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, name.to_owned()))
    }

    fn write(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let file = self.file(name)?;
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let end = start + bytes.len();
        if end > file.bytes.len() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a write behind the end of the file"));
        }
        for sector in start / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES) {
            let sector_end = ((sector + 1) * SECTOR_BYTES).min(file.bytes.len());
            let old = &file.bytes[sector * SECTOR_BYTES..sector_end];
            file.synced.entry(sector).or_insert_with(|| old.to_vec());
        }
        file.bytes[start..end].copy_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        if std::mem::take(&mut self.fail_sync) {
            return Err(io::Error::other("the simulated disk failed to sync"));
        }
        self.file(name)?.synced.clear();
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let removed = self.files.remove(name).map(drop);
        removed.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, name.to_owned()))
    }
}

/// What is written whole or not at all.
const SECTOR_BYTES: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(disk: &SimDisk) -> Vec<u8> {
        disk.read("f").expect("it was created")
    }

    #[test]
    fn synced_bytes_survive_and_unsynced_sectors_are_whole() {
        let mut partial = 0;
        for seed in 0..40 {
            let mut disk = SimDisk::new(Random::new(seed, "test"));
            disk.create("f", 4_096).expect("new");
            disk.write("f", 0, &[1; 4_096]).expect("within");
            disk.sync("f").expect("no fault");
            disk.write("f", 1_000, &[2; 2_000]).expect("within");
            let loss = disk.lose_power();
            assert_eq!(loss.kept + loss.lost, 5);
            let bytes = contents(&disk);
            assert!(bytes[..1_000].iter().chain(&bytes[3_000..]).all(|byte| *byte == 1));
            let kept = bytes[1_000..3_000].iter().filter(|byte| **byte == 2).count();
            partial += usize::from(kept > 0 && kept < 2_000);
            for sector in bytes[1_024..2_560].chunks(SECTOR_BYTES) {
                assert!(sector.iter().all(|byte| *byte == sector[0]), "a sector was torn");
            }
            assert_eq!(disk.lose_power(), Loss::default());
        }
        assert!(partial > 5, "some losses are partial");
    }

    #[test]
    fn a_failed_sync_leaves_the_writes_to_chance() {
        let mut disk = SimDisk::new(Random::new(1, "test"));
        disk.create("f", 512).expect("new");
        disk.write("f", 0, &[7; 512]).expect("within");
        disk.fail_next_sync();
        assert!(disk.sync("f").is_err());
        assert_eq!(contents(&disk), vec![7; 512]);
        let loss = disk.lose_power();
        assert_eq!(loss.kept + loss.lost, 1);
    }
}
