//! A part of the tree: all keys that begin with the same bits. It shares nothing with the other parts, so each can be
//! renewed by another thread.

use fresnel_crypto::{
    hash::{EMPTY, Hash},
    prefetch,
};
use fresnel_types::{StateKey, WriteSet};

use super::{
    Change,
    finger::Finger,
    nodes::{Child, Node, Nodes, Slot},
    rehash::Rehash,
    visits::Visits,
};
use crate::{
    leaf::{KEY_BITS, bits, lift, shared_bits},
    proof::End,
};

/// The leaves below one subtree.
pub(super) struct Part {
    nodes: Nodes,
    visits: Visits,
    rehash: Rehash,
    /// What the last changes replaced, when somebody wants to know.
    before: WriteSet,
}

impl Part {
    /// The subtree at `depth`, without leaves.
    pub(super) fn new(depth: usize) -> Self {
        let (visits, rehash) = (Visits::default(), Rehash::default());
        Self { nodes: Nodes::new(depth), visits, rehash, before: WriteSet::default() }
    }

    /// What the last changes replaced, when they were made to be undone.
    pub(super) fn take_before(&mut self) -> WriteSet {
        std::mem::take(&mut self.before)
    }

    /// Makes changes, ascending by key, and renews the hash; `undoable` when somebody takes what they replace.
    pub(super) fn apply(&mut self, changes: &[Change<'_>], undoable: bool) {
        if self.nodes.count() == 0 {
            // As long as nothing is there, room costs nothing but memory.
            self.nodes.make_room(changes.iter().filter(|(_, value)| value.is_some()).count());
        }
        for slice in changes.chunks(SLICE) {
            self.visits.follow(&mut self.nodes, slice);
            if self.write(slice, undoable) {
                self.visits.follow(&mut self.nodes, slice);
            }
            self.rehash.run(&mut self.nodes, &self.visits, slice);
            self.nodes.make_room(self.nodes.count());
        }
    }

    /// The hash of the subtree.
    pub(super) fn hash(&self) -> &Hash {
        self.nodes.top().root()
    }

    /// How many leaves there are.
    pub(super) fn count(&self) -> usize {
        self.nodes.count()
    }

    /// All leaves, ascending by key.
    pub(super) fn leaves(&self) -> impl Iterator<Item = (&StateKey, &[u8])> {
        let mut slots = self.nodes.top().children().iter().flatten();
        let mut open: Vec<Child> = vec![];
        std::iter::from_fn(move || {
            loop {
                match open.pop().or_else(|| slots.next().copied())?.node() {
                    Node::Leaf(number) => {
                        let leaf = self.nodes.leaf(number);
                        return Some((&leaf.key, leaf.value.bytes()));
                    }
                    Node::Branch(number) => {
                        let [left, right] = self.nodes.branch(number).children;
                        open.extend([right, left]);
                    }
                }
            }
        })
    }

    /// What `key` holds.
    pub(super) fn get(&self, key: &StateKey) -> Option<&[u8]> {
        let slot = self.nodes.slot_of(key);
        self.nodes.top().child(slot)?;
        let leaf = self.nodes.leaf(self.towards(Slot::top(slot), key));
        (leaf.key == *key).then(|| leaf.value.bytes())
    }

    /// What the only leaf says about `key`.
    pub(super) fn only(&self, key: &StateKey) -> End {
        let child = self.nodes.top().children().iter().flatten().next();
        self.end(*child.expect("there is one leaf"), key)
    }

    /// The way from the part's subtree, which has at least two leaves, towards `key`. Adds the hashes beside it to
    /// `siblings`, downwards.
    pub(super) fn prove(&self, key: &StateKey, siblings: &mut Vec<Hash>) -> End {
        let top = self.nodes.top();
        for depth in 1..=top.bits() {
            let place = bits(key, self.nodes.depth(), depth);
            siblings.push(*top.hash_at(depth, place ^ 1));
            let here = top.hash_at(depth, place);
            if *here == EMPTY {
                return End::Empty;
            }
            if here[0] & 1 == 1 {
                let below = top.bits() - depth;
                let slots = &top.children()[place << below..(place + 1) << below];
                let child =
                    slots.iter().flatten().next().expect("a subtree with a leaf's hash has this leaf");
                return self.end(*child, key);
            }
        }
        self.prove_below(key, siblings)
    }

    /// The same below a slot with at least two leaves.
    fn prove_below(&self, key: &StateKey, siblings: &mut Vec<Hash>) -> End {
        let (mut slot, mut depth) = (Slot::top(self.nodes.slot_of(key)), self.nodes.slot_depth());
        let near = self.nodes.leaf(self.towards(slot, key)).key;
        let shared = shared_bits(key, &near);
        loop {
            let child = self.nodes.child(slot).expect("a slot with leaves has children all the way");
            let Node::Branch(number) = child.node() else { return self.end(child, key) };
            let parts = usize::from(self.nodes.branch(number).depth);
            siblings.resize(siblings.len() + parts.min(shared) - depth, EMPTY);
            if shared < parts {
                // The key leaves the bits that all leaves of the branch share: beside it stands the whole branch.
                siblings.push(lift(&near, self.nodes.pair(number).parent(), parts, shared + 1));
                return End::Empty;
            }
            slot = self.nodes.towards(number, key);
            siblings.push(*self.nodes.hash(slot.sibling()));
            depth = parts + 1;
        }
    }

    /// What a leaf says about `key`.
    fn end(&self, child: Child, key: &StateKey) -> End {
        let Node::Leaf(number) = child.node() else { unreachable!("its hash is that of a leaf") };
        let leaf = self.nodes.leaf(number);
        if shared_bits(&leaf.key, key) == KEY_BITS {
            return End::Key;
        }
        End::Other { key: leaf.key, value: leaf.value.bytes().to_vec() }
    }

    /// The leaf in the direction of `key`.
    fn towards(&self, mut slot: Slot, key: &StateKey) -> u32 {
        loop {
            match self.nodes.child(slot).expect("a slot with leaves has children all the way").node() {
                Node::Leaf(number) => return number,
                Node::Branch(number) => slot = self.nodes.towards(number, key),
            }
        }
    }

    /// Writes the values, leaf by leaf. Gives whether leaves came or went, so that the ways of the changes are others now.
    fn write(&mut self, changes: &[Change<'_>], undoable: bool) -> bool {
        for leaf in self.visits.ends().iter().filter_map(|end| end.leaf) {
            if let Some(first) = self.nodes.leaf(leaf).value.bytes().first() {
                prefetch(first);
            }
        }
        let (mut finger, mut edited) = (Finger::default(), false);
        for (place, (key, value)) in changes.iter().enumerate() {
            // Which keys there are does not change by edits of others, and leaves keep their numbers.
            let reached = self.visits.ends()[place].leaf;
            let found = reached.filter(|leaf| self.nodes.leaf(*leaf).key == **key);
            if undoable && (found.is_some() || value.is_some()) {
                self.before.push(**key, found.map(|leaf| self.nodes.leaf(leaf).value.bytes()));
            }
            match (found, value) {
                (Some(leaf), Some(value)) => {
                    self.nodes.leaf_mut(leaf).value.set(value);
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

    #[cfg(test)]
    pub(super) fn nodes(&self) -> &Nodes {
        &self.nodes
    }
}

/// Changes that are followed at once: what they touch, some twenty cache lines each, fits a second-level cache.
pub(super) const SLICE: usize = 512;
