//! The three views: the serial one writes through, the speculative one keeps what it saw, the final one, at the commit
//! frontier, knows that what it sees is true.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::{
    engine::{
        program::{Counter, View},
        records::{Check, Draft},
        versions::{Kind, Lists},
    },
    slots::{EXISTS, Place, Value, exists},
    table::Table,
};

/// The view of a transaction that executes when all before it are done and no other is under way.
pub(crate) struct Serial<'a> {
    pub(crate) table: &'a mut Table,
    pub(crate) counters: &'a mut [Counter],
}

impl View for Serial<'_> {
    #[inline]
    fn read(&mut self, place: Place) -> Value {
        self.table.value(place)
    }

    #[inline]
    fn exists(&mut self, place: Place) -> bool {
        exists(&self.table.value(place))
    }

    #[inline]
    fn write(&mut self, place: Place, value: Value) {
        assert_exists(&value);
        self.table.set_value(place, &value);
    }

    #[inline]
    fn credit(&mut self, place: Place, amount: u64) {
        let mut value = self.table.value(place);
        assert_exists(&value);
        value[0] += amount;
        self.table.set_value(place, &value);
    }

    #[inline]
    fn reserve(&mut self, counter: usize, amount: u64) -> bool {
        let counter = &mut self.counters[counter];
        let allowed = counter.allows(amount);
        counter.value += if allowed { amount } else { 0 };
        allowed
    }
}

/// What one execution writes; the memory is kept from one to the next.
#[derive(Default)]
pub(crate) struct Log {
    pub(crate) writes: Vec<Write>,
    /// What was reserved of which counter.
    pub(crate) reserved: Vec<(u32, u64)>,
}

/// What one transaction does to one place, all in all.
#[derive(Clone, Copy)]
pub(crate) struct Write {
    pub(crate) place: Place,
    pub(crate) kind: Kind,
    pub(crate) value: Value,
}

impl Log {
    pub(crate) fn clear(&mut self) {
        self.writes.clear();
        self.reserved.clear();
    }
}

/// The committed sums and the limits of the counters, for speculation to guess by.
pub(crate) struct Sums {
    counters: Box<[(AtomicU64, u64)]>,
}

impl Sums {
    pub(crate) fn new(counters: &[Counter]) -> Self {
        Self { counters: counters.iter().map(|one| (AtomicU64::new(one.value), one.limit)).collect() }
    }

    pub(crate) fn get(&self, counter: u32) -> Counter {
        let (value, limit) = &self.counters[counter as usize];
        Counter { value: value.load(Relaxed), limit: *limit }
    }

    /// Adds what the frontier commits; only the holder of the frontier does.
    pub(crate) fn add(&self, counter: u32, amount: u64) {
        let sum = self.get(counter).value + amount;
        self.counters[counter as usize].0.store(sum, Relaxed);
    }

    pub(crate) fn write_to(&self, counters: &mut [Counter]) {
        for (to, (value, _)) in counters.iter_mut().zip(&self.counters) {
            to.value = value.load(Relaxed);
        }
    }
}

/// The view through the version lists. Without a draft of checks, all transactions before are committed.
pub(crate) struct Versioned<'a, Checks> {
    pub(crate) lists: Lists<'a>,
    pub(crate) sums: &'a Sums,
    pub(crate) transaction: u32,
    pub(crate) log: &'a mut Log,
    pub(crate) checks: Checks,
}

/// Where checks go.
pub(crate) trait Checks {
    fn earlier_read(&self, place: Place) -> Option<Value>;
    fn push(&mut self, check: Check);
}

impl Checks for &mut Draft<'_> {
    #[inline]
    fn earlier_read(&self, place: Place) -> Option<Value> {
        Draft::earlier_read(self, place)
    }

    #[inline]
    fn push(&mut self, check: Check) {
        Draft::push(self, check);
    }
}

/// At the frontier nothing changes any more, so there is nothing to check.
impl Checks for () {
    #[inline]
    fn earlier_read(&self, _: Place) -> Option<Value> {
        None
    }

    #[inline]
    fn push(&mut self, _: Check) {}
}

impl<C: Checks> Versioned<'_, C> {
    /// What the transactions before left, the same each time.
    fn below(&mut self, place: Place) -> Value {
        self.checks.earlier_read(place).unwrap_or_else(|| {
            let value = self.lists.read(place, self.transaction);
            self.checks.push(Check::Read { place, value });
            value
        })
    }

    fn own(&mut self, place: Place) -> Option<&mut Write> {
        self.log.writes.iter_mut().find(|write| write.place == place)
    }
}

impl<C: Checks> View for Versioned<'_, C> {
    fn read(&mut self, place: Place) -> Value {
        match self.own(place).copied() {
            Some(Write { kind: Kind::Credit, value, .. }) => {
                let mut below = self.below(place);
                below[0] = below[0].wrapping_add(value[0]);
                below
            }
            Some(write) => write.value,
            None => self.below(place),
        }
    }

    fn exists(&mut self, place: Place) -> bool {
        if self.lists.existed(place) || self.own(place).is_some() {
            return true;
        }
        let answer = self.lists.exists(place, self.transaction);
        self.checks.push(Check::Exists { place, answer });
        answer
    }

    fn write(&mut self, place: Place, value: Value) {
        assert_exists(&value);
        match self.own(place) {
            Some(write) => (write.kind, write.value) = (Kind::Value, value),
            None => self.log.writes.push(Write { place, kind: Kind::Value, value }),
        }
    }

    fn credit(&mut self, place: Place, amount: u64) {
        match self.own(place) {
            Some(write) => write.value[0] += amount,
            None => self.log.writes.push(Write { place, kind: Kind::Credit, value: [amount, 0, 0] }),
        }
    }

    fn reserve(&mut self, counter: usize, amount: u64) -> bool {
        let number = u32::try_from(counter).expect("counters are few");
        let mut guess = self.sums.get(number);
        let before = self.log.reserved.iter().filter(|one| one.0 == number).map(|one| one.1).sum();
        guess.value += before;
        let answer = guess.allows(amount);
        if answer {
            self.log.reserved.push((number, amount));
        }
        self.checks.push(Check::Reserve { counter: number, before, amount, answer });
        answer
    }
}

fn assert_exists(value: &Value) {
    assert_ne!(value[2] & EXISTS, 0, "a program writes only what exists and credits only what it saw exist");
}
