//! Files as the log needs them. A new file is zeroed and synced under another name and then renamed, so it is there
//! whole or not at all, and syncing it later moves no metadata. Zeroing takes long, so the next file is made ahead by a
//! thread of its own, and not at once: it grows with the present file, a little at a time, since the logs of all machines
//! fill alike and a disk that is given the zeros of all of them together has no time for their entries.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    iter,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    thread::{self, JoinHandle},
};

use crossbeam_channel::{Sender, bounded};
use fresnel_log::Disk;
use rustix::{fs::FallocateFlags, io::Errno};

/// A folder with the files of one log.
#[derive(Debug)]
pub(crate) struct FileDisk {
    folder: PathBuf,
    open: BTreeMap<String, Opened>,
    spare: Option<Spare>,
}

#[derive(Debug)]
struct Opened {
    file: File,
    bytes: u64,
}

/// A zeroed file that is being made, or is.
#[derive(Debug)]
struct Spare {
    bytes: u64,
    /// Up to where it may be made by now.
    allowed: u64,
    /// Tells the maker. Without it the maker gives up.
    allow: Sender<u64>,
    maker: JoinHandle<io::Result<()>>,
}

impl Spare {
    /// Starts to make one in the place of `path`.
    fn begin(path: PathBuf, bytes: u64) -> io::Result<Self> {
        // Room for every step and the last word, so that the log never waits here.
        let (allow, allowed) = bounded(bytes as usize / ZEROS_BYTES + 3);
        let maker = thread::Builder::new()
            .name("spare".to_owned())
            .spawn(move || make_zeroed(&path, bytes, allowed.into_iter()))?;
        Ok(Self { bytes, allowed: 0, allow, maker })
    }

    /// Lets it be made up to `bytes`, in steps that are worth a sync.
    fn allow(&mut self, bytes: u64) {
        let is_last = bytes == self.bytes && self.allowed < bytes;
        if is_last || bytes >= self.allowed + ZEROS_BYTES as u64 {
            self.allowed = bytes;
            // A maker that has ended failed, and whoever needs the file is told.
            let _ = self.allow.send(bytes);
        }
    }

    /// Waits until it is there.
    fn finish(self) -> io::Result<()> {
        let _ = self.allow.send(self.bytes);
        self.maker.join().unwrap_or_else(|_| Err(io::Error::other("making a file panicked")))
    }
}

impl FileDisk {
    /// The files in `folder`, which is made if it is not there.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        make_folder(folder)?;
        match fs::remove_file(folder.join(SPARE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(Self { folder: folder.to_owned(), open: BTreeMap::new(), spare: None }),
        }
    }

    fn file(&self, name: &str) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).open(self.folder.join(name))
    }

    fn opened(&mut self, name: &str) -> io::Result<&Opened> {
        if !self.open.contains_key(name) {
            let file = self.file(name)?;
            let bytes = file.metadata()?.len();
            // A copy of the folder may have holes where zeros were, and then a write could find no room.
            allocate(&file, bytes)?;
            self.open.insert(name.to_owned(), Opened { file, bytes });
        }
        Ok(&self.open[name])
    }

    /// Lets a spare as large as the present file grow while that fills from its first quarter to its last.
    fn grow_spare(&mut self, bytes: u64, filled: u64) -> io::Result<()> {
        let allowed = 2 * filled.saturating_sub(bytes / 4).min(bytes / 2);
        if allowed == 0 {
            return Ok(());
        }
        let spare = match &mut self.spare {
            Some(spare) => spare,
            None => self.spare.insert(Spare::begin(self.folder.join(SPARE), bytes)?),
        };
        spare.allow(allowed);
        Ok(())
    }

    /// Makes sure that a durable spare of `bytes` is there.
    fn take_spare(&mut self, bytes: u64) -> io::Result<()> {
        if let Some(spare) = self.spare.take() {
            let of_size = spare.bytes == bytes;
            let made = spare.finish();
            if of_size {
                return made;
            }
        }
        make_zeroed(&self.folder.join(SPARE), bytes, iter::once(bytes))
    }
}

impl Disk for FileDisk {
    fn files(&self) -> io::Result<Vec<String>> {
        files(&self.folder)
    }

    fn create(&mut self, name: &str, bytes: u64) -> io::Result<()> {
        let path = self.folder.join(name);
        if path.try_exists()? {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{} exists", path.display())));
        }
        self.take_spare(bytes)?;
        fs::rename(self.folder.join(SPARE), &path)?;
        sync_folder(&self.folder)?;
        // The log writes only to its newest file.
        self.open.clear();
        self.opened(name)?;
        Ok(())
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        fs::read(self.folder.join(name))
    }

    fn read_part(&self, name: &str, offset: u64, bytes: usize) -> io::Result<Vec<u8>> {
        let mut part = vec![0; bytes];
        match self.open.get(name) {
            Some(opened) => opened.file.read_exact_at(&mut part, offset)?,
            None => self.file(name)?.read_exact_at(&mut part, offset)?,
        }
        Ok(part)
    }

