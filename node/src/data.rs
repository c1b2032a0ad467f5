//! The data directory: who may use it and whose it is.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
};

use fresnel_types::{AuthorityIndex, ChainId};
use serde::{Deserialize, Serialize};

use crate::disk::{make_folder, sync_folder};

/// A data directory that this process holds until it drops this.
#[derive(Debug)]
pub(crate) struct DataDirectory {
    path: PathBuf,
    _lock: File,
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The file system failed.
    #[error("data directory {path} cannot be used", path = .0.display())]
    Io(PathBuf, #[source] io::Error),
    /// Another process uses it.
    #[error("data directory {path} is in use by another process", path = .0.display())]
    Locked(PathBuf),
    /// The identity file cannot be read.
    #[error("the identity in data directory {path} is malformed: {error}", path = .0.display(), error = .1)]
    Malformed(PathBuf, toml::de::Error),
    /// It was made for another chain or authority.
    #[error(
        "data directory {path} belongs to authority {} of chain {}, not to authority {} of chain {}",
        .found.authority, .found.chain, .expected.authority, .expected.chain, path = .path.display()
    )]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        found: Box<Identity>,
        /// Who asked.
        expected: Box<Identity>,
    },
}

/// Whose data a directory holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The chain.
    pub chain: ChainId,
    /// The authority.
    pub authority: AuthorityIndex,
}

impl DataDirectory {
    /// Takes hold of the directory, making it when it is not there.
    pub(crate) fn open(path: &Path, identity: &Identity) -> Result<Self, DataError> {
        let io = |error| DataError::Io(path.to_owned(), error);
        make_folder(path).map_err(io)?;
        let directory = Self::lock(path, OpenOptions::new().write(true).create(true).truncate(false))?;
        match directory.identity() {
            Ok(found) if found == *identity => {}
            Ok(found) => return Err(directory.foreign(found, identity.clone())),
            Err(DataError::Io(_, error)) if error.kind() == io::ErrorKind::NotFound => {
                let text = toml::to_string(identity).expect("a hash and a number");
                replace(&path.join(IDENTITY), text.as_bytes()).map_err(io)?;
            }
            Err(error) => return Err(error),
        }
        Ok(directory)
    }

    /// Takes hold of a directory that a process of `chain` left behind, and changes nothing in it.
    pub(crate) fn open_existing(path: &Path, chain: ChainId) -> Result<(Self, AuthorityIndex), DataError> {
        let directory = Self::lock(path, OpenOptions::new().read(true))?;
        let found = directory.identity()?;
        let authority = found.authority;
        if found.chain == chain {
            Ok((directory, authority))
        } else {
            Err(directory.foreign(found, Identity { chain, authority }))
        }
    }

    fn lock(path: &Path, how: &OpenOptions) -> Result<Self, DataError> {
        let io = |error| DataError::Io(path.to_owned(), error);
        let lock = how.open(path.join("LOCK")).map_err(io)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => DataError::Locked(path.to_owned()),
            TryLockError::Error(error) => io(error),
        })?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    fn identity(&self) -> Result<Identity, DataError> {
        let text = fs::read_to_string(self.path.join(IDENTITY))
            .map_err(|error| DataError::Io(self.path.clone(), error))?;
        toml::from_str(&text).map_err(|error| DataError::Malformed(self.path.clone(), error))
    }

    fn foreign(&self, found: Identity, expected: Identity) -> DataError {
        DataError::Foreign { path: self.path.clone(), found: Box::new(found), expected: Box::new(expected) }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of a machine's log.
    pub(crate) fn log(&self, machine: &str) -> PathBuf {
        self.path.join("log").join(machine)
    }

    /// The folder of what a worker gives to peers that have no state.
    pub(crate) fn published(&self, machine: &str) -> PathBuf {
        self.path.join("published").join(machine)
    }

    /// The folder of a worker's checkpoints.
    pub(crate) fn checkpoints(&self, machine: &str) -> PathBuf {
        self.path.join("checkpoint").join(machine)
    }
}

/// Puts a whole file in the place of an old one, durably.
pub(crate) fn replace(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = file.with_extension("new");
    let mut handle = File::create(&new)?;
    handle.write_all(bytes)?;
    handle.sync_all()?;
    fs::rename(&new, file)?;
    file.parent().map_or(Ok(()), sync_folder)
}

/// Whose the directory is.
const IDENTITY: &str = "identity.toml";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_one_chain_one_authority() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("data");
        let identity = Identity { chain: ChainId([7; 32]), authority: AuthorityIndex(3) };
        let first = DataDirectory::open(&path, &identity).expect("a new directory");
        let second = DataDirectory::open(&path, &identity).expect_err("it is in use");
        assert!(matches!(second, DataError::Locked(_)), "{second}");
        drop(first);
        drop(DataDirectory::open(&path, &identity).expect("it is free again"));
        let other = Identity { authority: AuthorityIndex(2), ..identity.clone() };
        let error = DataDirectory::open(&path, &other).expect_err("another authority");
        assert!(matches!(error, DataError::Foreign { .. }), "{error}");
        let other = Identity { chain: ChainId([8; 32]), ..identity };
        let error = DataDirectory::open(&path, &other).expect_err("another chain");
        assert!(matches!(error, DataError::Foreign { .. }), "{error}");
    }
}
