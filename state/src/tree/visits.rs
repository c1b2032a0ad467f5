//! The way of a block's changes through the tree.
//!
//! A walk from the top to one leaf waits for memory at every step. Here all changes go down together, one branch further
//! per round, and what the next round needs is fetched while this round goes on.

use std::ops::Range;

use fresnel_types::StateKey;

use super::{
    Change,
    nodes::{Child, Node, Nodes, Slot},
};
use crate::leaf::{bit, shared_bits};

/// All branches that some changes pass, and the leaves they reach.
#[derive(Default)]
pub(super) struct Visits {
    visits: Vec<Visit>,
    /// Where each round begins in `visits`. A branch is at least a round after the one above it.
    rounds: Vec<usize>,
    ends: Vec<End>,
    slots: Vec<u32>,
}

/// A branch on the way of changes.
#[derive(Clone, Copy)]
pub(super) struct Visit {
    pub(super) branch: u32,
    /// Where it stands.
    pub(super) slot: Slot,
    /// The changes that pass it: `count` from `first` on. There are none when only its place in the tree changed.
    pub(super) first: u16,
    pub(super) count: u16,
    /// The depth just below the branch above.
    pub(super) from: u16,
    /// Its own depth.
    pub(super) depth: u16,
}

/// Where the way of a change ends.
#[derive(Clone, Copy)]
pub(super) struct End {
    /// The leaf of the key, when there is one; else some other, or none.
    pub(super) leaf: Option<u32>,
    /// Where the leaf of the key stands, when there is one.
    pub(super) slot: Slot,
}

impl Visit {
    fn range(&self) -> Range<usize> {
        usize::from(self.first)..usize::from(self.first) + usize::from(self.count)
    }
}

impl Visits {
    /// Follows the changes, ascending by key, from the slots of the top to leaves. What moved is visited, too, and is
    /// stale no longer.
    pub(super) fn follow(&mut self, nodes: &mut Nodes, changes: &[Change<'_>]) {
        assert!(changes.len() <= usize::from(u16::MAX), "changes come in slices");
        self.visits.clear();
        self.rounds.clear();
        self.ends.clear();
        self.slots.clear();
        for (key, _) in changes {
            let slot = nodes.slot_of(key);
            nodes.top().fetch(slot);
            self.slots.push(slot as u32);
        }
        let (depth, mut first) = (nodes.slot_depth() as u16, 0);
        let slots = std::mem::take(&mut self.slots);
        for same in slots.chunk_by(|one, next| one == next) {
            let (slot, count) = (same[0] as usize, same.len() as u16);
            self.ends.resize(self.ends.len() + same.len(), End { leaf: None, slot: Slot::top(slot) });
            if let Some(child) = nodes.top().child(slot) {
                self.enter(nodes, child, Slot::top(slot), (first, count), depth);
            }
            first += count;
        }
        self.slots = slots;
        self.slots.dedup();
        let mut next = 0;
        while next < self.visits.len() {
            self.rounds.push(next);
            let end = self.visits.len();
            for place in next..end {
                self.pass(nodes, place, changes);
            }
            next = end;
        }
    }

    /// The rounds, from the deepest upwards.
    pub(super) fn rounds_upwards(&self) -> impl Iterator<Item = &[Visit]> {
        let ends = self.rounds.iter().skip(1).copied().chain([self.visits.len()]);
        self.rounds.iter().zip(ends.collect::<Vec<_>>()).rev().map(|(&start, end)| &self.visits[start..end])
    }

    /// Where each change ends.
    pub(super) fn ends(&self) -> &[End] {
        &self.ends
    }

    /// The slots of the top that the changes pass, ascending.
    pub(super) fn slots(&self) -> &[u32] {
        &self.slots
    }

    /// Sends the changes at a branch on to its children.
    fn pass(&mut self, nodes: &mut Nodes, place: usize, changes: &[Change<'_>]) {
        let number = self.visits[place].branch;
        let depth = usize::from(nodes.branch(number).depth);
        self.visits[place].depth = depth as u16;
        let here = &changes[self.visits[place].range()];
        if let [(first, _), .., (last, _)] = here
            && shared_bits(first, last) < depth
        {
            self.narrow(nodes, place, changes);
        }
        let Visit { first, count, .. } = self.visits[place];
        let children = nodes.branch(number).children;
        let stale = children[0].is_stale() | children[1].is_stale();
        let below = depth as u16 + 1;
        if let ([(key, _)], false) = (&changes[self.visits[place].range()], stale) {
            // Most visits are of this kind. Which side it is nobody can foretell, so there is no branch on it.
            let right = bit(key, depth);
            self.enter(nodes, children[usize::from(right)], Slot::of(number, right), (first, 1), below);
            return;
        }
        if stale {
            nodes.branch_mut(number).children = children.map(Child::fresh);
        }
        let lefts = changes[self.visits[place].range()].partition_point(|(key, _)| !bit(key, depth)) as u16;
        let parts = [(first, lefts), (first + lefts, count - lefts)];
        for ((child, part), right) in children.into_iter().zip(parts).zip([false, true]) {
            if part.1 > 0 || child.is_stale() {
                self.enter(nodes, child, Slot::of(number, right), part, below);
            }
        }
    }

    /// Leaves at a branch only the changes whose keys share its bits. They are neighbours. The others came along because bits
    /// at which nothing parts are not looked at; they have no leaf below.
    fn narrow(&mut self, nodes: &Nodes, place: usize, changes: &[Change<'_>]) {
        let visit = &mut self.visits[place];
        let below = nodes.leaf_below(visit.branch);
        let prefix = &nodes.leaf(below).key;
        let shares = |key: &StateKey| shared_bits(key, prefix) >= usize::from(visit.depth);
        let range = visit.range();
        let here = &changes[range.clone()];
        let before = here.partition_point(|(key, _)| *key < prefix && !shares(key));
        let count = here[before..].partition_point(|(key, _)| shares(key));
        self.ends[range].fill(End { leaf: Some(below), slot: visit.slot });
        (visit.first, visit.count) = (visit.first + before as u16, count as u16);
    }

    fn enter(&mut self, nodes: &Nodes, child: Child, slot: Slot, (first, count): (u16, u16), from: u16) {
        nodes.fetch(child);
        match child.node() {
            Node::Branch(branch) => {
                self.visits.push(Visit { branch, slot, first, count, from, depth: 0 });
            }
            Node::Leaf(leaf) => {
                let end = End { leaf: Some(leaf), slot };
                self.ends[usize::from(first)..usize::from(first + count)].fill(end);
            }
        }
    }
}
