//! What the log needs of a disk.

use std::io;

/// Named files of fixed size in one flat folder.
///
/// After a loss of power each 512-byte sector of a file holds what was last synced or anything written to it since;
/// which of the two, every sector decides for itself. A sector never holds a mixture, and synced sectors that nobody
/// wrote since are unchanged.
pub trait Disk {
    /// The names of all files.
    ///
    /// # Errors
    /// When the folder cannot be read.
    fn files(&self) -> io::Result<Vec<String>>;

    /// Makes a file of `bytes` zeros, allocated. When this returns, the file and its name are durable; after a loss of
    /// power before, the file is there whole or not at all.
    ///
    /// # Errors
    /// When the file exists or cannot be made durable.
    fn create(&mut self, name: &str, bytes: u64) -> io::Result<()>;

    /// The whole file, unsynced writes included.
    ///
    /// # Errors
    /// When it cannot be read.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;

    /// A part of a file, unsynced writes included.
    ///
    /// # Errors
    /// When it is not within the file or cannot be read.
    fn read_part(&self, name: &str, offset: u64, bytes: usize) -> io::Result<Vec<u8>> {
        let whole = self.read(name)?;
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let part = start.checked_add(bytes).and_then(|end| whole.get(start..end));
        part.map(<[u8]>::to_vec).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// Overwrites bytes within the file. Durable only after [`Disk::sync`].
    ///
    /// # Errors
    /// When the range is not within the file or cannot be written.
    fn write(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes all writes to the file durable.
    ///
    /// # Errors
    /// When any of them may not be. A later success says nothing about these writes, so nobody may simply try again.
    fn sync(&mut self, name: &str) -> io::Result<()>;

    /// Removes a file. When this returns, that is durable; after a loss of power before, the file is there or not.
    ///
    /// # Errors
    /// When it does not exist or cannot be removed.
    fn remove(&mut self, name: &str) -> io::Result<()>;
}
