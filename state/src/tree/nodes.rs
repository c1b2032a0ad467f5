//! What the tree is made of: branches, pairs of hashes, leaves, and the references between them.
//!
//! A branch is where at least two leaves part; levels at which all leaves go the same way have none. The hashes of its two
//! children stand side by side in its pair, each lifted to just below the branch, ready to be hashed. So a tree of `n`
//! leaves has `n - 1` branches of 76 bytes together with their pairs.

use fresnel_crypto::hash::{EMPTY, Hash, Pair};
use fresnel_types::StateKey;

use super::chunked::Chunked;
use crate::leaf::bit;

/// All nodes of a tree.
pub(super) struct Nodes {
    top: Option<Child>,
    top_hash: Hash,
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

pub(super) struct Leaf {
    pub(super) key: StateKey,
    pub(super) value: Box<[u8]>,
}

/// A reference to what stands below a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Child(u32);

/// What a [`Child`] refers to, by number.
pub(super) enum Node {
    Branch(u32),
    Leaf(u32),
}

/// A place for a child and its hash: a side of a branch, or the top.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot(u32);

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
    pub(super) const TOP: Self = Self(u32::MAX);

    pub(super) fn of(branch: u32, right: bool) -> Self {
        Self(branch << 1 | u32::from(right))
    }

    /// The other side of the same branch. The top has none.
    pub(super) fn sibling(self) -> Self {
        debug_assert_ne!(self, Self::TOP, "nothing stands beside the top");
        Self(self.0 ^ 1)
    }

    /// The branch, and whether this is its right side; `None` is the top.
    fn side(self) -> Option<(u32, bool)> {
        (self != Self::TOP).then_some((self.0 >> 1, self.0 & 1 == 1))
    }
}

impl Nodes {
    pub(super) fn new() -> Self {
        Self {
            top: None,
            top_hash: EMPTY,
            branches: Chunked::new(),
            pairs: Chunked::new(),
            leaves: Chunked::new(),
            free_branches: vec![],
            free_leaves: vec![],
        }
    }

    pub(super) fn top(&self) -> Option<Child> {
        self.top
    }

    /// How many leaves there are.
    pub(super) fn count(&self) -> usize {
        self.leaves.len() - self.free_leaves.len()
    }

    /// The child in a slot. Only the top may have none.
    pub(super) fn child(&self, slot: Slot) -> Option<Child> {
        match slot.side() {
            Some((branch, right)) => Some(self.branches[branch].children[usize::from(right)]),
            None => self.top,
        }
    }

    pub(super) fn set_child(&mut self, slot: Slot, child: Child) {
        match slot.side() {
            Some((branch, right)) => self.branches[branch].children[usize::from(right)] = child,
            None => self.top = Some(child),
        }
    }

    /// The hash in a slot.
    pub(super) fn hash(&self, slot: Slot) -> &Hash {
        match slot.side() {
            Some((branch, right)) => self.pairs[branch].child(right),
            None => &self.top_hash,
        }
    }

    pub(super) fn set_hash(&mut self, slot: Slot, hash: &Hash) {
        match slot.side() {
            Some((branch, right)) => self.pairs[branch].set(right, hash),
            None => self.top_hash = *hash,
        }
    }

    /// Removes the last leaf.
    pub(super) fn clear_top(&mut self) {
        (self.top, self.top_hash) = (None, EMPTY);
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
        self.leaves[number].value = Box::default();
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
