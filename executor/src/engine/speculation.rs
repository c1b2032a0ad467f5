//! One speculation: all threads execute transactions ahead of the commit frontier, and the frontier makes them true.
//!
//! Block-STM (Gelashvili et al., arXiv 2203.06871) executes and validates as separate tasks, may execute a transaction
//! many times, and commits the whole block at the end. Here, instead:
//! - Workers take chunks of transactions in order, no further ahead of the frontier than a window: far ahead, nearly all
//!   is in vain under contention, and the lists get long.
//! - Validation happens once, in order, at the frontier, by whichever thread holds it (rolling commit, as in later
//!   versions of Aptos' engine). It looks at values, not at versions: what a re-execution writes again is no conflict.
//! - A transaction whose checks fail executes a second time there and then, when all before it are committed, so that its
//!   second execution is its last: no estimates, no dependencies, no livelock.
//! - Credits and counters do not conflict (aggregators in Aptos' engine, lazy balances in pevm).
//! - When most transactions conflict, the speculation ends, and what the frontier has not reached executes serially; so
//!   it does, instead of the whole block (the suffix replay of grevm).

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, TryLockError,
        atomic::{
            AtomicBool, AtomicU32, AtomicUsize,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
};

use fresnel_crypto::prefetch;

use crate::{
    engine::{
        pool::{Job, lock},
        program::Program,
        records::{Check, Record, Records, Status, Written},
        versions::{Kind, Lists, Run, Versions},
        views::{Checks, Log, Sums, Versioned, Write},
        wait::Wait,
    },
    slots::{Place, Slots, same},
};

/// What speculations use one after the other, so that a transaction allocates nothing.
pub(crate) struct Memory {
    pub(crate) versions: Versions,
    pub(crate) records: Records,
    pub(crate) workers: Box<[Mutex<Worker>]>,
}

/// What one thread uses.
#[derive(Default)]
pub(crate) struct Worker {
    pub(crate) run: Run,
    pub(crate) log: Log,
    /// Places whose committed value this thread wrote back.
    pub(crate) changed: Vec<Place>,
    /// Executions ahead of the frontier.
    pub(crate) executions: u64,
    /// The most words that a record lacked room for.
    pub(crate) words_wanted: usize,
}

/// How a speculation goes about its transactions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Transactions taken at once.
    pub(crate) chunk: u32,
    /// How far ahead of the frontier they may be.
    pub(crate) window: u32,
    /// Whether it ends when most transactions conflict.
    pub(crate) gives_up: bool,
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

/// The commit frontier: whoever locks it commits.
#[derive(Default)]
pub(crate) struct Frontier {
    pub(crate) outcomes: Vec<u64>,
    /// What committed transactions wrote, in order.
    pub(crate) writes: Vec<(Place, u32)>,
    pub(crate) tally: Tally,
    pub(crate) ended: Ended,
    pub(crate) panic: Option<Box<dyn Any + Send>>,
    /// A bit for each of the last commits, set when it took a second execution.
    pub(crate) recent: u64,
}

/// Why a speculation ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Ended {
    /// All transactions are committed.
    #[default]
    Complete,
    /// Most transactions conflicted.
    Conflicts,
    /// The arena is full, or a record was too small.
    Memory,
    /// A transaction panicked on true values.
    Panic,
}

/// What the frontier counts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// Transactions whose checks were looked at.
    pub(crate) validations: u64,
    /// Executed again because a check failed.
    pub(crate) conflicts: u64,
    /// Executed again because the first execution panicked or had no room.
    pub(crate) wasted: u64,
    /// Executed at the frontier first, because the thread that took them had not come to it.
    pub(crate) taken_over: u64,
}

impl<P: Program> Job for Speculation<P> {
    fn work(&self, worker: usize) {
        let mut worker = lock(&self.memory.workers[worker]);
        let mut wait = Wait::default();
        let mut idle = false;
        while !self.is_over() {
            let progress = self.commit(&mut worker, idle);
            match self.take_chunk() {
                Some(chunk) => {
                    self.execute_chunk(&mut worker, chunk);
                    idle = false;
                }
                None if progress => idle = false,
                None if !idle => idle = true,
                None => {
                    wait.turn();
                    continue;
                }
            }
            wait = Wait::default();
        }
    }

    fn abort(&self) {
        self.stop.0.store(true, Relaxed);
    }
}

impl<P: Program> Speculation<P> {
    fn is_over(&self) -> bool {
        self.stop.0.load(Relaxed) || self.committed.0.load(Relaxed) == self.count
    }

