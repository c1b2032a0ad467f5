//! What a part of the tree is made of: its top, branches below, pairs of hashes, leaves, and the references between them.
//!
//! A branch is where at least two leaves part; levels at which all leaves go the same way have none. The hashes of its two
//! children stand side by side in its pair, each lifted to just below the branch, ready to be hashed. So a slot of the top
//! with `n` leaves has `n - 1` branches of 76 bytes together with their pairs.

use fresnel_crypto::{
    hash::{EMPTY, Hash, Pair},
    prefetch,
};
use fresnel_types::StateKey;

use super::{chunked::Chunked, top::Top, value::Value};
use crate::leaf::{bit, bits, lift};

/// All nodes of a part.
pub(super) struct Nodes {
    /// The depth at which the part begins.
    depth: usize,
    top: Top,
    branches: Chunked<Branch>,
    /// The pair of a branch has its number.
    pairs: Chunked<Pair>,
    leaves: Chunked<Leaf>,
    free_branches: Vec<u32>,
    free_leaves: Vec<u32>,
}

/// Where two subtrees part.
pub(super) struct Branch {
    pub(super) children: [Child; 2],
    /// The bit by which they part.
    pub(super) depth: u8,
}

/// One cache line, when the value is short.
#[repr(align(64))]
pub(super) struct Leaf {
    pub(super) key: StateKey,
    pub(super) value: Value,
}

/// A reference to what stands below a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Child(u32);

/// What a [`Child`] refers to, by number.
pub(super) enum Node {
    Branch(u32),
    Leaf(u32),
}

/// A place for a child and its hash: a side of a branch, or a slot of the top.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot(u32);

/// What a [`Slot`] says.
enum Place {
    Top(usize),
    Side(u32, bool),
}

impl Child {
    pub(super) fn branch(number: u32) -> Self {
        assert!(number < STALE, "fewer than 2^30 leaves fit in memory");
        Self(number)
    }

    pub(super) fn leaf(number: u32) -> Self {
        assert!(number < STALE, "fewer than 2^30 leaves fit in memory");
        Self(number | LEAF)
    }

    pub(super) fn node(self) -> Node {
        let number = self.0 & !(LEAF | STALE);
        if self.0 & LEAF == 0 { Node::Branch(number) } else { Node::Leaf(number) }
    }

    /// Whether the hash beside this reference is that of another place, so that the branch must be hashed again even when
    /// nothing below it changed. Leaves have the same hash everywhere.
    pub(super) fn is_stale(self) -> bool {
        self.0 & STALE != 0
    }

    /// The same child after it moved.
    pub(super) fn moved(self) -> Self {
        if self.0 & LEAF == 0 { Self(self.0 | STALE) } else { self }
    }

    pub(super) fn fresh(self) -> Self {
        Self(self.0 & !STALE)
    }
}

impl Slot {
    pub(super) fn top(slot: usize) -> Self {
        Self(u32::try_from(slot).expect("a part has fewer slots than leaves fit in memory") | TOP)
    }

    pub(super) fn of(branch: u32, right: bool) -> Self {
        Self(branch << 1 | u32::from(right))
    }

    /// The other side of the same branch.
    pub(super) fn sibling(self) -> Self {
        debug_assert!(self.0 & TOP == 0, "what stands beside a slot of the top is its neighbour there");
        Self(self.0 ^ 1)
    }

    fn place(self) -> Place {
        match self.0 & TOP {
            0 => Place::Side(self.0 >> 1, self.0 & 1 == 1),
            _ => Place::Top((self.0 & !TOP) as usize),
        }
    }
}

impl Nodes {
    /// Of a part that begins at `depth`.
    pub(super) fn new(depth: usize) -> Self {
        Self {
            depth,
            top: Top::new(),
            branches: Chunked::new(),
            pairs: Chunked::new(),
            leaves: Chunked::new(),
            free_branches: vec![],
            free_leaves: vec![],
        }
    }

    pub(super) fn top(&self) -> &Top {
        &self.top
    }

    pub(super) fn top_mut(&mut self) -> &mut Top {
        &mut self.top
    }

    /// The depth at which the part begins.
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    /// The depth at which the slots of the top stand.
    pub(super) fn slot_depth(&self) -> usize {
        self.depth + self.top.bits()
    }

    /// The slot of the top on the way to `key`.
    pub(super) fn slot_of(&self, key: &StateKey) -> usize {
        bits(key, self.depth, self.top.bits())
    }

    /// How many leaves there are.
    pub(super) fn count(&self) -> usize {
        self.leaves.len() - self.free_leaves.len()
    }

    /// The child in a slot. Only those of the top may have none.
    pub(super) fn child(&self, slot: Slot) -> Option<Child> {
        match slot.place() {
            Place::Side(branch, right) => Some(self.branches[branch].children[usize::from(right)]),
            Place::Top(slot) => self.top.child(slot),
        }
    }

    pub(super) fn set_child(&mut self, slot: Slot, child: Child) {
        match slot.place() {
            Place::Side(branch, right) => self.branches[branch].children[usize::from(right)] = child,
            Place::Top(slot) => self.top.set_child(slot, Some(child)),
        }
    }

    /// The hash in a slot.
    pub(super) fn hash(&self, slot: Slot) -> &Hash {
        match slot.place() {
            Place::Side(branch, right) => self.pairs[branch].child(right),
            Place::Top(slot) => self.top.hash(slot),
        }
    }

