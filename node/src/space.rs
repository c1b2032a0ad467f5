//! Room on the disk. While there is little, nothing is admitted; what the protocol demands is still stored, in the rest. When
//! even that is used up, the machine that needs room waits for it and nothing that depends on it leaves.

use std::{
    fs, io,
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

/// What is known about the disk of the data directory.
#[derive(Debug, Default)]
pub(crate) struct Space {
    /// Less than this is little.
    reserved_bytes: AtomicU64,
    free_bytes: AtomicU64,
    log_bytes: AtomicU64,
    checkpoint_bytes: AtomicU64,
    is_low: AtomicBool,
    /// Threads that cannot go on without room.
    waiting: AtomicUsize,
    is_stopping: AtomicBool,
}

/// A thread that waits for room, until it is dropped.
pub(crate) struct WaitingForRoom<'a>(&'a Space);

impl Space {
    /// From now on less than this is little.
    pub(crate) fn reserve(&self, bytes: u64) {
        self.reserved_bytes.store(bytes, Relaxed);
    }

    /// Looks at the disk of a data directory. It has room again when a quarter more is free than the reserve.
    pub(crate) fn look(&self, data: &Path) -> io::Result<()> {
        let disk = rustix::fs::statvfs(data)?;
        let free = disk.f_bavail * disk.f_frsize;
        self.free_bytes.store(free, Relaxed);
        self.log_bytes.store(folder_bytes(&data.join("log"))?, Relaxed);
        self.checkpoint_bytes.store(folder_bytes(&data.join("checkpoint"))?, Relaxed);
        let reserved = self.reserved_bytes.load(Relaxed);
        let was_low = self.is_low.load(Relaxed);
        let is_low = free < if was_low { reserved + reserved / 4 } else { reserved };
        self.is_low.store(is_low, Relaxed);
        match (was_low, is_low) {
            (false, true) => {
                tracing::error!(free, reserved, "little room is left on the disk: nothing more is admitted")
            }
            (true, false) => tracing::info!(free, "there is room on the disk again"),
            _ => {}
        }
        Ok(())
    }

    /// Whether nothing may be admitted.
    pub(crate) fn is_short(&self) -> bool {
        self.is_low.load(Relaxed) || self.waiting.load(Relaxed) > 0
    }

    /// The disk is full, and this thread needs room.
    pub(crate) fn wait(&self, whom: &str) -> WaitingForRoom<'_> {
        tracing::error!(whom, "the disk is full: this waits for room");
        self.waiting.fetch_add(1, Relaxed);
        WaitingForRoom(self)
    }

    /// Nobody shall wait any longer.
    pub(crate) fn stop(&self) {
        self.is_stopping.store(true, Relaxed);
    }

    /// Names and values of what can be said in numbers, in bytes but for the first.
    pub(crate) fn gauges(&self) -> [(&'static str, u64); 4] {
        [
            ("disk_short", u64::from(self.is_short())),
            ("disk_free_bytes", self.free_bytes.load(Relaxed)),
            ("disk_log_bytes", self.log_bytes.load(Relaxed)),
            ("disk_checkpoint_bytes", self.checkpoint_bytes.load(Relaxed)),
        ]
    }

    /// Bytes of all checkpoints when it was last looked.
    pub(crate) fn checkpoint_bytes(&self) -> u64 {
        self.checkpoint_bytes.load(Relaxed)
    }
}

impl WaitingForRoom<'_> {
    /// Sleeps until it is worth a try; false when the process stops.
    pub(crate) fn pause(&self) -> bool {
        std::thread::sleep(PAUSE);
        !self.0.is_stopping.load(Relaxed)
    }
}

impl Drop for WaitingForRoom<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}

/// What the files below a folder take. One that goes meanwhile takes nothing.
fn folder_bytes(folder: &Path) -> io::Result<u64> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    let mut bytes = 0;
    for entry in entries {
        let entry = entry?;
        bytes += match entry.metadata() {
            Ok(found) if found.is_dir() => folder_bytes(&entry.path())?,
            Ok(found) => found.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
    }
    Ok(bytes)
}

/// How often somebody who needs room tries again.
const PAUSE: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_room_and_those_who_wait_for_it_keep_admission_shut() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir_all(folder.path().join("log/beacon")).expect("a folder");
        fs::write(folder.path().join("log/beacon/x"), [0; 5_000]).expect("a file");
        let space = Space::default();
        space.look(folder.path()).expect("a disk");
        assert!(!space.is_short());
        let gauges: std::collections::BTreeMap<_, _> = space.gauges().into();
        assert_eq!((gauges["disk_log_bytes"], gauges["disk_checkpoint_bytes"]), (5_000, 0));
        let free = gauges["disk_free_bytes"];
        assert!(free > 0);
        for (reserved, is_short) in
            [(free * 2, true), (free - free / 10, true), (free / 2, false), (free - free / 10, false)]
        {
            space.reserve(reserved);
            space.look(folder.path()).expect("a disk");
            assert_eq!(space.is_short(), is_short, "{reserved} of {free}");
        }
        let waiting = space.wait("a test");
        assert!(space.is_short() && waiting.pause());
        space.stop();
        assert!(!waiting.pause());
        drop(waiting);
        assert!(!space.is_short());
    }
}
