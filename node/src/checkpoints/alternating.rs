//! The checkpoint store of a worker: two databases that take turns, so that besides the newest checkpoint the one before
//! it is there as well, and nothing that damages one touches the other.
//!
//! A checkpoint goes to the database whose checkpoint is the older one, together with the checkpoint that this one lacks.
//! That is in memory since it was stored in the other, and what both change is written once; after a start it is not, and
//! then what differs is copied first. A database is given up only while the other is whole.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use fresnel_state::CheckpointStore;
use fresnel_types::{Checkpoint, checkpoint::Restored};

use super::{RocksStore, StoreError};
use crate::disk::make_folder;

/// The checkpoints of one worker: the last two.
pub(crate) struct AlternatingStore {
    folders: [PathBuf; 2],
    /// Not open when opening it failed, when it was rejected, or when there was no room.
    stores: [Option<RocksStore>; 2],
    newest: usize,
    /// What the older database lacks to hold the same as the newest, and the generation from which that leads on.
    lacking: Option<(Arc<Checkpoint>, Option<u64>)>,
}

impl AlternatingStore {
    /// Opens both databases in `folder`, or makes them. One that is damaged counts as not there.
    ///
    /// # Errors
    /// When the disk fails or is full, or when another version of the code wrote them.
    pub(crate) fn open(folder: &Path) -> Result<Self, StoreError> {
        reject_first_layout(folder)?;
        let folders = NAMES.map(|name| folder.join(name));
        let mut stores = [None, None];
        for (store, folder) in stores.iter_mut().zip(&folders) {
            match open(folder) {
                Ok(opened) => *store = Some(opened),
                Err(error) if error.is_damage() => {
                    tracing::error!(folder = %folder.display(), ?error, "a checkpoint is damaged");
                }
                Err(error) => return Err(error),
            }
        }
        let mut opened = Self { folders, stores, newest: 0, lacking: None };
        // The first checkpoint goes to the first database.
        opened.newest = usize::from(opened.generation(1) >= opened.generation(0));
        Ok(opened)
    }

    /// Gives up the newest checkpoint, since it is not what it should be. From now on the one before counts, or, where
    /// there is none, nothing; false when there was nothing to give up.
    pub(crate) fn reject(&mut self) -> bool {
        let rejected = self.stores[self.newest].take().is_some_and(|store| !store.is_empty());
        self.newest = 1 - self.newest;
        rejected
    }

    /// Stores a checkpoint on top of the newest one. Returns the bytes written.
    ///
    /// # Errors
    /// When the database cannot be written. If it is only full, the call may be repeated when it has room.
    pub(crate) fn take_over(&mut self, checkpoint: &Arc<Checkpoint>) -> Result<usize, StoreError> {
        let older = 1 - self.newest;
        let result = self.write(older, checkpoint);
        match result {
            Ok(_) => {
                self.lacking = Some((Arc::clone(checkpoint), self.generation(self.newest)));
                self.newest = older;
            }
            // A database that failed takes nothing more until it is opened again.
            Err(_) => self.stores[older] = None,
        }
        result
    }

    fn generation(&self, which: usize) -> Option<u64> {
        self.stores[which].as_ref().and_then(RocksStore::generation)
    }

    fn write(&mut self, older: usize, checkpoint: &Checkpoint) -> Result<usize, StoreError> {
        let newest = self.generation(self.newest);
        if self.stores[older].is_none() {
            self.stores[older] = Some(reopen(&self.folders[older])?);
        }
        let [first, second] = &mut self.stores;
        let (store, other) = if older == 0 { (first, second) } else { (second, first) };
        let mut store = store.take().expect("it was opened above");
        let lacking = self.lacking.as_ref().filter(|(_, from)| {
            store.generation() == *from && (from.is_some() || store.is_empty()) && newest.is_some()
        });
        let mut bytes = 0;
        let lacking = match (lacking, newest, other) {
            (Some((lacking, _)), ..) => Some(&**lacking),
            (None, Some(_), Some(other)) => {
                // The older checkpoint is given up for this, so the newest must be readable to its end.
                other.check()?;
                bytes += match store.copy(other) {
                    Err(error) if error.is_damage() => {
                        drop(store);
                        store = renew(&self.folders[older])?;
                        store.copy(other)?
                    }
                    copied => copied?,
                };
                None
            }
            (None, ..) if store.is_empty() => None,
            (None, ..) => {
                drop(store);
                store = renew(&self.folders[older])?;
                None
            }
        };
        bytes += store.take_over(lacking.into_iter().chain([checkpoint]))?;
        self.stores[older] = Some(store);
        Ok(bytes)
    }
}

impl CheckpointStore for AlternatingStore {
    type Error = StoreError;

    fn load(&self) -> Result<Option<Restored>, StoreError> {
        match &self.stores[self.newest] {
            // Unfinished, and nothing else is there: as if it had not been begun.
            Some(store) if store.generation().is_some() => store.load(),
            _ => Ok(None),
        }
    }

    fn store(&mut self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        self.take_over(&Arc::new(checkpoint.clone())).map(drop)
    }
}

/// The folders of the databases of a worker whose checkpoints are in `folder`.
pub(crate) fn folders(folder: &Path) -> Result<[PathBuf; 2], StoreError> {
    reject_first_layout(folder)?;
    Ok(NAMES.map(|name| folder.join(name)))
}

/// Opens a database; one that is damaged is made anew.
fn reopen(folder: &Path) -> Result<RocksStore, StoreError> {
    match open(folder) {
        Err(error) if error.is_damage() => renew(folder),
        opened => opened,
    }
}

/// An empty database in the place of what is in `folder`.
fn renew(folder: &Path) -> Result<RocksStore, StoreError> {
    tracing::warn!(folder = %folder.display(), "a checkpoint is written anew");
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::Folder(error)),
        _ => open(folder),
    }
}

/// Opens a database, or makes one in a folder that is there after a loss of power.
fn open(folder: &Path) -> Result<RocksStore, StoreError> {
    make_folder(folder).map_err(StoreError::Folder)?;
    RocksStore::open(folder)
}

/// The first layout had a single database, in the folder itself.
fn reject_first_layout(folder: &Path) -> Result<(), StoreError> {
    if folder.join(super::rocks::DATABASE_MARK).exists() { Err(StoreError::Version(1)) } else { Ok(()) }
}

/// The folders of the databases.
const NAMES: [&str; 2] = ["a", "b"];

#[cfg(test)]
mod kills;
#[cfg(test)]
mod tests;
