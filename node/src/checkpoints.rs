//! Checkpoints of workers: stored by a thread of their own, since a worker must not wait for it.

mod alternating;
mod publishing;
mod rocks;

use std::sync::{Arc, atomic::Ordering::Relaxed};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use fresnel_state::CheckpointStore;
use fresnel_types::{
    Checkpoint, Input,
    snapshot::{SnapshotResult, SnapshotTask},
};

pub(crate) use alternating::{AlternatingStore, folders};
pub(crate) use publishing::Publisher;
pub use rocks::StoreError;
pub(crate) use rocks::{Restoring, RocksStore};

use crate::{
    clock::Clock,
    counters::{Counters, count},
    inbox::Inbox,
    limits::{KEEPER_WORK_MAX, PUBLICATION_CHECK},
};

/// What a worker wants of the thread beside it.
#[derive(Debug)]
pub(crate) enum Work {
    /// A checkpoint to be stored. There is never a second one before the worker has heard of the first.
    Store(Box<Checkpoint>),
    /// Something for peers. A worker bounds how much of it is under way.
    Serve(SnapshotTask),
}

/// Where a worker's driver puts it, without waiting.
pub(crate) fn channel() -> (Sender<Work>, Receiver<Work>) {
    crossbeam_channel::bounded(KEEPER_WORK_MAX)
}

/// The thread beside a worker's.
pub(crate) struct Keeper {
    pub(crate) store: AlternatingStore,
    /// Whether anything is stored. Otherwise a benchmark leaves that out.
    pub(crate) keeps: bool,
    pub(crate) publisher: Publisher,
    pub(crate) work: Receiver<Work>,
    /// Of the worker.
    pub(crate) inbox: Inbox,
    pub(crate) clock: Clock,
    pub(crate) counters: Arc<Counters>,
}

impl Keeper {
    /// Stores what comes and tells the worker, until its driver has ended.
    ///
    /// # Errors
    /// When the store fails: the process cannot go on, since the log would grow without bound.
    pub(crate) fn run(mut self) -> Result<(), StoreError> {
        loop {
            let checkpoint: Arc<Checkpoint> = match self.work.recv_timeout(PUBLICATION_CHECK) {
                Ok(Work::Store(checkpoint)) => checkpoint.into(),
                Ok(Work::Serve(task)) => {
                    let result = self.serve(task);
                    self.inbox.put(Input::Snapshot(result), None);
                    continue;
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.publisher.expire(self.clock.now());
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            };
            let started = self.clock.now();
            let bytes = if self.keeps { self.store(&checkpoint)? } else { 0 };
            count(&self.counters.checkpoints);
            self.counters.checkpoint_bytes.fetch_add(bytes as u64, Relaxed);
            self.counters.checkpoint_micros.fetch_add(self.clock.now().since(started), Relaxed);
            self.inbox.put(Input::Checkpointed(checkpoint.block), None);
        }
    }

    fn serve(&mut self, task: SnapshotTask) -> SnapshotResult {
        let now = self.clock.now();
        match task {
            SnapshotTask::Publish => {
                let checkpoint = self.store.load().unwrap_or_else(|error| {
                    tracing::error!(?error, "no checkpoint can be published");
                    None
                });
                let published = checkpoint.and_then(|checkpoint| self.publisher.publish(now, checkpoint));
                SnapshotResult::Published(published.map(Box::new))
            }
            SnapshotTask::Read(piece) => SnapshotResult::Read(piece, self.publisher.read(now, piece)),
        }
    }

    /// Stores a checkpoint, as soon as there is room. Until then the log is not shortened, and the one before stays.
    fn store(&mut self, checkpoint: &Arc<Checkpoint>) -> Result<usize, StoreError> {
        let counters = Arc::clone(&self.counters);
        let mut waiting = None;
        loop {
            match self.store.take_over(checkpoint) {
                Err(StoreError::Full(error)) => {
                    let waiting = waiting.get_or_insert_with(|| counters.space.wait("a checkpoint"));
                    if !waiting.pause() {
                        return Err(StoreError::Full(error));
                    }
                }
                stored => return stored,
            }
        }
    }
}
