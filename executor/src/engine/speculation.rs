//! One speculation: all threads execute transactions ahead of the commit frontier, and the frontier makes them true.
//!
//! Block-STM (Gelashvili et al., arXiv 2203.06871) lets threads take tasks from two shared counters, one for executing and one for
//! validating; keeps all versions in a map; marks what an aborted transaction wrote as estimates, on which readers wait; and
//! commits the whole block when both counters are through. Its published code adds 1.4 to 1.9 us to every transaction.
//! Here, instead, with where each idea is from:
//!
//! - **Truth stands in one place.** The slots hold what the committed transactions left, at every instant; there is nothing to
//!   write back and nothing to undo. Everything that is read ahead is a guess, compared with the slots when the frontier
//!   arrives (Monad: merge in order, compare inputs). So lists of versions may lose an entry, and records may be written over
//!   while somebody reads them, without harm; no transaction costs a locked instruction.
//! - **One execution ahead, one in turn.** What saw anything else than the truth executes a second time at the frontier, where
//!   all before it is committed, so that its second execution is its last: no estimates, no dependencies, no livelock, and
//!   nobody waits for a value.
//! - **Validation is of values, once, in order** (rolling commit as in Aptos' later versions, without waves or validation
//!   tasks). What a second execution writes again is no conflict.
//! - **The frontier goes from worker to worker with the chunks.** Who executed a chunk also commits it, from its own caches; what of
//!   its chunk is left when the frontier arrives it executes in turn, directly on the slots, at the cost of serial execution. With
//!   one thread that is everything; with two, it is about half. A worker that comes too late loses its chunk to an idle one.
//! - **A window** bounds how far ahead transactions execute: far ahead, nearly all is in vain under contention.
//! - **Credits and counters do not conflict** (aggregators in Aptos' engine, lazy balances in pevm); counters are bounded, and
//!   only an answer that turns out otherwise is a conflict.
//! - **Giving up keeps what is done:** when most executions ahead are in vain, the suffix executes serially, instead of the whole
//!   block once more (grevm replays the suffix, too).
//!
//! The life of a transaction:
//!
//! ```text
//!                        ┌─────────────────────────── the frontier is here ──────────────────────────┐
//!                        │                                                                           ▼
//!   free ──chunk taken──▶ taken ──executes ahead──▶ Executed ──the frontier: checks hold────────▶ committed
//!                        │                    │        └──────── the frontier: they do not ─┐        ▲
//!                        │                    └──▶ Wasted (panicked, no room) ──────────────┤        │
//!                        │                                                                  ▼        │
//!                        └── its worker does not come to it, an idle one does ─────────▶ in turn ────┘
//! ```
//!
//! There is one frontier and its holder has a lock, so the right column is sequential; everything left of it happens on any
//! thread at any time. Taking: one addition to `cursor`. Completing: the status of a record, released after all else of it.
//! Committing: `committed`, released after the slots were written; records are written over only by who acquired that.
//! The end: `committed` is all, or `stop`, which a panic sets, a record without room, and conflicts.
//!
//! **Declared access sets** bring slots into the cache ahead and nothing more. That they could save recording and checking reads
//! was measured by leaving both out: it is worth nothing at 1 us and 3 % at 0.3 us for two reads, and 16 % for 21 reads at 1 us,
//! before paying for what would have to stand in their place, the comparison of a chunk's places with those of every chunk
//! under way.

use std::{
    collections::VecDeque,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, TryLockError},
};

use fresnel_crypto::prefetch;

