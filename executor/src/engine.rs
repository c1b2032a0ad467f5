//! The engine that executes the transactions of a block: one after the other, or on several threads with the same result.
//!
//! `program` is what it executes. `views` are what a transaction sees of the accounts. `records` hold what is seen and written
//! ahead of the commit frontier, `versions` finds it there. `speculation` is the algorithm, with where it parts from its
//! sources and a diagram of what happens to a transaction; `frontier` commits; `modes` decides when to speculate; `pool` has
//! the threads. `model` has the threads' protocol checked by loom and shuttle (`make model-engine`).

mod frontier;
mod modes;
mod pool;
mod program;
mod records;
mod speculation;
mod versions;
mod views;
mod wait;

use std::{mem, sync::Arc};

use fresnel_crypto::prefetch;

pub use program::{Counter, Program, View};

use crate::{
    engine::{
        frontier::{Ended, Frontier},
        modes::{Modes, Step, Switch},
        pool::Pool,
        records::WORDS_MAX,
        speculation::{Memory, Padded, Shape, Speculation, WINDOW_MAX},
        versions::{WORKERS_MAX, WRITERS_MAX},
        views::{Direct, Sums},
    },
    sync::{Mutex, lock},
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
    /// Executions ahead whose checks were looked at.
    pub validations: u64,
    /// Transactions that speculations executed at the frontier without any execution ahead.
    pub in_turn: u64,
    /// Of these, those that another thread had taken and did not come to.
    pub taken_over: u64,
    /// Second executions because the first saw another value.
    pub reexecuted_value: u64,
    /// Second executions because the first saw something exist that does not, or the reverse.
    pub reexecuted_existence: u64,
    /// Second executions because a counter has room, or not, otherwise than the first saw.
    pub reexecuted_counter: u64,
    /// Second executions because the first panicked or had no room.
    pub reexecuted_wasted: u64,
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
    /// Times that records were too small; they were larger from then on.
    pub grown: u64,
    /// Time in serial execution.
    pub serial_ns: u64,
    /// Time in speculations.
    pub speculation_ns: u64,
}

impl Metrics {
    /// Second executions, whatever the cause. No transaction has a third.
    pub fn reexecuted(&self) -> u64 {
        self.reexecuted_value + self.reexecuted_existence + self.reexecuted_counter + self.reexecuted_wasted
    }

    /// Changes of the mode.
    pub fn switches(&self) -> u64 {
        self.switched_cheap + self.switched_dear + self.switched_conflicts + self.switched_slow
    }
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
    /// What a transaction took one thread in the last speculation, to go by where no serial execution was measured.
    speculated_ns: Option<u64>,
    /// How long a chunk lasts.
    chunk_ns: u64,
    metrics: Metrics,
    /// What tests want to see.
    #[cfg(test)]
    forced: Option<Shape>,
}

impl Engine {
    /// An engine of `threads` threads, at least one, the caller's included. Whoever makes it decides how many that is and
    /// gives the clock: this crate starts no thread and reads no clock otherwise.
    pub fn new(threads: usize, policy: Policy, clock: Clock) -> Self {
        let pool = Pool::new(threads.clamp(1, WORKERS_MAX));
        let memory = Arc::new(Memory::new(pool.threads(), WINDOW_MAX, WORDS_FIRST));
        Self {
            pool,
            policy,
            clock,
            modes: Modes::default(),
            memory,
            turn: 0,
            speculated_ns: None,
            chunk_ns: CHUNK_NS_MAX,
            metrics: Metrics::default(),
            #[cfg(test)]
            forced: None,
        }
    }

    /// How many threads it has, the caller's included.
    pub fn threads(&self) -> usize {
        self.pool.threads()
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
        self.begin_turn();
        let job = Arc::new(Speculation {
            program: program.clone(),
            start: outcomes.len(),
            count: count.min(WRITERS_MAX) as u32,
            slots: table.slots().clone(),
            epoch: table.next_epoch(),
            turn: self.turn,
            sums: Sums::new(counters),
            shape: self.shape(),
            memory: self.memory.clone(),
            cursor: Padded::default(),
            committed: Padded::default(),
            stop: Padded::default(),
            lacks_room: false.into(),
            frontier: Padded(Mutex::new(Frontier::new(mem::take(outcomes), counters))),
        });
        self.pool.run(job.clone());
        let done = Arc::into_inner(job).expect("all threads let go of a job before it is over");
        let frontier = done.frontier.0.into_inner().expect("a panic at the frontier went on in this thread");
        *outcomes = frontier.outcomes;
        counters.copy_from_slice(&frontier.counters);
        drop(done.memory);
        self.end_turn(table);
        frontier.ended
    }

