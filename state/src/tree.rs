//! The tree of one shard in memory, renewed in batches.
//!
//! Changes go down together, are written, and then all branches above them are hashed once, in the lanes of the vector
//! unit, from the deepest upwards. The changes of a block are cut into slices of neighbouring keys: what a slice touches
//! fits the processor's cache, and two slices share only the few branches between the top and where they part.
//!
//! [`reference`] says the same in plainer code, and is what tests and benches compare with.

mod chunked;
mod finger;
mod nodes;
pub mod reference;
mod rehash;
mod visits;

use fresnel_crypto::{
    hash::{self, EMPTY, Hash},
    prefetch,
};
use fresnel_types::{ShardId, Shards, StateKey, StateRoot, WriteSet};

use self::{
    finger::Finger,
    nodes::{Child, Node, Nodes, Slot},
    rehash::Rehash,
    visits::Visits,
};
use crate::{
    leaf::{KEY_BITS, bit, root_depth, shared_bits},
    proof::{End, Proof},
};

/// The state tree of one shard, with the values of its leaves.
pub struct Tree {
    shards: Shards,
    shard: ShardId,
    nodes: Nodes,
    visits: Visits,
    rehash: Rehash,
}

/// A key and what is written there; `None` deletes.
type Change<'a> = (&'a StateKey, Option<&'a [u8]>);

impl Tree {
    /// The tree of a shard without leaves.
    pub fn new(shards: Shards, shard: ShardId) -> Self {
        let (nodes, visits, rehash) = (Nodes::new(), Visits::default(), Rehash::default());
        Self { shards, shard, nodes, visits, rehash }
    }

    /// Makes the changes of a block and gives the root after them.
    pub fn apply(&mut self, writes: &WriteSet) -> StateRoot {
        let mut all = writes.iter();
        let mut slice: Vec<Change<'_>> = Vec::with_capacity(writes.len().min(SLICE));
        loop {
            slice.clear();
            slice.extend(all.by_ref().take(SLICE));
            let (Some((first, _)), Some((last, _))) = (slice.first(), slice.last()) else {
                return self.root();
            };
            for key in [first, last] {
                assert_eq!(key.shard(self.shards), self.shard, "a shard writes only keys of its own");
            }
            self.apply_slice(&slice);
        }
    }

    /// The root after all changes so far.
    pub fn root(&self) -> StateRoot {
        StateRoot(*self.nodes.hash(Slot::TOP))
    }

    /// How many leaves there are.
    pub fn len(&self) -> usize {
        self.nodes.count()
    }

    /// Whether there is no leaf.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All leaves, ascending by key.
    pub fn leaves(&self) -> impl Iterator<Item = (&StateKey, &[u8])> {
        let mut open: Vec<Child> = self.nodes.top().into_iter().collect();
        std::iter::from_fn(move || {
            loop {
                match open.pop()?.node() {
                    Node::Leaf(number) => {
                        let leaf = self.nodes.leaf(number);
                        return Some((&leaf.key, &*leaf.value));
                    }
                    Node::Branch(number) => {
                        let [left, right] = self.nodes.branch(number).children;
                        open.extend([right, left]);
                    }
                }
            }
        })
    }

    /// Proves what `key`, which belongs to this shard, holds.
    pub fn prove(&self, key: &StateKey) -> Proof {
        let Some(near) = self.towards(key) else { return Proof { end: End::Empty, siblings: vec![] } };
        let shared = shared_bits(key, near);
        let mut siblings = Vec::new();
        let mut depth = root_depth(self.shards);
        let mut slot = Slot::TOP;
        let end = loop {
            match self.nodes.child(slot).expect("a tree with a leaf has a child in every slot").node() {
                Node::Leaf(_) if shared == KEY_BITS => break End::Key,
                Node::Leaf(number) => {
                    let leaf = self.nodes.leaf(number);
                    break End::Other { key: leaf.key, value: leaf.value.to_vec() };
                }
                Node::Branch(number) => {
                    let parts = usize::from(self.nodes.branch(number).depth);
                    siblings.resize(siblings.len() + parts.min(shared) - depth, EMPTY);
                    if shared < parts {
                        // The key leaves the bits that all leaves of the branch share: beside it stands the whole branch.
                        siblings.push(lift(near, self.nodes.pair(number).parent(), parts, shared + 1));
                        break End::Empty;
                    }
                    slot = self.nodes.towards(number, key);
                    siblings.push(*self.nodes.hash(slot.sibling()));
                    depth = parts + 1;
                }
            }
        };
        siblings.reverse();
        Proof { end, siblings }
    }

    /// The key of the leaf in the direction of `key`.
    fn towards(&self, key: &StateKey) -> Option<&StateKey> {
        let mut slot = Slot::TOP;
        loop {
            match self.nodes.child(slot)?.node() {
                Node::Leaf(number) => return Some(&self.nodes.leaf(number).key),
                Node::Branch(number) => slot = self.nodes.towards(number, key),
            }
        }
    }

    fn apply_slice(&mut self, changes: &[Change<'_>]) {
        let root = root_depth(self.shards);
        self.visits.follow(&mut self.nodes, root, changes);
        if self.write(changes) {
            self.visits.follow(&mut self.nodes, root, changes);
        }
        self.rehash.run(&mut self.nodes, &self.visits, changes);
    }

    /// Writes the values, leaf by leaf. Gives whether leaves came or went, so that the ways of the changes are others now.
    fn write(&mut self, changes: &[Change<'_>]) -> bool {
        for end in self.visits.ends() {
            if let Some(first) = self.nodes.leaf(end.leaf).value.first() {
                prefetch(first);
            }
        }
        let (mut finger, mut edited) = (Finger::default(), false);
        for (place, (key, value)) in changes.iter().enumerate() {
            // Which keys there are does not change by edits of others, and leaves keep their numbers.
            let found = self.visits.ends().get(place).filter(|end| self.nodes.leaf(end.leaf).key == **key);
            match (found, value) {
                (Some(end), Some(value)) => {
                    let old = &mut self.nodes.leaf_mut(end.leaf).value;
                    if old.len() == value.len() {
                        old.copy_from_slice(value);
                    } else {
                        *old = (*value).into();
                    }
                    continue;
                }
                (None, None) => continue,
                (None, Some(value)) => finger.insert(&mut self.nodes, key, value),
                (Some(_), None) => finger.remove(&mut self.nodes, key),
            }
            edited = true;
        }
        edited
    }
}

/// The hash at depth `to` of a subtree whose leaves are all at `depth` below the bits of `key`.
fn lift(key: &StateKey, hash: Hash, depth: usize, to: usize) -> Hash {
    (to..depth).rev().fold(hash, |below, place| {
        if bit(key, place) { hash::node(&EMPTY, &below) } else { hash::node(&below, &EMPTY) }
    })
}

/// Changes that are followed at once: what they touch, about 40 cache lines each, fits a second-level cache.
const SLICE: usize = 512;

#[cfg(test)]
mod tests;