    fn lists(&self) -> Lists<'_> {
        Lists { slots: &self.slots, versions: &self.memory.versions, epoch: self.epoch }
    }

    /// The next transactions in order, unless they are too far ahead of the frontier.
    fn take_chunk(&self) -> Option<std::ops::Range<u32>> {
        // Acquired, so that records which the frontier has left are written anew only after it read them.
        let limit = self.count.min(self.committed.0.load(Acquire) + self.shape.window);
        if self.cursor.0.load(Relaxed) >= limit {
            return None;
        }
        let first = self.cursor.0.fetch_add(self.shape.chunk, Relaxed);
        (first < self.count).then(|| first..self.count.min(first + self.shape.chunk))
    }

    fn execute_chunk(&self, worker: &mut Worker, chunk: std::ops::Range<u32>) {
        for transaction in chunk.clone() {
            let places = self.program.places(self.start + transaction as usize);
            places.for_each(|place| prefetch(self.slots.get(place)));
        }
        for transaction in chunk {
            if self.stop.0.load(Relaxed) {
                return;
            }
            let record = self.memory.records.get(self.turn, transaction);
            if record.claim() {
                self.execute_ahead(worker, transaction, record);
            }
        }
    }

    /// Executes on what the lists hold by now, for the frontier to check.
    fn execute_ahead(&self, worker: &mut Worker, transaction: u32, record: Record<'_>) {
        worker.executions += 1;
        let Worker { run, log, words_wanted, .. } = worker;
        let mut draft = record.draft();
        let Ok(outcome) = self.execute(log, transaction, &mut draft) else { return record.waste() };
        let words = draft.words() + log.writes.len();
        if words > self.memory.records.words() {
            *words_wanted = words.max(*words_wanted);
            self.lacks_room.store(true, Relaxed);
            return record.waste();
        }
        if !self.memory.versions.reserve(run, log.writes.len()) {
            return record.waste();
        }
        let lists = self.lists();
        let writes = log.writes.iter().map(|Write { place, kind, value }| Written {
            place: *place,
            node: lists.insert(run, *place, transaction, *kind, value),
            is_credit: *kind == Kind::Credit,
        });
        record.complete(outcome, &draft, writes);
    }

    fn execute(
        &self,
        log: &mut Log,
        transaction: u32,
        checks: impl Checks,
    ) -> Result<u64, Box<dyn Any + Send>> {
        log.clear();
        let mut view = Versioned { lists: self.lists(), sums: &self.sums, transaction, log, checks };
        let number = self.start + transaction as usize;
        catch_unwind(AssertUnwindSafe(|| self.program.execute(number, &mut view)))
    }

    /// Commits as far as transactions are executed, unless another thread is at it. Whoever is idle also executes the
    /// transaction at the frontier when the thread that took it has not begun.
    fn commit(&self, worker: &mut Worker, mut idle: bool) -> bool {
        let mut frontier = match self.frontier.0.try_lock() {
            Ok(frontier) => frontier,
            Err(TryLockError::WouldBlock) => return false,
            Err(TryLockError::Poisoned(_)) => {
                self.abort();
                return false;
            }
        };
        let frontier = &mut *frontier;
        let before = frontier.outcomes.len();
        while frontier.outcomes.len() < self.count as usize && !self.stop.0.load(Relaxed) {
            let transaction = frontier.outcomes.len() as u32;
            let record = self.memory.records.get(self.turn, transaction);
            let (again, counted) = match record.status() {
                Status::Executed => {
                    frontier.tally.validations += 1;
                    (!self.holds(record, transaction), &mut frontier.tally.conflicts)
                }
                Status::Wasted => (true, &mut frontier.tally.wasted),
                Status::Open if std::mem::take(&mut idle) && record.claim() => {
                    (true, &mut frontier.tally.taken_over)
                }
                Status::Open | Status::Running => break,
            };
            *counted += u64::from(again);
            let ended = if again {
                self.execute_finally(frontier, worker, transaction, record)
            } else {
                self.accept(frontier, worker, transaction, record);
                Ok(())
            };
            if let Err(ended) = ended.and_then(|()| self.weigh(frontier, again)) {
                frontier.ended = ended;
                self.abort();
            }
            if frontier.outcomes.len().is_multiple_of(COMMITS_PUBLISHED) {
                self.committed.0.store(frontier.outcomes.len() as u32, Release);
            }
        }
        self.committed.0.store(frontier.outcomes.len() as u32, Release);
        frontier.outcomes.len() > before
    }

    /// Whether what a transaction saw is what the committed ones before it left.
    fn holds(&self, record: Record<'_>, transaction: u32) -> bool {
        let lists = self.lists();
        record.checks().all(|check| match check {
            Check::Read { place, value } => same(&lists.read(place, transaction), &value),
            Check::Exists { place, answer } => lists.exists(place, transaction) == answer,
            Check::Reserve { counter, before, amount, answer } => {
                let mut sum = self.sums.get(counter);
                sum.value = sum.value.saturating_add(before);
                sum.allows(amount) == answer
            }
        })
    }

    /// Commits an execution that saw the truth.
    fn accept(&self, frontier: &mut Frontier, worker: &mut Worker, transaction: u32, record: Record<'_>) {
        for check in record.checks() {
            if let Check::Reserve { counter, amount, answer: true, .. } = check {
                self.sums.add(counter, amount);
            }
        }
        let lists = self.lists();
        for Written { place, node, is_credit } in record.writes() {
            // Readers above need not add up all credits of the block: where there is another node below, the sum so far
            // enters before the credit. Without room, they do add.
            if is_credit && !lists.is_last(node) && self.memory.versions.reserve(&mut worker.run, 1) {
                let sum = lists.read(place, transaction + 1);
                lists.insert(&mut worker.run, place, transaction, Kind::Value, &sum);
            }
            frontier.writes.push((place, transaction));
        }
        frontier.outcomes.push(record.outcome());
    }

    /// Executes when all before are committed, and commits.
    fn execute_finally(
        &self,
        frontier: &mut Frontier,
        worker: &mut Worker,
        transaction: u32,
        record: Record<'_>,
    ) -> Result<(), Ended> {
        if self.lacks_room.load(Relaxed) {
            return Err(Ended::Memory);
        }
        let Worker { run, log, .. } = worker;
        let outcome = self.execute(log, transaction, ()).map_err(|panic| {
            frontier.panic = Some(panic);
            Ended::Panic
        })?;
        if !self.memory.versions.reserve(run, log.writes.len()) {
            return Err(Ended::Memory);
        }
        let lists = self.lists();
        for Write { place, kind, value } in &mut log.writes {
            if *kind == Kind::Credit {
                let amount = value[0];
                *value = lists.read(*place, transaction);
                value[0] += amount;
            }
            lists.insert(run, *place, transaction, Kind::Value, value);
            frontier.writes.push((*place, transaction));
        }
        if record.status() == Status::Executed {
            record.writes().for_each(|written| lists.remove(written.node));
        }
        log.reserved.iter().for_each(|(counter, amount)| self.sums.add(*counter, *amount));
        frontier.outcomes.push(outcome);
        Ok(())
    }

    /// Ends the speculation when more than half of the last commits took a second execution.
    fn weigh(&self, frontier: &mut Frontier, again: bool) -> Result<(), Ended> {
        frontier.recent = (frontier.recent << 1 | u64::from(again)) & ((1 << WEIGHED) - 1);
        let most = frontier.recent.count_ones() > WEIGHED / 2;
        if self.shape.gives_up && most { Err(Ended::Conflicts) } else { Ok(()) }
    }
}

