//! The loop around a machine: take what waits, make it durable with one sync, let the sends go.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use fresnel_log::{Disk, Log, LogError};
use fresnel_types::{Effect, Input, LogEntry, Machine, Message, Party};

use crate::{
    checkpoints::Work,
    clock::Clock,
    counters::{Counters, add, count},
    inbox::Item,
    limits::{MEND_DELAY, ROUND_INPUTS_MAX, ROUND_MICROS_MAX},
};

/// Where a machine's sends go. Never blocks.
pub(crate) trait Outlet {
    /// Lets one message go; may lose it.
    fn release(&mut self, to: Vec<Party>, message: Message);

    /// Called once after each round; whether it wants to be called again soon.
    fn settle(&mut self) -> bool;
}

/// A machine with all that its thread needs.
pub(crate) struct Driver<D, O> {
    pub(crate) machine: Box<dyn Machine + Send>,
    pub(crate) log: Log<D>,
    /// Entries of the log that the machine asked for, which it takes first.
    pub(crate) recalled: Vec<Input>,
    /// Whether anything goes to the log. Otherwise a benchmark leaves that out, and nothing survives the process.
    pub(crate) keeps: bool,
    /// Bytes of the log that stay although the machine needs them no more.
    pub(crate) log_retained: u64,
    /// To the keeper of a worker's checkpoints.
    pub(crate) checkpoints: Option<Sender<Work>>,
    pub(crate) inbox: Receiver<Item>,
    pub(crate) outlet: O,
    pub(crate) clock: Clock,
    pub(crate) counters: Arc<Counters>,
}

impl<D: Disk, O: Outlet> Driver<D, O> {
    /// Drives the machine until the inbox says stop.
    ///
    /// # Errors
    /// When the log fails: then nothing that waited for it has left.
    pub(crate) fn run(mut self) -> Result<(), LogError> {
        let mut effects = Vec::new();
        let mut unsettled = false;
        loop {
            let first = if self.recalled.is_empty() { self.wait(unsettled) } else { None };
            let stopping = self.take(first, &mut effects);
            self.conclude(&mut effects)?;
            unsettled = self.outlet.settle();
            if stopping {
                return Ok(());
            }
        }
    }

    /// The next item, or none when the machine's deadline comes first.
    fn wait(&self, unsettled: bool) -> Option<Item> {
        let deadline = self.machine.deadline().map(|at| Duration::from_micros(at.since(self.clock.now())));
        let mend = unsettled.then_some(MEND_DELAY);
        let Some(longest) = deadline.into_iter().chain(mend).min() else {
            return Some(self.inbox.recv().unwrap_or(Item::Stop));
        };
        match self.inbox.recv_timeout(longest) {
            Ok(item) => Some(item),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Item::Stop),
        }
    }

    /// Hands the machine what waits; whether it is told to stop.
    fn take(&mut self, first: Option<Item>, effects: &mut Vec<Effect>) -> bool {
        let start = self.clock.now();
        let (mut next, mut now, mut taken, mut stopping) = (first, start, 0, false);
        for input in std::mem::take(&mut self.recalled) {
            self.machine.handle(now, input, effects);
        }
        while let Some(item) = next.take() {
            let Item::Input(input, share) = item else {
                stopping = true;
                break;
            };
            self.machine.handle(now, *input, effects);
            drop(share);
            taken += 1;
            now = self.clock.now();
            if taken < ROUND_INPUTS_MAX && now.since(start) < ROUND_MICROS_MAX {
                next = self.inbox.try_recv().ok();
            }
        }
        if self.machine.deadline().is_some_and(|deadline| deadline <= now) {
            self.machine.handle(now, Input::Tick, effects);
        }
        add(&self.counters.inputs, taken);
        count(&self.counters.rounds);
        stopping
    }

    /// Appends an entry, as soon as there is room for it. What waits for that has not left.
    fn append(&mut self, entry: &LogEntry) -> Result<(), LogError> {
        let mut waiting = None;
        loop {
            match self.log.append(entry) {
                Err(LogError::Full(error)) => {
                    let waiting = waiting.get_or_insert_with(|| self.counters.space.wait("a log"));
                    if !waiting.pause() {
                        return Err(LogError::Full(error));
                    }
                }
                appended => return appended,
            }
        }
    }

    /// Gives work to the keeper.
    fn hand(&self, work: Work) {
        let keeper = self.checkpoints.as_ref().expect("only workers have checkpoints");
        // A keeper is gone before its driver only when its store failed, and then the process stops.
        let _ = keeper.send(work);
    }

    fn conclude(&mut self, effects: &mut Vec<Effect>) -> Result<(), LogError> {
        for effect in effects.iter() {
            if let Effect::Persist(entry) = effect
                && self.keeps
            {
                self.append(entry)?;
                count(&self.counters.log_entries);
            }
        }
        if self.log.is_dirty() {
            self.log.sync()?;
            count(&self.counters.log_syncs);
        }
        for effect in effects.drain(..) {
            match effect {
                Effect::Persist(_) => {}
                Effect::Send { to, message } => self.outlet.release(to, message),
                Effect::Checkpoint(checkpoint) => self.hand(Work::Store(checkpoint)),
                Effect::Recall(number) => {
                    let entry = self.log.read(number)?;
                    self.recalled.push(Input::Recalled(number, entry.map(Box::new)));
                }
                Effect::Snapshot(task) => self.hand(Work::Serve(task)),
                Effect::Forget(before) => {
                    let forgotten = self.log.forget(before, self.log_retained)?;
                    self.counters.log_bytes_deleted.fetch_add(forgotten.bytes, Relaxed);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
