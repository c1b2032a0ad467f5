//! What the engine executes: programs, and the view of the accounts that a transaction gets.

use crate::slots::{Place, Value};

/// The transactions of a block, executable in any order, and more than once.
///
/// An execution is a function of the transaction and of what the view answered, on any thread. While it speculates, the
/// view may answer with values that never stood beside one another; such an execution has no effect, whatever it does,
/// and even if it panics. An execution that panics on true values ends the block with that panic.
pub trait Program: Send + Sync + 'static {
    /// How many transactions the block has.
    fn count(&self) -> usize;

    /// Places that a transaction probably uses, to be loaded ahead. A wrong hint costs time only.
    fn places(&self, transaction: usize) -> impl Iterator<Item = Place>;

    /// Executes a transaction and gives its outcome, in an encoding of the program's own. What it wrote stands, also
    /// when the outcome is a failure: a program writes once it knows.
    fn execute(&self, transaction: usize, view: &mut impl View) -> u64;
}

/// The accounts as one transaction sees them: as all transactions before it in the block left them, and its own writes.
pub trait View {
    /// The value at a place; all zero if nothing exists there. Reading twice gives the same.
    fn read(&mut self, place: Place) -> Value;

    /// Whether anything exists at a place. Conflicts only with the transaction that opens it.
    fn exists(&mut self, place: Place) -> bool;

    /// Writes a value, which must have the bit that says it exists: nothing is ever removed.
    fn write(&mut self, place: Place, value: Value);

    /// Adds to the first word of a value that exists, without looking at it: additions do not conflict with one another.
    fn credit(&mut self, place: Place, amount: u64);

    /// Adds to a counter if its limit allows, and says whether it did. Conflicts only where the answer changes.
    fn reserve(&mut self, counter: usize, amount: u64) -> bool;
}

/// A number that transactions of a block add to and cannot read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter {
    /// The sum so far.
    pub value: u64,
    /// It is never above this.
    pub limit: u64,
}

impl Counter {
    /// Whether `amount` more is within the limit.
    pub(crate) fn allows(&self, amount: u64) -> bool {
        self.allows_after(0, amount)
    }

    /// The same after `before` was added.
    pub(crate) fn allows_after(&self, before: u64, amount: u64) -> bool {
        let sum = self.value.checked_add(before).and_then(|sum| sum.checked_add(amount));
        sum.is_some_and(|sum| sum <= self.limit)
    }
}
