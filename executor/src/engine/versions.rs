//! What transactions of a block wrote, before it is committed: one list per slot, the highest writer first.
//!
//! Nodes are numbers into one arena that is reset between speculations, so nothing is freed inside one. A list begins in
//! the head word of its slot, under the epoch of the speculation: a head of another epoch means an empty list, so
//! nothing is cleared either. Nodes enter by compare-and-swap and never leave. What stands in a node never changes once
//! it is in a list, except that it can be marked gone; a transaction that writes again enters a second node before its
//! first. So a reader never waits and never sees half a value.

use std::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

use crate::slots::{Place, Slots, Value, exists};

/// The arena of nodes. Number zero is none.
pub(crate) struct Versions {
    nodes: Box<[Node]>,
    taken: AtomicU32,
}

#[repr(align(32))]
#[derive(Default)]
struct Node {
    next: AtomicU32,
    /// The writer above, the kind in the lowest byte.
    meta: AtomicU32,
    value: [AtomicU64; 3],
}

const _: () = assert!(size_of::<Node>() == 32);

/// What a node says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The value.
    Value = 0,
    /// What is to be added to the first word of the value below.
    Credit = 1,
    /// Nothing: its transaction did not write here after all.
    Gone = 2,
}

impl Node {
    #[inline]
    fn value(&self) -> Value {
        [self.value[0].load(Relaxed), self.value[1].load(Relaxed), self.value[2].load(Relaxed)]
    }
}

/// Numbers of nodes that one thread may use.
#[derive(Default)]
pub(crate) struct Run {
    next: u32,
    end: u32,
}

impl Versions {
    pub(crate) fn new(nodes: usize) -> Self {
        assert!(nodes <= NODES_MAX, "nodes are numbered in 31 bits");
        Self { nodes: (0..nodes).map(|_| Node::default()).collect(), taken: AtomicU32::new(1) }
    }

    pub(crate) fn capacity(&self) -> usize {
        self.nodes.len()
    }

    /// Takes all nodes back. No list of a later epoch has them.
    pub(crate) fn reset(&mut self) {
        *self.taken.get_mut() = 1;
    }

    /// Makes sure that `run` has `count` nodes; whether it could.
    pub(crate) fn reserve(&self, run: &mut Run, count: usize) -> bool {
        if (run.end - run.next) as usize >= count {
            return true;
        }
        let want = NODES_RUN.max(count as u32);
        let free = |taken: u32| (taken as usize + want as usize <= self.nodes.len()).then_some(taken + want);
        let Ok(taken) = self.taken.fetch_update(Relaxed, Relaxed, free) else { return false };
        *run = Run { next: taken, end: taken + want };
        true
    }
}

impl Run {
    fn take(&mut self) -> u32 {
        assert!(self.next < self.end, "nodes are reserved before they are taken");
        self.next += 1;
        self.next - 1
    }
}

/// The lists of one speculation.
#[derive(Clone, Copy)]
pub(crate) struct Lists<'a> {
    pub(crate) slots: &'a Slots,
    pub(crate) versions: &'a Versions,
    pub(crate) epoch: u32,
}

impl<'a> Lists<'a> {
    /// The value that transaction `below` finds: reads and re-reads both end here.
    #[inline]
    pub(crate) fn read(&self, place: Place, below: u32) -> Value {
        let mut added = 0_u64;
        for (_, node, kind) in self.live(place, below) {
            match kind {
                Kind::Credit => added = added.wrapping_add(node.value[0].load(Relaxed)),
                _ => return plus(node.value(), added),
            }
        }
        plus(self.slots.get(place).value(), added)
    }

    /// Whether transaction `below` finds anything: what stood there before, or what anybody wrote, since nothing is
    /// ever removed.
    pub(crate) fn exists(&self, place: Place, below: u32) -> bool {
        self.existed(place) || self.live(place, below).next().is_some()
    }

    /// Whether anything stood at `place` before the first transaction.
    pub(crate) fn existed(&self, place: Place) -> bool {
        exists(&self.slots.get(place).value())
    }

