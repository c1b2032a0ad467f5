//! The newest checkpoint of a worker as files, one per piece, for peers that fetch it. They are made when somebody asks, and
//! are no part of what the worker keeps: a start removes what an earlier one left.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use fresnel_shard::portable;
use fresnel_state::snapshot::{PIECE_BYTES, Publication};
use fresnel_types::{
    ShardId, Shards, Timestamp,
    checkpoint::Restored,
    snapshot::{Published, SnapshotPiece},
};

use crate::limits::PUBLICATION_UNREAD_MAX;

/// The files of one worker.
pub(crate) struct Publisher {
    folder: PathBuf,
    shards: Shards,
    shard: ShardId,
    /// When a file was last read, while there are any.
    read_at: Option<Timestamp>,
}

impl Publisher {
    /// For a worker of `shard`, in `folder`, which is emptied.
    pub(crate) fn new(folder: PathBuf, shards: Shards, shard: ShardId) -> io::Result<Self> {
        remove(&folder)?;
        Ok(Self { folder, shards, shard, read_at: None })
    }

    /// Puts a checkpoint in the place of what was there. None when it is none of this shard, or when the disk does not take
    /// it; then nothing is left of it.
    pub(crate) fn publish(&mut self, now: Timestamp, checkpoint: Restored) -> Option<Published> {
        self.read_at = None;
        let publication = portable(checkpoint, self.shards)
            .ok()
            .and_then(|portable| Publication::new(portable, self.shards, self.shard, PIECE_BYTES));
        let Some(publication) = publication else {
            tracing::error!(folder = %self.folder.display(), "the checkpoint is not what its record says");
            return None;
        };
        match self.write(&publication) {
            Ok(()) => {
                self.read_at = Some(now);
                Some(publication.published)
            }
            Err(error) => {
                tracing::warn!(folder = %self.folder.display(), %error, "no checkpoint is published");
                // What is left of it is in the way of the next one, which says so.
                let _ = remove(&self.folder);
                None
            }
        }
    }

    fn write(&self, publication: &Publication) -> io::Result<()> {
        remove(&self.folder)?;
        fs::create_dir_all(&self.folder)?;
        publication.pieces().try_for_each(|(piece, bytes)| fs::write(self.file(piece), bytes))
    }

    /// The bytes of a piece, if they can be read.
    pub(crate) fn read(&mut self, now: Timestamp, piece: SnapshotPiece) -> Option<Vec<u8>> {
        let read_at = self.read_at.as_mut()?;
        *read_at = now;
        fs::read(self.file(piece)).ok()
    }

    /// Removes files that nobody reads.
    pub(crate) fn expire(&mut self, now: Timestamp) {
        if self.read_at.is_some_and(|read| now.since(read) > PUBLICATION_UNREAD_MAX) {
            self.read_at = None;
            if let Err(error) = remove(&self.folder) {
                tracing::warn!(folder = %self.folder.display(), %error, "cannot be removed");
            }
        }
    }

    fn file(&self, piece: SnapshotPiece) -> PathBuf {
        self.folder.join(match piece {
            SnapshotPiece::Chunk(number) => format!("chunk-{number:06}"),
            SnapshotPiece::Part(number) => format!("part-{number:06}"),
        })
    }
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
