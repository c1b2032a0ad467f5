//! The two views: the direct one reads and writes the truth, the one ahead of the frontier guesses and keeps what it saw.

use crate::{
    engine::{
        program::{Counter, View},
        records::{Change, Check, Draft},
        versions::{Link, Lists},
    },
    slots::{EXISTS, Mark, Place, Slots, Value, exists},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// The view of a transaction that executes when all before it are done: one after the other, or at the commit frontier. Its methods
/// are a few loads and stores, and become part of their callers even where the compiler would rather call them: that is a fifth of
/// a cheap transaction.
pub(crate) struct Direct<'a> {
    pub(crate) slots: &'a Slots,
    pub(crate) epoch: u32,
    /// Gets the places that were written, once each, or seldom more often.
    pub(crate) changed: &'a mut Vec<Place>,
    pub(crate) counters: &'a mut [Counter],
    /// Up to where other threads know that transactions are committed.
    pub(crate) published: u32,
    /// Whether a place was written whose list names a later transaction, so that others may not see what was written.
    pub(crate) met_list: bool,
    /// A bit for each counter that was added to, modulo 64.
    pub(crate) added_to: u64,
}

impl View for Direct<'_> {
    #[inline(always)]
    fn read(&mut self, place: Place) -> Value {
        self.slots.get(place).value()
    }

    #[inline(always)]
    fn exists(&mut self, place: Place) -> bool {
        exists(&self.slots.get(place).value())
    }

    #[inline(always)]
    fn write(&mut self, place: Place, value: Value) {
        assert_exists(&value);
        let slot = self.slots.get(place);
        slot.set_value(&value);
        let Mark { is_first, list } = slot.mark_changed(self.epoch);
        self.met_list |= Link(list).writer() >= Some(self.published);
        if is_first {
            self.changed.push(place);
        }
    }

    #[inline(always)]
    fn credit(&mut self, place: Place, amount: u64) {
        let mut value = self.read(place);
        value[0] = value[0].checked_add(amount).expect("a program's supply bounds what it credits");
        self.write(place, value);
    }

    #[inline(always)]
    fn reserve(&mut self, counter: usize, amount: u64) -> bool {
        let allowed = self.counters[counter].allows(amount);
        if allowed {
            self.counters[counter].value += amount;
            self.added_to |= 1 << (counter % 64);
        }
        allowed
    }
}

/// The sums of the counters as last published by the frontier, and their limits, to guess by.
pub(crate) struct Sums {
    counters: Box<[(AtomicU64, u64)]>,
}

impl Sums {
    pub(crate) fn new(counters: &[Counter]) -> Self {
        Self { counters: counters.iter().map(|one| (AtomicU64::new(one.value), one.limit)).collect() }
    }

    fn get(&self, counter: u32) -> Counter {
        let (value, limit) = &self.counters[counter as usize];
        Counter { value: value.load(Relaxed), limit: *limit }
    }

    /// Publishes those of which `added_to` has the bit.
    #[inline]
    pub(crate) fn publish(&self, counters: &[Counter], mut added_to: u64) {
        while added_to != 0 {
            let first = added_to.trailing_zeros() as usize;
            for (sum, counter) in self.counters.iter().zip(counters).skip(first).step_by(64) {
                sum.0.store(counter.value, Relaxed);
            }
            added_to &= added_to - 1;
        }
    }
}

/// The view of a transaction that executes ahead of the frontier.
pub(crate) struct Ahead<'a> {
    pub(crate) lists: Lists<'a>,
    pub(crate) sums: &'a Sums,
    pub(crate) transaction: u32,
    pub(crate) draft: Draft<'a>,
}

impl Ahead<'_> {
    /// What the transactions before seem to have left, the same each time.
    #[inline]
    fn below(&mut self, place: Place) -> Value {
        if let Some(value) = self.draft.earlier_read(place) {
            return value;
        }
        let value = self.lists.read(place, self.transaction);
        self.draft.push(Check::Read { place, value });
        value
    }
}

impl View for Ahead<'_> {
    #[inline]
    fn read(&mut self, place: Place) -> Value {
        match self.draft.own(place) {
            Some((_, Change::Value(value))) => value,
            Some((_, Change::Credit(amount))) => {
                let mut below = self.below(place);
                below[0] = below[0].wrapping_add(amount);
                below
            }
            None => self.below(place),
        }
    }

    #[inline]
    fn exists(&mut self, place: Place) -> bool {
        if self.draft.own(place).is_some() {
            return true;
        }
        let Some(answer) = self.lists.exists(place, self.transaction) else { return true };
        self.draft.push(Check::Exists { place, answer });
        answer
    }

    #[inline]
    fn write(&mut self, place: Place, value: Value) {
        assert_exists(&value);
        match self.draft.own(place) {
            Some((number, _)) => self.draft.set_write(number, place, Change::Value(value)),
            None => self.draft.add_write(place, Change::Value(value)),
        }
    }

    #[inline]
    fn credit(&mut self, place: Place, amount: u64) {
        match self.draft.own(place) {
            None => self.draft.add_write(place, Change::Credit(amount)),
            Some((number, change)) => {
                let change = match change {
                    Change::Value([first, rest @ ..]) => {
                        Change::Value([first.wrapping_add(amount), rest[0], rest[1]])
                    }
                    Change::Credit(first) => Change::Credit(first.wrapping_add(amount)),
                };
                self.draft.set_write(number, place, change);
            }
        }
    }

    fn reserve(&mut self, counter: usize, amount: u64) -> bool {
        let number = u32::try_from(counter).expect("counters are few");
        let before = self.draft.reserved(number);
        let answer = self.sums.get(number).allows_after(before, amount);
        self.draft.push(Check::Reserve { counter: number, before, amount, answer });
        answer
    }
}

/// Zero says that nothing exists, so that nothing can be removed.
#[inline]
fn assert_exists(value: &Value) {
    assert_ne!(value[2] & EXISTS, 0, "a program writes only what exists and credits only what it saw exist");
}