    /// The value that transaction `below` finds, if `writer` was the last before it that wrote at `place`.
    pub(crate) fn last(&self, place: Place, writer: u32, below: u32) -> Option<Value> {
        match self.live(place, below).next() {
            Some((last, node, Kind::Value)) if last == writer => Some(node.value()),
            Some((last, ..)) if last == writer => Some(self.read(place, below)),
            _ => None,
        }
    }

    /// Enters what `writer` wrote, with a node that was reserved. Gives its number.
    pub(crate) fn insert(&self, run: &mut Run, place: Place, writer: u32, kind: Kind, value: &Value) -> u32 {
        let number = run.take();
        let node = &self.versions.nodes[number as usize];
        node.meta.store(writer << 8 | kind as u32, Relaxed);
        for (word, new) in node.value.iter().zip(value) {
            word.store(*new, Relaxed);
        }
        let head = &self.slots.get(place).head;
        let mut first = head.load(Acquire);
        loop {
            let at = self.first(first);
            if at == 0 || self.writer_of(at) <= writer {
                node.next.store(at, Relaxed);
                let new = u64::from(self.epoch) << 32 | u64::from(number);
                match head.compare_exchange_weak(first, new, Release, Acquire) {
                    Ok(_) => return number,
                    Err(now) => first = now,
                }
            } else {
                self.insert_behind(at, number, writer);
                return number;
            }
        }
    }

    /// Whether `number` is the lowest node of its list.
    pub(crate) fn is_last(&self, number: u32) -> bool {
        self.versions.nodes[number as usize].next.load(Relaxed) == 0
    }

    /// Marks what its transaction did not write after all, or wrote otherwise.
    pub(crate) fn remove(&self, number: u32) {
        let meta = &self.versions.nodes[number as usize].meta;
        meta.store(meta.load(Relaxed) & !KIND | Kind::Gone as u32, Release);
    }

    fn insert_behind(&self, mut before: u32, number: u32, writer: u32) {
        let node = &self.versions.nodes[number as usize];
        loop {
            let link = &self.versions.nodes[before as usize].next;
            let at = link.load(Acquire);
            if at != 0 && self.writer_of(at) > writer {
                before = at;
                continue;
            }
            node.next.store(at, Relaxed);
            if link.compare_exchange(at, number, Release, Relaxed).is_ok() {
                return;
            }
        }
    }

    #[inline]
    fn first(&self, head: u64) -> u32 {
        if (head >> 32) as u32 == self.epoch { head as u32 } else { 0 }
    }

    fn writer_of(&self, number: u32) -> u32 {
        self.versions.nodes[number as usize].meta.load(Relaxed) >> 8
    }

    /// The nodes of writers before `below` that are not gone, the highest first.
    #[inline]
    fn live(&self, place: Place, below: u32) -> impl Iterator<Item = (u32, &'a Node, Kind)> + use<'a> {
        let nodes = &self.versions.nodes;
        let mut at = self.first(self.slots.get(place).head.load(Acquire));
        std::iter::from_fn(move || {
            while at != 0 {
                let node = &nodes[at as usize];
                at = node.next.load(Acquire);
                let meta = node.meta.load(Acquire);
                let kind = match meta & KIND {
                    kind if kind == Kind::Value as u32 => Kind::Value,
                    kind if kind == Kind::Credit as u32 => Kind::Credit,
                    _ => continue,
                };
                if meta >> 8 < below {
                    return Some((meta >> 8, node, kind));
                }
            }
            None
        })
    }
}

fn plus(mut value: Value, added: u64) -> Value {
    value[0] = value[0].wrapping_add(added);
    value
}

/// The part of a node's `meta` that holds the kind.
const KIND: u32 = 0xff;

/// How many transactions a speculation can have: writers are numbered in what is left beside the kind.
pub(crate) const WRITERS_MAX: usize = 1 << 24;

/// Records keep a bit beside the number of a node.
pub(crate) const NODES_MAX: usize = 1 << 31;

/// Nodes that a thread takes at once, so that it seldom meets others and nodes of one thread share cache lines.
pub(crate) const NODES_RUN: u32 = 256;