    fn shape(&self) -> Shape {
        #[cfg(test)]
        if let Some(forced) = self.forced {
            return forced;
        }
        let mean_ns = self.modes.mean_ns().or(self.speculated_ns).unwrap_or(MEAN_NS_UNKNOWN).max(1);
        let chunk = self.chunk_ns.div_ceil(mean_ns).clamp(1, CHUNK_MAX) as u32;
        let window = (chunk * CHUNKS_AHEAD * self.pool.threads() as u32).clamp(WINDOW_MIN, WINDOW_MAX);
        Shape {
            chunk,
            window,
            gives_up: self.policy == Policy::Auto,
            helps: chunk == 1,
            #[cfg(test)]
            denies_one_in: 0,
        }
    }

    /// So that nothing of an earlier speculation, not even of one that a panic ended, is taken for something of the next.
    fn begin_turn(&mut self) {
        self.memory.workers.iter().for_each(|worker| lock(worker).changed.clear());
        self.turn = self.turn.wrapping_add(1);
        if self.turn == 0 {
            self.turn = 1;
            self.memory = self.new_memory(self.memory.records.words());
        }
    }

    fn new_memory(&self, words: usize) -> Arc<Memory> {
        Arc::new(Memory::new(self.pool.threads(), WINDOW_MAX, words))
    }

    /// Collects what the threads left, and makes records larger that lacked room.
    fn end_turn(&mut self, table: &mut Table) {
        let metrics = &mut self.metrics;
        metrics.speculations += 1;
        let (mut wanted, mut validations, mut conflicts) = (0, 0, 0);
        for worker in &self.memory.workers {
            let mut worker = lock(worker);
            let tally = mem::take(&mut worker.tally);
            metrics.executions_ahead += tally.executions_ahead;
            metrics.validations += tally.validations;
            metrics.in_turn += tally.in_turn;
            metrics.taken_over += tally.taken_over;
            metrics.reexecuted_value += tally.conflicts_value;
            metrics.reexecuted_existence += tally.conflicts_existence;
            metrics.reexecuted_counter += tally.conflicts_counter;
            metrics.reexecuted_wasted += tally.wasted;
            validations += tally.validations;
            conflicts += tally.conflicts_value + tally.conflicts_existence + tally.conflicts_counter;
            wanted = wanted.max(mem::take(&mut worker.words_wanted));
            table.note_changed(&mut worker.changed);
        }
        if conflicts > validations / CONFLICTS_MANY {
            self.chunk_ns = (self.chunk_ns / 2).max(CHUNK_NS_MIN);
        } else if conflicts < validations / CONFLICTS_FEW {
            self.chunk_ns = (self.chunk_ns * 2).min(CHUNK_NS_MAX);
        }
        let words = self.memory.records.words();
        if wanted.min(WORDS_MAX) > words {
            metrics.grown += 1;
            self.memory = self.new_memory(wanted.next_power_of_two().min(WORDS_MAX));
        }
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
    let (slots, epoch, changed) = table.parts();
    let mut view = Direct { slots, epoch, changed, counters, published: 0, met_list: false, added_to: 0 };
    for transaction in outcomes.len()..end {
        if transaction + PREFETCHED < end {
            program.places(transaction + PREFETCHED).for_each(|place| prefetch(slots.get(place)));
        }
        outcomes.push(program.execute(transaction, &mut view));
    }
}

/// How many transactions ahead of their execution places are brought into the cache.
const PREFETCHED: usize = 32;

/// A chunk is about this much work. To hand the frontier on takes half a microsecond of both threads; so chunks are long
/// where transactions seldom conflict, and shorter where they do, since what conflicts is within a few chunks. The shortest is where
/// a hundred accounts did best: 8 transactions of 0.3 us (4 and 13 are worse), 3 or 4 of 1 us.
const CHUNK_NS_MAX: u64 = 32_000;
const CHUNK_NS_MIN: u64 = 2_500;
const CHUNK_MAX: u64 = 64;

/// Chunks get shorter when more than one in so many executions ahead conflicted, longer when less than one in so many did.
const CONFLICTS_MANY: u64 = 40;
const CONFLICTS_FEW: u64 = 200;

const MEAN_NS_UNKNOWN: u64 = 1_000;

/// How many chunks per thread may be ahead of the frontier.
const CHUNKS_AHEAD: u32 = 8;
const WINDOW_MIN: u32 = 64;

/// Words of a new record: two cache lines.
const WORDS_FIRST: usize = 16;

#[cfg(all(test, any(feature = "loom", feature = "shuttle")))]
mod model;
#[cfg(all(test, not(any(feature = "loom", feature = "shuttle"))))]
mod tests;