use crate::{
    engine::{
        frontier::{Frontier, Reach, Tally},
        pool::Job,
        program::Program,
        records::Records,
        versions::Lists,
        views::{Ahead, Sums},
        wait::Wait,
    },
    slots::{Place, Slots},
    sync::{
        Mutex, MutexGuard,
        atomic::{
            AtomicBool, AtomicU32, AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
        lock,
    },
};

/// What speculations use one after the other, so that a transaction allocates nothing.
pub(crate) struct Memory {
    pub(crate) records: Records,
    pub(crate) workers: Box<[Mutex<Worker>]>,
    /// Who took a chunk: a ring, each entry with the turn and the number of the chunk.
    owners: Box<[Padded<AtomicU64>]>,
}

/// What one thread uses.
#[derive(Default)]
pub(crate) struct Worker {
    pub(crate) number: u32,
    /// Places that this thread changed at the frontier.
    pub(crate) changed: Vec<Place>,
    pub(crate) tally: Tally,
    /// The most words that a record lacked room for.
    pub(crate) words_wanted: usize,
    /// Where the chunks begin that it took and that were not committed when it last looked.
    pub(crate) pending: VecDeque<u32>,
}

/// Whether a worker took the transaction `at`, before which all are committed, by the beginnings of its chunks. Those that are
/// committed are removed.
#[inline]
pub(crate) fn has_taken(pending: &mut VecDeque<u32>, at: u32, chunk: u32) -> bool {
    while let Some(first) = pending.front() {
        if first + chunk > at {
            return *first <= at;
        }
        pending.pop_front();
    }
    false
}

/// How a speculation goes about its transactions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Transactions taken at once.
    pub(crate) chunk: u32,
    /// How far ahead of the frontier they may be.
    pub(crate) window: u32,
    /// Whether it ends when most executions ahead are in vain.
    pub(crate) gives_up: bool,
    /// Whether whoever is free commits, rather than whoever executed: where chunks are as short as that, it is worse to wait
    /// for another thread to come to the end of a transaction than to fetch what it left.
    pub(crate) helps: bool,
    /// As if one in so many executions ahead had seen something that is not so.
    #[cfg(test)]
    pub(crate) denies_one_in: u32,
}

#[cfg(test)]
impl Shape {
    /// A conflict that there is not, for some transactions.
    pub(crate) fn denial(&self, transaction: u32) -> Option<crate::engine::records::Check> {
        let hash = transaction.wrapping_mul(0x9e37_79b1) >> 16;
        let is_denied = self.denies_one_in > 0 && hash.is_multiple_of(self.denies_one_in);
        is_denied.then_some(crate::engine::records::Check::Exists { place: 0, answer: true })
    }
}

/// A run of transactions of a program, executed by all threads.
pub(crate) struct Speculation<P> {
    pub(crate) program: Arc<P>,
    /// The program's number of transaction 0 here.
    pub(crate) start: usize,
    pub(crate) count: u32,
    pub(crate) slots: Slots,
    /// Of the table, for the lists.
    pub(crate) epoch: u32,
    /// Of the engine, for the records.
    pub(crate) turn: u32,
    pub(crate) sums: Sums,
    pub(crate) shape: Shape,
    pub(crate) memory: Arc<Memory>,
    /// The first transaction that nobody took.
    pub(crate) cursor: Padded<AtomicU32>,
    /// At most the number of committed transactions; a little behind while somebody commits.
    pub(crate) committed: Padded<AtomicU32>,
    pub(crate) stop: Padded<AtomicBool>,
    /// Set when a record was too small: then the speculation ends, since those of other transactions will be, too.
    pub(crate) lacks_room: AtomicBool,
    pub(crate) frontier: Padded<Mutex<Frontier>>,
}

/// A cache line of its own, or two since processors fetch pairs.
#[repr(align(128))]
#[derive(Default)]
pub(crate) struct Padded<T>(pub(crate) T);

impl Memory {
    /// For so many threads and windows up to the given, with records of so many words.
    pub(crate) fn new(threads: usize, window: u32, words: usize) -> Self {
        let worker = |number| Mutex::new(Worker { number, ..Worker::default() });
        // Who reads the record of a transaction committed meanwhile seldom finds it written over if the ring is twice as long.
        let transactions = 2 * window as usize;
        // If each chunk has one transaction, those included that threads take before they see how far others got.
        let chunks = window as usize + threads;
        Self {
            records: Records::new(threads, transactions, words),
            workers: (0..threads as u32).map(worker).collect(),
            owners: (0..chunks.next_power_of_two()).map(|_| Padded::default()).collect(),
        }
    }
}

impl<P: Program> Job for Speculation<P> {
    fn work(&self, worker: usize) {
        let mut worker = lock(&self.memory.workers[worker]);
        worker.pending.clear();
        let mut wait = Wait::default();
        while !self.is_over() {
            if let Some(chunk) = self.take_chunk(&mut worker) {
                self.execute_chunk(&mut worker, chunk);
                self.commit_after_chunk(&mut worker);
            } else if !self.advance(&mut worker, if wait.is_long() { Reach::Next } else { Reach::Executed }) {
                wait.turn();
                continue;
            }
            wait = Wait::default();
        }
    }

    fn abort(&self) {
        self.stop();
    }
}

impl<P: Program> Speculation<P> {
    fn is_over(&self) -> bool {
        self.is_stopped() || self.committed.0.load(Acquire) == self.count
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.0.load(Relaxed)
    }

    pub(crate) fn stop(&self) {
        self.stop.0.store(true, Relaxed);
    }

    pub(crate) fn lacks_room(&self) -> bool {
        self.lacks_room.load(Relaxed)
    }