/// Writes what a speculation committed back into the slots, in any order: only the last writer of a slot writes it.
pub(crate) struct WriteBack {
    pub(crate) slots: Slots,
    pub(crate) epoch: u32,
    pub(crate) memory: Arc<Memory>,
    pub(crate) committed: u32,
    pub(crate) writes: Vec<(Place, u32)>,
    pub(crate) cursor: AtomicUsize,
}

impl Job for WriteBack {
    fn work(&self, worker: usize) {
        let lists = Lists { slots: &self.slots, versions: &self.memory.versions, epoch: self.epoch };
        let mut worker = lock(&self.memory.workers[worker]);
        while self.cursor.load(Relaxed) < self.writes.len() {
            let first = self.cursor.fetch_add(WRITES_TAKEN, Relaxed).min(self.writes.len());
            let taken = &self.writes[first..self.writes.len().min(first + WRITES_TAKEN)];
            for (place, writer) in taken {
                if let Some(value) = lists.last(*place, *writer, self.committed) {
                    self.slots.get(*place).set_value(&value);
                    worker.changed.push(*place);
                }
            }
        }
    }

    fn abort(&self) {
        self.cursor.store(self.writes.len(), Release);
    }
}

/// How many commits at most are behind what other threads see of the frontier.
const COMMITS_PUBLISHED: usize = 8;

/// Commits by which a speculation is judged.
const WEIGHED: u32 = 48;

const WRITES_TAKEN: usize = 256;
