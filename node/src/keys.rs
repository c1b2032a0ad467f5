//! Key files: 64 hex characters that only their owner may read.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use fresnel_crypto::SigningKey;
use zeroize::Zeroizing;

/// Why a key file cannot be used or made.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error("key file {path} cannot be read", path = .0.display())]
    Unreadable(PathBuf, #[source] std::io::Error),
    /// The file cannot be made; a key is never overwritten.
    #[error("key file {path} cannot be made", path = .0.display())]
    Unwritable(PathBuf, #[source] std::io::Error),
    /// Others than the owner may read or write the file.
    #[error("key file {path} has mode {mode:04o}: only its owner may have access; run `chmod 600 {path}`", path = .0.display(), mode = .1)]
    Exposed(PathBuf, u32),
    /// The contents are no key.
    #[error("key file {path} does not hold 64 hex characters", path = .0.display())]
    Malformed(PathBuf),
    /// The operating system has no randomness.
    #[error("the operating system gives no randomness")]
    Randomness(#[source] getrandom::Error),
}

/// Makes a fresh key and stores it in a new file.
///
/// # Errors
/// When the file exists or cannot be made.
pub fn generate(path: &Path) -> Result<SigningKey, KeyError> {
    let key = SigningKey::generate().map_err(KeyError::Randomness)?;
    store(path, &key)?;
    Ok(key)
}

/// Stores `key` in a new file, durably.
///
/// # Errors
/// When the file exists or cannot be made.
pub fn store(path: &Path, key: &SigningKey) -> Result<(), KeyError> {
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        let secret = Zeroizing::new(key.to_bytes());
        let text = Zeroizing::new(hex::encode(*secret));
        file.write_all(text.as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()
    };
    write().map_err(|error| KeyError::Unwritable(path.to_owned(), error))
}

/// Reads a key file.
///
/// # Errors
/// When it is missing, open to others, or holds no key.
pub fn load(path: &Path) -> Result<SigningKey, KeyError> {
    let unreadable = |error| KeyError::Unreadable(path.to_owned(), error);
    let file = File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyError::Exposed(path.to_owned(), mode));
    }
    let mut text = Zeroizing::new(String::with_capacity(FILE_BYTES_MAX));
    file.take(FILE_BYTES_MAX as u64).read_to_string(&mut text).map_err(unreadable)?;
    let mut secret = Zeroizing::new([0; 32]);
    hex::decode_to_slice(text.trim_end(), secret.as_mut())
        .map_err(|_| KeyError::Malformed(path.to_owned()))?;
    Ok(SigningKey::from_bytes(&secret))
}

/// More than a key and a line end: what is longer is no key file.
const FILE_BYTES_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions};

    use super::*;

    #[test]
    fn a_key_survives_its_file_which_only_the_owner_may_read() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("consensus.key");
        let key = generate(&path).expect("a new file");
        assert_eq!(load(&path).expect("own file").public(), key.public());
        let mode = std::fs::metadata(&path).expect("it exists").permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
        assert!(matches!(generate(&path), Err(KeyError::Unwritable(..))), "a key is never overwritten");
        for exposed in [0o640, 0o604, 0o620] {
            set_permissions(&path, Permissions::from_mode(exposed)).expect("own file");
            assert!(matches!(load(&path), Err(KeyError::Exposed(_, mode)) if mode == exposed));
        }
    }

    #[test]
    fn other_contents_are_no_key() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("key");
        assert!(matches!(load(&path), Err(KeyError::Unreadable(..))));
        for text in ["", "00", &"0".repeat(65), &"g".repeat(64), &"0".repeat(4096)] {
            std::fs::write(&path, text).expect("own folder");
            set_permissions(&path, Permissions::from_mode(0o600)).expect("own file");
            assert!(matches!(load(&path), Err(KeyError::Malformed(_))), "{text}");
        }
    }
}
