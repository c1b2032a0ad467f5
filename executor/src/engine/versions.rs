//! Finding what transactions ahead of the commit frontier wrote: one list per slot, the highest writer first.
//!
//! A list begins in the head word of its slot, under the epoch of the speculation, and names writers; what they wrote
//! stands in their records. A writer below the frontier ends the list: what it and all before it wrote stands in the slot.
//! So lists are as short as the look-ahead window, need no memory, and are never cleared.
//!
//! **Lists are hints.** The truth is what stands in the slots when the frontier arrives, and everything read ahead of it is
//! compared with that. So plain loads and stores are enough: when two threads enter at the same place at the same time, one
//! of them may be missed, and a record may be written over while somebody reads it; both cost a second execution, rarely,
//! where locked instructions would cost every transaction. Only this must hold: a walk ends (writers descend), and
//! nothing but links is written by anybody but the owner.

use crate::{
    engine::records::{Change, LINKS, Records},
    slots::{CHANGED, Place, Slots, Value, exists},
    sync::atomic::{
        AtomicU32,
        Ordering::{Acquire, Relaxed, Release},
    },
};

/// The lists of one speculation.
#[derive(Clone, Copy)]
pub(crate) struct Lists<'a> {
    pub(crate) slots: &'a Slots,
    pub(crate) records: &'a Records,
    /// Transactions before this one are committed.
    pub(crate) committed: &'a AtomicU32,
    /// Of the table, for heads.
    pub(crate) epoch: u32,
    /// Of the engine, for records.
    pub(crate) turn: u32,
}

/// A writer in a list and the worker that executed it, or the end of the list. The lowest bit is left to the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link(pub(crate) u32);

impl Link {
    const END: Self = Self(0);

    #[inline]
    fn new(writer: u32, worker: u32) -> Self {
        Self((writer + 1) << 8 | worker << 1)
    }

    #[inline]
    fn of_head(head: u64, epoch: u32) -> Self {
        if (head >> 32) as u32 == epoch { Self(head as u32 & !(CHANGED as u32)) } else { Self::END }
    }

    #[inline]
    pub(crate) fn writer(self) -> Option<u32> {
        (self.0 >> 8).checked_sub(1)
    }

    #[inline]
    fn worker(self) -> u32 {
        self.0 >> 1 & 0x7f
    }
}

impl Lists<'_> {
    /// What transaction `below` would find at `place` if all before it ended as it looks now.
    #[inline]
    pub(crate) fn read(&self, place: Place, below: u32) -> Value {
        let slot = self.slots.get(place);
        let first = Link::of_head(slot.head.load(Acquire), self.epoch);
        if first == Link::END { slot.value() } else { self.walk(place, below, first) }
    }

    /// Whether transaction `below` would find anything; `None` if it surely does, because something stood there at the
    /// frontier or before, and nothing is ever removed.
    #[inline]
    pub(crate) fn exists(&self, place: Place, below: u32) -> Option<bool> {
        if exists(&self.slots.get(place).value()) {
            return None;
        }
        Some(exists(&self.read(place, below)))
    }

    fn walk(&self, place: Place, below: u32, first: Link) -> Value {
        loop {
            let committed = self.committed.load(Acquire);
            let mut added = 0_u64;
            let mut at = first;
            while let Some(writer) = at.writer().filter(|writer| *writer >= committed) {
                let record = self.records.get(at.worker(), self.turn, writer);
                let Some((number, change)) = record.written(place) else { break };
                match change {
                    _ if writer >= below => {}
                    Change::Value(value) => return plus(value, added),
                    Change::Credit(amount) => added = added.wrapping_add(amount),
                }
                at = self.next(at, &record, number);
            }
            let value = self.slots.get(place).value();
            // Credits that were committed meanwhile would count twice.
            if added == 0 || self.committed.load(Acquire) == committed {
                return plus(value, added);
            }
        }
    }

    /// Enters the write of a complete record, so that others find it.
    #[inline]
    pub(crate) fn enter(&self, place: Place, writer: u32, worker: u32, number: usize) {
        if number >= LINKS {
            return;
        }
        let own = self.records.get(worker, self.turn, writer);
        let link = own.link(number).expect("there are so many");
        let head = &self.slots.get(place).head;
        let now = head.load(Acquire);
        let first = Link::of_head(now, self.epoch);
        if first.writer().is_some_and(|first| first > writer) {
            return self.enter_behind(first, place, Link::new(writer, worker), link);
        }
        link.store(first.0, Relaxed);
        let mark = if (now >> 32) as u32 == self.epoch { now & CHANGED } else { 0 };
        head.store(u64::from(self.epoch) << 32 | u64::from(Link::new(writer, worker).0) | mark, Release);
    }

    #[cold]
    fn enter_behind(&self, mut before: Link, place: Place, new: Link, link: &AtomicU32) {
        while let Some(writer) = before.writer() {
            let record = self.records.get(before.worker(), self.turn, writer);
            let Some((number, _)) = record.written(place) else { return };
            let next = self.next(before, &record, number);
            if next.writer() < new.writer() {
                link.store(next.0, Relaxed);
                if let Some(before) = record.link(number) {
                    before.store(new.0, Release);
                }
                return;
            }
            before = next;
        }
    }

    /// What follows a writer in its list; always a lower one.
    fn next(&self, at: Link, record: &crate::engine::records::Record<'_>, number: usize) -> Link {
        let next = Link(record.link(number).map_or(0, |link| link.load(Acquire)));
        if next.writer() < at.writer() { next } else { Link::END }
    }
}

#[inline]
fn plus(mut value: Value, added: u64) -> Value {
    value[0] = value[0].wrapping_add(added);
    value
}

/// How many transactions a speculation can have: writers are numbered from one in 24 bits.
pub(crate) const WRITERS_MAX: usize = (1 << 24) - 1;

/// Workers are numbered in the seven bits between.
pub(crate) const WORKERS_MAX: usize = 1 << 7;
