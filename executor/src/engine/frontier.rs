//! The commit frontier: one transaction after the other becomes true, in order, by whoever holds it.
//!
//! The slots always hold what the committed transactions left. So what an execution ahead saw is compared with them, and
//! what it writes goes into them. What was not executed ahead, or saw anything else, executes here *in turn*: directly on
//! the slots, as serial execution does. So no transaction executes more than twice, and a speculation that ends anywhere
//! leaves exactly what a prefix of the block leaves.

use std::mem;

use crate::{
    engine::{
        program::{Counter, Program, View},
        records::{Change, Check, Record, Status},
        speculation::{Speculation, Worker, has_taken},
        views::Direct,
    },
    slots::{exists, same},
    sync::atomic::Ordering::Release,
};

/// What is true so far, besides what stands in the slots. With its lock it fills one cache line, which moves with the frontier.
pub(crate) struct Frontier {
    /// Of all transactions of the block so far, those before the speculation included.
    pub(crate) outcomes: Vec<u64>,
    pub(crate) counters: Box<[Counter]>,
    /// A bit for each of the last executions ahead, set when it was in vain.
    recent: u64,
    pub(crate) ended: Ended,
}

/// Why a speculation ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Ended {
    /// All transactions are committed.
    #[default]
    Complete,
    /// Most executions ahead were in vain.
    Conflicts,
    /// A record was too small.
    Room,
}

/// What a worker counts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) executions_ahead: u64,
    /// Executions ahead whose checks were looked at.
    pub(crate) validations: u64,
    /// Transactions executed in turn that the frontier found not executed ahead.
    pub(crate) in_turn: u64,
    /// Of these, those that another worker had taken.
    pub(crate) taken_over: u64,
    /// Executed again because of a value.
    pub(crate) conflicts_value: u64,
    /// Executed again because something existed or not.
    pub(crate) conflicts_existence: u64,
    /// Executed again because of a counter.
    pub(crate) conflicts_counter: u64,
    /// Executed again because the first execution panicked or had no room.
    pub(crate) wasted: u64,
}

/// Whose transactions a worker commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reach {
    /// Its own. Those of others are in the caches of others, who will be here soon.
    Own,
    /// All that are executed.
    Executed,
    /// The next as well if it is not executed, since its worker does not come to it.
    Next,
}

impl Frontier {
    pub(crate) fn new(outcomes: Vec<u64>, counters: &[Counter]) -> Self {
        Self { outcomes, counters: counters.into(), recent: 0, ended: Ended::default() }
    }
}

impl<P: Program> Speculation<P> {
    /// Goes on from the frontier as far as `reach` says, unless another worker holds it. Whether it moved.
    pub(crate) fn advance(&self, worker: &mut Worker, reach: Reach) -> bool {
        let Some(mut frontier) = self.hold_frontier() else { return false };
        let Frontier { outcomes, counters, recent, ended } = &mut *frontier;
        let first = (outcomes.len() - self.start) as u32;
        let mut at = first;
        let mut next_chunk = at;
        let mut owner = None;
        let mut accepts = false;
        let Worker { number, changed, tally, pending, .. } = worker;
        let mut direct = Direct {
            slots: &self.slots,
            epoch: self.epoch,
            changed,
            counters,
            published: at,
            met_list: false,
            added_to: 0,
        };
        while at < self.count && !self.is_stopped() {
            if at == next_chunk {
                next_chunk = self.chunk_after(at);
                let is_own = has_taken(pending, at, self.shape.chunk);
                owner = if is_own { Some(*number) } else { self.owner_of(at) };
            }
            let is_own = owner == Some(*number);
            if !is_own && reach == Reach::Own {
                break;
            }
            let record = owner.map(|owner| self.memory.records.get(owner, self.turn, at));
            let status = record.map_or(Status::Open, |record| record.status());
            match (status, record) {
                (Status::Executed, Some(record)) => {
                    tally.validations += 1;
                    *recent <<= 1;
                    let differing = first_difference(record, &direct);
                    #[cfg(test)]
                    let differing = differing.or_else(|| self.shape.denial(at));
                    let Some(differing) = differing else {
                        accept(record, &mut direct);
                        outcomes.push(record.outcome());
                        at += 1;
                        accepts = true;
                        continue;
                    };
                    tally.count(differing);
                    *recent |= 1;
                }
                (Status::Wasted, _) => {
                    tally.wasted += 1;
                    *recent = *recent << 1 | 1;
                }
                _ if is_own || reach == Reach::Next => {
                    tally.in_turn += 1;
                    tally.taken_over += u64::from(!is_own);
                }
                _ => break,
            }
            // What was accepted is to be seen while this takes its time, and what it writes at once where others look.
            if mem::take(&mut accepts) {
                self.publish(&mut direct, at);
            }
            outcomes.push(self.program.execute(self.start + at as usize, &mut direct));
            at += 1;
            if direct.met_list {
                self.publish(&mut direct, at);
            }
            if self.lacks_room() {
                *ended = Ended::Room;
                self.stop();
            } else if self.shape.gives_up && (*recent & WEIGHED).count_ones() > WEIGHED.count_ones() / 2 {
                *ended = Ended::Conflicts;
                self.stop();
            }
        }
        self.publish(&mut direct, at);
        at > first
    }

    /// Lets other threads know what is committed.
    #[inline]
    fn publish(&self, direct: &mut Direct<'_>, committed: u32) {
        direct.met_list = false;
        if direct.published < committed {
            self.sums.publish(direct.counters, mem::take(&mut direct.added_to));
            self.committed.0.store(committed, Release);
            direct.published = committed;
        }
    }
}

impl Tally {
    #[cold]
    fn count(&mut self, differing: Check) {
        match differing {
            Check::Read { .. } => self.conflicts_value += 1,
            Check::Exists { .. } => self.conflicts_existence += 1,
            Check::Reserve { .. } => self.conflicts_counter += 1,
        }
    }
}

/// The first thing that an execution ahead saw otherwise than it is.
#[inline]
fn first_difference(record: Record<'_>, direct: &Direct<'_>) -> Option<Check> {
    record.checks().find(|check| match *check {
        Check::Read { place, value } => !same(&direct.slots.get(place).value(), &value),
        Check::Exists { place, answer } => exists(&direct.slots.get(place).value()) != answer,
        Check::Reserve { counter, before, amount, answer } => {
            direct.counters[counter as usize].allows_after(before, amount) != answer
        }
    })
}

/// Makes true what an execution ahead wrote that saw the truth.
#[inline]
fn accept(record: Record<'_>, direct: &mut Direct<'_>) {
    for (place, change) in record.writes() {
        match change {
            Change::Value(value) => direct.write(place, value),
            Change::Credit(amount) => direct.credit(place, amount),
        }
    }
    if record.reserves() {
        for check in record.checks() {
            if let Check::Reserve { counter, amount, answer: true, .. } = check {
                let is_allowed = direct.reserve(counter as usize, amount);
                assert!(is_allowed, "what was checked to be within a limit is");
            }
        }
    }
}

/// The executions ahead by which a speculation is judged: the last 48.
const WEIGHED: u64 = (1 << 48) - 1;
