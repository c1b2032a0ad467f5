//! Leaves that come and go.

use fresnel_types::StateKey;

use super::{
    nodes::{Branch, Child, Leaf, Node, Nodes, Slot},
    value::Value,
};
use crate::leaf::{bit, shared_bits};

/// The place of the last edit, from which the next one starts: keys ascend, so most of the way is the same. It is good for
/// as long as nothing else edits.
#[derive(Default)]
pub(super) struct Finger {
    /// Branches from a slot of the top down to the last edit.
    path: Vec<u32>,
    key: Option<StateKey>,
}

impl Finger {
    /// Adds a leaf whose key the tree does not have.
    pub(super) fn insert(&mut self, nodes: &mut Nodes, key: &StateKey, value: &[u8]) {
        let new = Leaf { key: *key, value: Value::new(value) };
        let Some((_, near)) = self.descend(nodes, key) else {
            let leaf = nodes.put_leaf(new);
            nodes.set_child(self.slot(nodes, key), Child::leaf(leaf));
            return;
        };
        let depth = shared_bits(key, &nodes.leaf(near).key);
        self.ascend(nodes, depth);
        let slot = self.slot(nodes, key);
        let beside = nodes.child(slot).expect("a tree with a leaf has a child in every slot");
        let leaf = Child::leaf(nodes.put_leaf(new));
        let right = bit(key, depth);
        let children = if right { [beside.moved(), leaf] } else { [leaf, beside.moved()] };
        let depth = u8::try_from(depth).expect("two keys differ within 256 bits");
        let branch = nodes.put_branch(Branch { children, depth });
        let hash = *nodes.hash(slot);
        nodes.set_hash(Slot::of(branch, !right), &hash);
        nodes.set_child(slot, Child::branch(branch));
        self.path.push(branch);
    }

    /// Removes a leaf whose key the tree has.
    pub(super) fn remove(&mut self, nodes: &mut Nodes, key: &StateKey) {
        let (slot, leaf) = self.descend(nodes, key).expect("what is removed is there");
        nodes.free_leaf(leaf);
        let Some(parent) = self.path.pop() else {
            nodes.clear_slot(key);
            return;
        };
        let beside = nodes.child(slot.sibling()).expect("a branch has two children");
        let hash = *nodes.hash(slot.sibling());
        let above = self.slot(nodes, key);
        nodes.set_child(above, beside.moved());
        nodes.set_hash(above, &hash);
        nodes.free_branch(parent);
    }

    /// Goes to the leaf in the direction of `key`.
    fn descend(&mut self, nodes: &Nodes, key: &StateKey) -> Option<(Slot, u32)> {
        self.ascend(nodes, self.key.map_or(0, |last| shared_bits(&last, key)));
        self.key = Some(*key);
        loop {
            let slot = self.slot(nodes, key);
            match nodes.child(slot)?.node() {
                Node::Leaf(leaf) => return Some((slot, leaf)),
                Node::Branch(branch) => self.path.push(branch),
            }
        }
    }

    /// Goes back to the last branch not below `depth`.
    fn ascend(&mut self, nodes: &Nodes, depth: usize) {
        while self.path.last().is_some_and(|last| usize::from(nodes.branch(*last).depth) > depth) {
            self.path.pop();
        }
    }

    /// The slot below the path on the way to `key`.
    fn slot(&self, nodes: &Nodes, key: &StateKey) -> Slot {
        match self.path.last() {
            Some(last) => nodes.towards(*last, key),
            None => Slot::top(nodes.slot_of(key)),
        }
    }
}
