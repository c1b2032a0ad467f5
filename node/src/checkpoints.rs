//! Checkpoints of workers: stored by a thread of their own, since a worker must not wait for it.

mod alternating;
mod rocks;

use std::sync::{Arc, atomic::Ordering::Relaxed};

use crossbeam_channel::{Receiver, Sender};
use fresnel_types::{Checkpoint, Input};

pub(crate) use alternating::{AlternatingStore, folders};
pub use rocks::StoreError;
pub(crate) use rocks::{Restoring, RocksStore};

use crate::{
    clock::Clock,
    counters::{Counters, count},
    inbox::Inbox,
};

/// Where a worker's driver puts a checkpoint. There is never a second one before the worker has heard of the first.
pub(crate) fn channel() -> (Sender<Box<Checkpoint>>, Receiver<Box<Checkpoint>>) {
    crossbeam_channel::bounded(1)
}

/// The thread beside a worker's.
pub(crate) struct Keeper {
    pub(crate) store: AlternatingStore,
    /// Whether anything is stored. Otherwise a benchmark leaves that out.
    pub(crate) keeps: bool,
    pub(crate) checkpoints: Receiver<Box<Checkpoint>>,
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
        while let Ok(checkpoint) = self.checkpoints.recv() {
            let checkpoint: Arc<Checkpoint> = checkpoint.into();
            let started = self.clock.now();
            let bytes = if self.keeps { self.store(&checkpoint)? } else { 0 };
            count(&self.counters.checkpoints);
            self.counters.checkpoint_bytes.fetch_add(bytes as u64, Relaxed);
            self.counters.checkpoint_micros.fetch_add(self.clock.now().since(started), Relaxed);
            self.inbox.put(Input::Checkpointed(checkpoint.block), None);
        }
        Ok(())
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