    /// The frontier, if nobody holds it. A panic of who held it ends everything.
    pub(crate) fn hold_frontier(&self) -> Option<MutexGuard<'_, Frontier>> {
        match self.frontier.0.try_lock() {
            Ok(frontier) => Some(frontier),
            Err(TryLockError::WouldBlock) => None,
            Err(TryLockError::Poisoned(_)) => {
                self.stop();
                None
            }
        }
    }

    /// The next transactions in order, unless they are too far ahead of the frontier.
    fn take_chunk(&self, worker: &mut Worker) -> Option<Range<u32>> {
        // Acquired, so that records which the frontier has left are written anew only after it read them.
        let limit = self.count.min(self.committed.0.load(Acquire) + self.shape.window);
        if self.cursor.0.load(Relaxed) >= limit {
            return None;
        }
        let first = self.cursor.0.fetch_add(self.shape.chunk, Relaxed);
        if first >= self.count {
            return None;
        }
        self.owner_entry(first).store(self.owner_tag(first) | u64::from(worker.number), Release);
        worker.pending.push_back(first);
        Some(first..self.count.min(first + self.shape.chunk))
    }

    /// Who took the chunk of `transaction`, as far as it is said by now.
    pub(crate) fn owner_of(&self, transaction: u32) -> Option<u32> {
        let entry = self.owner_entry(transaction).load(Acquire).wrapping_sub(self.owner_tag(transaction));
        (entry < self.memory.workers.len() as u64).then_some(entry as u32)
    }

    /// Where the chunk after that of `transaction` begins.
    pub(crate) fn chunk_after(&self, transaction: u32) -> u32 {
        (transaction / self.shape.chunk + 1) * self.shape.chunk
    }

    fn owner_entry(&self, transaction: u32) -> &AtomicU64 {
        let chunk = (transaction / self.shape.chunk) as usize;
        &self.memory.owners[chunk % self.memory.owners.len()].0
    }

    fn owner_tag(&self, transaction: u32) -> u64 {
        u64::from(self.turn) << 32 | u64::from(transaction / self.shape.chunk) << 8
    }

    /// Executes a chunk: ahead until the frontier arrives at what this worker has not committed, then at the frontier.
    fn execute_chunk(&self, worker: &mut Worker, chunk: Range<u32>) {
        for transaction in chunk.clone() {
            let places = self.program.places(self.start + transaction as usize);
            places.for_each(|place| prefetch(self.slots.get(place)));
        }
        let mut at = chunk.start;
        while at < chunk.end && !self.is_stopped() {
            let committed = self.committed.0.load(Acquire);
            if committed > at {
                at = committed;
            } else if !(has_taken(&mut worker.pending, committed, self.shape.chunk)
                && self.advance(worker, Reach::Own))
            {
                self.execute_ahead(worker, at);
                at += 1;
            }
        }
    }

    /// Commits what this worker executed if the frontier is there, and what others did if they seem not to come to it.
    fn commit_after_chunk(&self, worker: &mut Worker) {
        let committed = self.committed.0.load(Acquire);
        let is_far = self.cursor.0.load(Relaxed) > committed + self.shape.window / 2;
        if self.shape.helps || is_far {
            self.advance(worker, Reach::Executed);
        } else if has_taken(&mut worker.pending, committed, self.shape.chunk) {
            self.advance(worker, Reach::Own);
        }
    }

    /// Executes on what the lists say by now, for the frontier to check.
    fn execute_ahead(&self, worker: &mut Worker, transaction: u32) {
        worker.tally.executions_ahead += 1;
        let lists = Lists {
            slots: &self.slots,
            records: &self.memory.records,
            committed: &self.committed.0,
            epoch: self.epoch,
            turn: self.turn,
        };
        let record = self.memory.records.get(worker.number, self.turn, transaction);
        let mut view = Ahead { lists, sums: &self.sums, transaction, draft: record.draft() };
        let number = self.start + transaction as usize;
        let Ok(outcome) = catch_unwind(AssertUnwindSafe(|| self.program.execute(number, &mut view))) else {
            return record.waste();
        };
        if let Some(words) = view.draft.words_lacked() {
            worker.words_wanted = words.max(worker.words_wanted);
            self.lacks_room.store(true, Relaxed);
            return record.waste();
        }
        record.complete(outcome, &view.draft);
        for (number, (place, _)) in record.writes().enumerate() {
            lists.enter(place, transaction, worker.number, number);
        }
    }
}

/// How far ahead of the frontier a transaction may be at most.
pub(crate) const WINDOW_MAX: u32 = 512;
