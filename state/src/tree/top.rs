//! The upper levels of a part, in full: one array of pairs per level. Where a key's way leads is a matter of its bits
//! alone, so nothing is followed, and all that a block touches can be fetched at once.
//!
//! Below the last level hang the slots. There are about as many as leaves, so that most hold one leaf or none, and what
//! stands under a slot with more is shallow, unless keys are made to share bits.

use fresnel_crypto::{
    hash::{self, EMPTY, Hash, Pair},
    prefetch,
};

use super::nodes::Child;
use crate::leaf::alone;

/// The levels of pairs, the slots below, and the hash above.
pub(super) struct Top {
    /// Level `l` has `2^l` pairs. The last one has the hashes of the slots.
    levels: Vec<Vec<Pair>>,
    /// What stands in each slot.
    children: Vec<Option<Child>>,
    root: Hash,
}

impl Top {
    /// A single slot.
    pub(super) fn new() -> Self {
        Self { levels: vec![], children: vec![None], root: EMPTY }
    }

    /// How many bits of a key choose its slot.
    pub(super) fn bits(&self) -> usize {
        self.levels.len()
    }

    /// The hash of everything.
    pub(super) fn root(&self) -> &Hash {
        &self.root
    }

    pub(super) fn child(&self, slot: usize) -> Option<Child> {
        self.children[slot]
    }

    pub(super) fn set_child(&mut self, slot: usize, child: Option<Child>) {
        self.children[slot] = child;
    }

    /// What stands in the slots, ascending.
    pub(super) fn children(&self) -> &[Option<Child>] {
        &self.children
    }

    /// The hash of a slot.
    pub(super) fn hash(&self, slot: usize) -> &Hash {
        self.hash_at(self.levels.len(), slot)
    }

    /// The hash of the subtree that `depth` bits, at most [`bits`](Self::bits), lead to.
    pub(super) fn hash_at(&self, depth: usize, place: usize) -> &Hash {
        match depth.checked_sub(1) {
            Some(above) => self.levels[above][place >> 1].child(place & 1 == 1),
            None => &self.root,
        }
    }

    /// Sets the hash of a slot. What is above stays as it was until [`renew`](Self::renew).
    pub(super) fn set_hash(&mut self, slot: usize, hash: &Hash) {
        set(&mut self.levels, &mut self.root, slot, hash);
    }

    /// Asks for what a change below a slot will need.
    pub(super) fn fetch(&self, slot: usize) {
        prefetch(&self.children[slot]);
        if let Some(last) = self.levels.last() {
            prefetch(&last[slot >> 1]);
        }
    }

    /// Hashes what is above slots whose hashes were set. `slots` ascend; they are used up.
    pub(super) fn renew(&mut self, slots: &mut Vec<u32>) {
        for level in (0..self.levels.len()).rev() {
            slots.iter_mut().for_each(|place| *place >>= 1);
            slots.dedup();
            let (above, here) = self.levels.split_at_mut(level);
            let pairs = &here[0];
            for places in slots.chunks(GROUP) {
                if let Some(next) = above.last() {
                    places.iter().for_each(|place| prefetch(&next[*place as usize >> 1]));
                }
                let (mut crowded, mut refs, mut count) = ([0; GROUP], [&Pair::EMPTY; GROUP], 0);
                for &place in places {
                    let pair = &pairs[place as usize];
                    match alone(pair.child(false), pair.child(true)) {
                        Some(hash) => set(above, &mut self.root, place as usize, hash),
                        None => {
                            (crowded[count], refs[count]) = (place, pair);
                            count += 1;
                        }
                    }
                }
                let mut hashes = [EMPTY; GROUP];
                hash::nodes(&refs[..count], &mut hashes[..count]);
                for (place, hash) in crowded[..count].iter().zip(&hashes) {
                    set(above, &mut self.root, *place as usize, hash);
                }
            }
        }
        slots.clear();
    }

    /// Puts another level below: for each slot its pair there and what stands in the two slots that it becomes.
    pub(super) fn grow(&mut self, mut split: impl FnMut(&Self, usize) -> (Pair, [Option<Child>; 2])) {
        let slots = self.children.len();
        let (mut pairs, mut children) = (Vec::with_capacity(slots), Vec::with_capacity(2 * slots));
        for slot in 0..slots {
            let (pair, halves) = split(self, slot);
            pairs.push(pair);
            children.extend(halves);
        }
        self.levels.push(pairs);
        self.children = children;
    }
}

/// Sets a hash in the last of `levels`, or the root when there is none.
fn set(levels: &mut [Vec<Pair>], root: &mut Hash, place: usize, hash: &Hash) {
    match levels.last_mut() {
        Some(last) => last[place >> 1].set(place & 1 == 1, hash),
        None => *root = *hash,
    }
}

/// How many are handed to the lanes at once; several times the widest vector.
const GROUP: usize = 64;
