//! The engine that executes the transactions of a block: one after the other, or on several threads with the same result.
//!
//! `program` is what it executes. `views` are what a transaction sees of the accounts. `versions` and `records` hold what
//! is written and seen ahead of the commit frontier. `speculation` is the algorithm, with where it parts from
//! its sources; `modes` decides when to use it; `pool` has the threads.

mod modes;
mod pool;
mod program;
mod records;
mod speculation;
mod versions;
mod views;
mod wait;

use std::{
    mem,
    panic::resume_unwind,
    sync::{Arc, atomic::AtomicUsize},
};

pub use program::{Counter, Program, View};

use crate::{
    engine::{
        modes::{Modes, Step, Switch},
        pool::{Pool, lock},
        records::Records,
        speculation::{Ended, Frontier, Memory, Padded, Shape, Speculation, Worker, WriteBack},
        versions::{NODES_MAX, NODES_RUN, Versions, WRITERS_MAX},
        views::{Serial, Sums},
    },
    table::Table,
};

/// When to speculate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Never.
    Serial,
    /// When it pays, as measured.
    Auto,
    /// Always.
    Speculative,
}

/// Nanoseconds since any instant, never less than before. Only the modes use it, so that no result depends on it.
pub type Clock = fn() -> u64;

/// What an engine did since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Transactions executed one after the other.
    pub serial: u64,
    /// Transactions committed by speculations.
    pub speculative: u64,
    /// Executions ahead of the frontier, those in vain included.
    pub executions_ahead: u64,
    /// Executions whose checks were looked at.
    pub validations: u64,
    /// Second executions because a check failed.
    pub reexecuted_conflict: u64,
    /// Second executions because the first panicked or had no room.
    pub reexecuted_wasted: u64,
    /// First executions at the frontier, because the thread that had taken them had not begun.
    pub taken_over: u64,
    /// Speculations begun.
    pub speculations: u64,
    /// Probes that found transactions too cheap to speculate.
    pub switched_cheap: u64,
    /// Probes that found them dear enough.
    pub switched_dear: u64,
    /// Speculations given up because of conflicts.
    pub switched_conflicts: u64,
    /// Speculations after which the mode changed because they were slower than serial execution.
    pub switched_slow: u64,
    /// Speculations that ended because the arena was full or a record too small; the next had larger ones.
    pub grown: u64,
    /// Time in serial execution.
    pub serial_ns: u64,
    /// Time in speculations.
    pub speculation_ns: u64,
    /// Of that, writing back what was committed.
    pub write_back_ns: u64,
}

/// Executes blocks. It has its own threads for as long as it lives, since a block is too short to start any.
pub struct Engine {
    pool: Pool,
    policy: Policy,
    clock: Clock,
    modes: Modes,
    memory: Arc<Memory>,
    /// Counts speculations, also over several tables, for the records to tell one from another.
    turn: u32,
    frontier: Frontier,
    /// What a transaction took one thread in the last speculation, to go by where no serial execution was measured.
    speculated_ns: Option<u64>,
    metrics: Metrics,
}

impl Engine {
    /// An engine of `threads` threads, at least one, the caller's included. Whoever makes it decides how many that is and
    /// gives the clock: this crate starts no thread and reads no clock otherwise.
    pub fn new(threads: usize, policy: Policy, clock: Clock) -> Self {
        let pool = Pool::new(threads.max(1));
        let memory = Arc::new(Memory::new(pool.threads(), NODES_FIRST, WORDS_FIRST));
        Self {
            pool,
            policy,
            clock,
            modes: Modes::default(),
            memory,
            turn: 0,
            frontier: Frontier::default(),
            speculated_ns: None,
            metrics: Metrics::default(),
        }
    }

    /// What it did so far.
    pub fn metrics(&self) -> Metrics {
        self.metrics
    }

    /// Executes all transactions of `program` on `table`, adds to `counters`, and gives the outcomes in order: those of
    /// executing one after the other, whatever the policy and however many threads.
    ///
    /// # Panics
    /// When a transaction does, on true values. The table then holds part of the block and must not be used.
    pub fn run<P: Program>(
        &mut self,
        table: &mut Table,
        program: &Arc<P>,
        counters: &mut [Counter],
    ) -> Vec<u64> {
        let mut outcomes = Vec::with_capacity(program.count());
        while outcomes.len() < program.count() {
            let remaining = program.count() - outcomes.len();
            let step = match self.policy {
                Policy::Serial => Step::Serial(remaining),
                Policy::Auto => self.modes.next(remaining, self.pool.threads()),
                Policy::Speculative => Step::Speculate(remaining),
            };
            self.step(step, table, program, counters, &mut outcomes);
        }
        outcomes
    }

