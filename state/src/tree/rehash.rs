//! Hashes of what changed, from the deepest round upwards, as many at a time as there are lanes.

use fresnel_crypto::hash::{self, EMPTY, Hash, Pair};
use fresnel_types::StateKey;

use super::{
    Change,
    nodes::Nodes,
    visits::{Visit, Visits},
};
use crate::leaf::{Hasher, bit};

/// Memory that is used again for every slice of changes.
#[derive(Default)]
pub(super) struct Rehash {
    hasher: Hasher,
    hashes: Vec<Hash>,
    lifts: Vec<Lift>,
    pairs: Vec<Pair>,
    slots: Vec<u32>,
}

/// A hash on its way up, past levels at which its sibling is empty.
struct Lift {
    /// Its place in `hashes`.
    place: usize,
    key: StateKey,
    /// The depth it has reached, and the one it goes to.
    depth: u16,
    to: u16,
}

impl Rehash {
    /// Hashes the changed leaves and all branches above them. `visits` has the ways of the changes as the tree is now.
    pub(super) fn run(&mut self, nodes: &mut Nodes, visits: &Visits, changes: &[Change<'_>]) {
        self.leaves(nodes, visits, changes);
        for round in visits.rounds_upwards() {
            self.branches(nodes, round);
            self.lift(nodes, visits, round);
            for (visit, hash) in round.iter().zip(&self.hashes) {
                nodes.set_hash(visit.slot, hash);
            }
        }
        self.slots.clear();
        self.slots.extend(visits.slots());
        nodes.top_mut().renew(&mut self.slots);
    }

    fn leaves(&mut self, nodes: &mut Nodes, visits: &Visits, changes: &[Change<'_>]) {
        self.hashes.clear();
        self.hashes.resize(changes.len(), EMPTY);
        for (place, (key, value)) in changes.iter().enumerate() {
            if let Some(value) = value {
                self.hasher.push(place, key, value, &mut self.hashes);
            }
        }
        self.hasher.finish(&mut self.hashes);
        for ((end, hash), (_, value)) in visits.ends().iter().zip(&self.hashes).zip(changes) {
            if value.is_some() {
                nodes.set_hash(end.slot, hash);
            }
        }
    }

    fn branches(&mut self, nodes: &Nodes, round: &[Visit]) {
        self.hashes.clear();
        self.hashes.resize(round.len(), EMPTY);
        for (visits, hashes) in round.chunks(GROUP).zip(self.hashes.chunks_mut(GROUP)) {
            let mut pairs = [&Pair::EMPTY; GROUP];
            for (pair, visit) in pairs.iter_mut().zip(visits) {
                *pair = nodes.pair(visit.branch);
            }
            hash::nodes(&pairs[..visits.len()], hashes);
        }
    }

    /// Takes the hashes of a round up to just below the branches above, one level per turn.
    fn lift(&mut self, nodes: &Nodes, visits: &Visits, round: &[Visit]) {
        self.lifts.clear();
        for (place, visit) in round.iter().enumerate().filter(|(_, visit)| visit.depth > visit.from) {
            // The key of a change may differ from those below at bits that were not looked at; the leaf it reaches is
            // below.
            let below = match visit.count {
                0 => nodes.leaf_below(visit.branch),
                _ => {
                    let end = visits.ends()[usize::from(visit.first)];
                    end.leaf.expect("a change that passes a branch reaches a leaf")
                }
            };
            let key = nodes.leaf(below).key;
            self.lifts.push(Lift { place, key, depth: visit.depth, to: visit.from });
        }
        while !self.lifts.is_empty() {
            self.pairs.clear();
            for lift in &mut self.lifts {
                lift.depth -= 1;
                let mut pair = Pair::EMPTY;
                pair.set(bit(&lift.key, usize::from(lift.depth)), &self.hashes[lift.place]);
                self.pairs.push(pair);
            }
            for (lifts, pairs) in self.lifts.chunks(GROUP).zip(self.pairs.chunks(GROUP)) {
                let mut refs = [&Pair::EMPTY; GROUP];
                refs.iter_mut().zip(pairs).for_each(|(slot, pair)| *slot = pair);
                let mut above = [EMPTY; GROUP];
                hash::nodes(&refs[..pairs.len()], &mut above[..pairs.len()]);
                for (lift, hash) in lifts.iter().zip(above) {
                    self.hashes[lift.place] = hash;
                }
            }
            self.lifts.retain(|lift| lift.depth > lift.to);
        }
    }
}

/// How many are handed to the lanes at once; several times the widest vector.
const GROUP: usize = 64;