    fn write(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let opened = self.opened(name)?;
        let (end, size) = (offset + bytes.len() as u64, opened.bytes);
        if end > size {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a write beyond the end of the file"));
        }
        opened.file.write_all_at(bytes, offset)?;
        self.grow_spare(size, end)
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.opened(name)?.file.sync_data()
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.open.remove(name);
        fs::remove_file(self.folder.join(name))?;
        sync_folder(&self.folder)
    }
}

impl Drop for FileDisk {
    fn drop(&mut self) {
        if let Some(Spare { allow, maker, .. }) = self.spare.take() {
            drop(allow);
            // A spare that failed is of no interest to a log that ends; the next opening removes what is left of it.
            let _ = maker.join();
        }
    }
}

/// The files of a log that is only read: what opening it would mend is taken for mended, and the files stay as they are.
#[derive(Debug)]
pub(crate) struct UnalteredDisk(pub(crate) PathBuf);

impl Disk for UnalteredDisk {
    fn files(&self) -> io::Result<Vec<String>> {
        files(&self.0)
    }

    fn create(&mut self, _: &str, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        fs::read(self.0.join(name))
    }

    fn write(&mut self, _: &str, _: u64, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn sync(&mut self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn remove(&mut self, _: &str) -> io::Result<()> {
        Ok(())
    }
}

/// The names of all files of a log.
fn files(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        names.extend(name.to_str().filter(|name| *name != SPARE).map(str::to_owned));
    }
    Ok(names)
}

/// Makes a file of zeros, up to where it is allowed; when it is allowed no more before its end, there is none.
fn make_zeroed(path: &Path, bytes: u64, allowed: impl Iterator<Item = u64>) -> io::Result<()> {
    let made = zero(path, bytes, allowed);
    if !matches!(made, Ok(made) if made == bytes) {
        // It shall not take the room that somebody else waits for; what cannot be removed is overwritten the next time.
        let _ = fs::remove_file(path);
    }
    made.map(drop)
}

/// Takes room for a file. Not every file system can do it, and then writing finds out.
fn allocate(file: &File, bytes: u64) -> io::Result<()> {
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Err(error) if error == Errno::NOSPC => Err(error.into()),
        _ => Ok(()),
    }
}

/// How much of it was made. Every step is synced: no sync that somebody waits for shall find much to write.
fn zero(path: &Path, bytes: u64, allowed: impl Iterator<Item = u64>) -> io::Result<u64> {
    let zeros = vec![0; ZEROS_BYTES];
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
    // On a disk that is full this fails before anything is written.
    allocate(&file, bytes)?;
    let mut made = 0;
    for allowed in allowed {
        while made < allowed.min(bytes) {
            let part =
                usize::try_from(allowed.min(bytes) - made).map_or(ZEROS_BYTES, |left| left.min(ZEROS_BYTES));
            file.write_all(&zeros[..part])?;
            file.sync_data()?;
            made += part as u64;
        }
        if made == bytes {
            file.sync_all()?;
            break;
        }
    }
    Ok(made)
}

/// Makes a folder and those that it lies in, durably.
pub(crate) fn make_folder(folder: &Path) -> io::Result<()> {
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.try_exists()? {
        if parent != folder {
            make_folder(parent)?;
        }
        match fs::create_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => sync_folder(parent)?,
        }
    }
    Ok(())
}

pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// The name of the file that is being made ahead; the log never asks for it.
const SPARE: &str = "spare.new";

/// Zeros written at once, and then synced.
const ZEROS_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_zeroed_whole_and_bounded() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut disk = FileDisk::open(&folder.path().join("log")).expect("a new folder");
        disk.create("a", 3 << 20).expect("room");
        disk.write("a", 2 << 20, &[1]).expect("within the file");
        disk.write("a", 2 << 20, &[0]).expect("within the file");
        disk.create("b", 4096).expect("another size than the spare");
        disk.write("b", 0, &[7; 4090]).expect("within the file");
        disk.create("c", 4096).expect("the size of the spare");
        assert_eq!(disk.read("c").expect("it exists"), vec![0; 4096]);
        assert!(disk.create("a", 4096).is_err(), "a file is never made twice");
        assert_eq!(disk.read("a").expect("it exists"), vec![0; 3 << 20]);
        disk.write("b", 4090, &[7; 6]).expect("within the file");
        assert!(disk.write("b", 4091, &[7; 6]).is_err(), "beyond the end");
        disk.sync("b").expect("a file");
        let mut names = disk.files().expect("a folder");
        names.sort();
        assert_eq!(names, ["a", "b", "c"], "the spare is not among them");
        drop(disk);
        let mut disk = FileDisk::open(&folder.path().join("log")).expect("the same folder");
        assert_eq!(disk.read("b").expect("it exists"), vec![7; 4096]);
        disk.remove("a").expect("it exists");
        assert!(disk.read("a").is_err());
    }
}