    fn step<P: Program>(
        &mut self,
        step: Step,
        table: &mut Table,
        program: &Arc<P>,
        counters: &mut [Counter],
        outcomes: &mut Vec<u64>,
    ) {
        let before = outcomes.len();
        let started = (self.clock)();
        let ended = match step {
            Step::Serial(count) => {
                run_serially(&**program, count, table, counters, outcomes);
                Ended::Complete
            }
            Step::Speculate(count) => self.speculate(count, table, program, counters, outcomes),
        };
        let count = outcomes.len() - before;
        let took_ns = (self.clock)().saturating_sub(started);
        let switch = match step {
            Step::Serial(_) => {
                self.metrics.serial += count as u64;
                self.metrics.serial_ns += took_ns;
                self.modes.executed(count, took_ns)
            }
            Step::Speculate(_) => {
                self.metrics.speculative += count as u64;
                self.metrics.speculation_ns += took_ns;
                self.speculated_ns = Some(took_ns * self.pool.threads() as u64 / count.max(1) as u64);
                self.modes.speculated(count, took_ns, ended == Ended::Conflicts)
            }
        };
        match switch {
            None => {}
            Some(Switch::Cheap) => self.metrics.switched_cheap += 1,
            Some(Switch::Dear) => self.metrics.switched_dear += 1,
            Some(Switch::Conflicts) => self.metrics.switched_conflicts += 1,
            Some(Switch::Slow) => self.metrics.switched_slow += 1,
        }
    }

    /// Speculates on the next transactions and appends the outcomes of those that it commits.
    fn speculate<P: Program>(
        &mut self,
        count: usize,
        table: &mut Table,
        program: &Arc<P>,
        counters: &mut [Counter],
        outcomes: &mut Vec<u64>,
    ) -> Ended {
        let start = outcomes.len();
        let count = count.min(WRITERS_MAX - 1) as u32;
        let epoch = table.next_epoch();
        self.reset_memory();
        let job = Arc::new(Speculation {
            program: program.clone(),
            start,
            count,
            slots: table.slots().clone(),
            epoch,
            turn: self.turn,
            sums: Sums::new(counters),
            shape: self.shape(),
            memory: self.memory.clone(),
            cursor: Padded::default(),
            committed: Padded::default(),
            stop: Padded::default(),
            lacks_room: false.into(),
            frontier: Padded(mem::take(&mut self.frontier).into()),
        });
        self.pool.run(job.clone());
        let done = Arc::into_inner(job).expect("all threads let go of a job before it is over");
        let mut frontier =
            done.frontier.0.into_inner().expect("a panic at the frontier went on in this thread");
        if let Some(panic) = frontier.panic {
            resume_unwind(panic);
        }
        self.count(&frontier);
        done.sums.write_to(counters);
        drop(done.memory);
        self.write_back(table, epoch, &mut frontier);
        // Heads under the epoch of the speculation name nodes, so marks of changes need the next.
        table.next_epoch();
        outcomes.append(&mut frontier.outcomes);
        let ended = frontier.ended;
        let Frontier { outcomes, writes, .. } = frontier;
        self.frontier = Frontier { outcomes, writes, ..Frontier::default() };
        if ended == Ended::Memory {
            self.grow();
        }
        ended
    }

    fn shape(&self) -> Shape {
        let mean_ns = self.modes.mean_ns().or(self.speculated_ns).unwrap_or(MEAN_NS_UNKNOWN).max(1);
        let chunk = (CHUNK_NS / mean_ns).clamp(1, CHUNK_MAX) as u32;
        let window = (chunk * CHUNKS_AHEAD * self.pool.threads() as u32).clamp(WINDOW_MIN, WINDOW_MAX);
        Shape { chunk, window, gives_up: self.policy == Policy::Auto }
    }