    pub(super) fn set_hash(&mut self, slot: Slot, hash: &Hash) {
        match slot.place() {
            Place::Side(branch, right) => self.pairs[branch].set(right, hash),
            Place::Top(slot) => self.top.set_hash(slot, hash),
        }
    }

    /// Removes the last leaf of the slot of `key`.
    pub(super) fn clear_slot(&mut self, key: &StateKey) {
        let slot = self.slot_of(key);
        self.top.set_child(slot, None);
        self.top.set_hash(slot, &EMPTY);
    }

    /// Grows the top until it suits `leaves`. Hashes stay as they are, since what stands where in memory is no part of
    /// what they say.
    pub(super) fn make_room(&mut self, leaves: usize) {
        while leaves > LEAVES_PER_SLOT << self.top.bits() {
            self.grow();
        }
    }

    fn grow(&mut self) {
        let depth = self.slot_depth();
        let mut top = std::mem::replace(&mut self.top, Top::new());
        let mut dissolved = Vec::new();
        top.grow(|top, slot| {
            if let Some(Some(child)) = top.children().get(slot + FETCHED_AHEAD) {
                self.fetch(*child);
            }
            let (mut pair, mut children) = (Pair::EMPTY, [None; 2]);
            let Some(child) = top.child(slot) else { return (pair, children) };
            let (key, hash) = match child.node() {
                Node::Leaf(leaf) => (self.leaves[leaf].key, *top.hash(slot)),
                Node::Branch(branch) if usize::from(self.branches[branch].depth) == depth => {
                    dissolved.push(branch);
                    let children = self.branches[branch].children.map(Some);
                    return (self.pairs[branch].clone(), children);
                }
                Node::Branch(branch) => {
                    let key = self.leaves[self.leaf_below(branch)].key;
                    let parts = usize::from(self.branches[branch].depth);
                    (key, lift(&key, self.pairs[branch].parent(), parts, depth + 1))
                }
            };
            let right = bit(&key, depth);
            pair.set(right, &hash);
            children[usize::from(right)] = Some(child);
            (pair, children)
        });
        self.top = top;
        self.free_branches.extend(dissolved);
    }

    /// Asks for what stands in a slot.
    pub(super) fn fetch(&self, child: Child) {
        match child.node() {
            Node::Branch(branch) => {
                prefetch(&self.branches[branch]);
                prefetch(&self.pairs[branch]);
            }
            Node::Leaf(leaf) => prefetch(&self.leaves[leaf]),
        }
    }

    pub(super) fn branch(&self, number: u32) -> &Branch {
        &self.branches[number]
    }

    pub(super) fn branch_mut(&mut self, number: u32) -> &mut Branch {
        &mut self.branches[number]
    }

    pub(super) fn pair(&self, branch: u32) -> &Pair {
        &self.pairs[branch]
    }

    pub(super) fn leaf(&self, number: u32) -> &Leaf {
        &self.leaves[number]
    }

    pub(super) fn leaf_mut(&mut self, number: u32) -> &mut Leaf {
        &mut self.leaves[number]
    }

    /// The slot below a branch on the way to `key`.
    pub(super) fn towards(&self, branch: u32, key: &StateKey) -> Slot {
        Slot::of(branch, bit(key, usize::from(self.branches[branch].depth)))
    }

    pub(super) fn put_branch(&mut self, branch: Branch) -> u32 {
        if let Some(number) = self.free_branches.pop() {
            self.branches[number] = branch;
            return number;
        }
        let number = self.branches.push(branch);
        let pair = self.pairs.push(Pair::EMPTY);
        assert_eq!(number, pair, "every branch has a pair");
        number
    }

    pub(super) fn put_leaf(&mut self, leaf: Leaf) -> u32 {
        match self.free_leaves.pop() {
            Some(number) => {
                self.leaves[number] = leaf;
                number
            }
            None => self.leaves.push(leaf),
        }
    }

    pub(super) fn free_branch(&mut self, number: u32) {
        self.free_branches.push(number);
    }

    pub(super) fn free_leaf(&mut self, number: u32) {
        self.leaves[number].value = Value::default();
        self.free_leaves.push(number);
    }

    /// Some leaf below a branch. All of them share their bits down to the branch.
    pub(super) fn leaf_below(&self, branch: u32) -> u32 {
        let mut at = Node::Branch(branch);
        loop {
            match at {
                Node::Branch(number) => at = self.branches[number].children[0].node(),
                Node::Leaf(number) => return number,
            }
        }
    }

    #[cfg(test)]
    pub(super) fn all_branches(&self) -> usize {
        self.branches.len()
    }

    #[cfg(test)]
    pub(super) fn used_branches(&self) -> usize {
        self.branches.len() - self.free_branches.len()
    }
}

const LEAF: u32 = 1 << 31;

const STALE: u32 = 1 << 30;

/// Of a [`Slot`] of the top; the number of a branch with its side is less.
const TOP: u32 = 1 << 31;

/// The most leaves per slot on average. With fewer a top of 68 bytes per slot would outweigh the branches that it saves.
const LEAVES_PER_SLOT: usize = 2;

/// How many slots ahead the next ones are fetched while the top grows.
const FETCHED_AHEAD: usize = 32;