    /// Makes larger what was too small: records if one lacked room, else the arena.
    fn grow(&mut self) {
        self.metrics.grown += 1;
        let Memory { versions, records, workers } = &*self.memory;
        let wanted = workers.iter().map(|worker| lock(worker).words_wanted).max().unwrap_or(0);
        let (nodes, words) = if wanted > records.words() {
            (versions.capacity(), wanted)
        } else {
            ((2 * versions.capacity()).min(NODES_MAX), records.words())
        };
        self.memory = Arc::new(Memory::new(self.pool.threads(), nodes, words));
    }

    /// Takes nodes back and begins a new turn.
    fn reset_memory(&mut self) {
        self.turn = self.turn.wrapping_add(1);
        let threads = self.pool.threads();
        let memory = Arc::get_mut(&mut self.memory).expect("no job is under way");
        if self.turn == 0 {
            self.turn = 1;
            memory.records = Records::new(records_at_once(threads), memory.records.words());
        }
        memory.versions.reset();
        memory.workers.iter().for_each(|worker| lock(worker).run = Default::default());
    }

    fn count(&mut self, frontier: &Frontier) {
        let metrics = &mut self.metrics;
        metrics.speculations += 1;
        metrics.validations += frontier.tally.validations;
        metrics.reexecuted_conflict += frontier.tally.conflicts;
        metrics.reexecuted_wasted += frontier.tally.wasted;
        metrics.taken_over += frontier.tally.taken_over;
        for worker in &self.memory.workers {
            metrics.executions_ahead += mem::take(&mut lock(worker).executions);
        }
    }

    fn write_back(&mut self, table: &mut Table, epoch: u32, frontier: &mut Frontier) {
        let started = (self.clock)();
        let job = Arc::new(WriteBack {
            slots: table.slots().clone(),
            epoch,
            memory: self.memory.clone(),
            committed: frontier.outcomes.len() as u32,
            writes: mem::take(&mut frontier.writes),
            cursor: AtomicUsize::new(0),
        });
        self.pool.run(job.clone());
        let mut done = Arc::into_inner(job).expect("all threads let go of a job before it is over");
        done.writes.clear();
        frontier.writes = done.writes;
        for worker in &self.memory.workers {
            table.note_changed(&mut lock(worker).changed);
        }
        self.metrics.write_back_ns += (self.clock)().saturating_sub(started);
    }
}

/// Executes all transactions one after the other and gives their outcomes.
pub(crate) fn run_alone<P: Program>(program: &P, table: &mut Table, counters: &mut [Counter]) -> Vec<u64> {
    let mut outcomes = Vec::with_capacity(program.count());
    run_serially(program, program.count(), table, counters, &mut outcomes);
    outcomes
}

/// Executes `count` transactions one after the other, beginning behind those that have an outcome.
fn run_serially<P: Program>(
    program: &P,
    count: usize,
    table: &mut Table,
    counters: &mut [Counter],
    outcomes: &mut Vec<u64>,
) {
    let end = outcomes.len() + count;
    let mut view = Serial { table, counters };
    for transaction in outcomes.len()..end {
        if transaction + PREFETCHED < end {
            program.places(transaction + PREFETCHED).for_each(|place| view.table.prefetch(place));
        }
        outcomes.push(program.execute(transaction, &mut view));
    }
}

impl Memory {
    fn new(threads: usize, nodes: usize, words: usize) -> Self {
        Self {
            versions: Versions::new(nodes.max(threads * NODES_RUN as usize)),
            records: Records::new(records_at_once(threads), words),
            workers: (0..threads).map(|_| Worker::default().into()).collect(),
        }
    }
}

/// Transactions that can be between the frontier and the cursor.
fn records_at_once(threads: usize) -> usize {
    WINDOW_MAX as usize + (threads + 1) * CHUNK_MAX as usize
}

/// How many transactions ahead of their execution places are brought into the cache.
const PREFETCHED: usize = 16;

/// A chunk is about this much work: long beside the taking of it, short beside a block.
const CHUNK_NS: u64 = 4_000;
const CHUNK_MAX: u64 = 32;
const MEAN_NS_UNKNOWN: u64 = 1_000;

/// How many chunks per thread may be ahead of the frontier.
const CHUNKS_AHEAD: u32 = 8;
const WINDOW_MIN: u32 = 64;
const WINDOW_MAX: u32 = 512;

/// Nodes of a new arena; it doubles when it is full.
const NODES_FIRST: usize = 1 << 14;
/// Words of a new record, with what stands before them two cache lines.
const WORDS_FIRST: usize = 13;

#[cfg(test)]
mod tests;
