//! The hashes of the engine, one at a time and many at once: of Merkle trees, and of ids.
//!
//! Leaves and inner nodes live in disjoint domains by the lowest bit of their first byte: 1 for a leaf, 0 for an
//! inner node. A 64-byte leaf and an inner node may share a BLAKE3 input, never an output.
//!
//! Ids are hashes in a [`Context`], BLAKE3's mode for deriving keys, which shares no input with the trees.
//!
//! A single BLAKE3 compression leaves the vector units of a processor mostly idle. [`nodes`], [`leaves`] and
//! [`Context::hash_all`] hash 16 or 8 inputs side by side, one in each lane of a vector, and give exactly what [`node`],
//! [`leaf`] and [`Context::hash`] give.

mod context;
#[cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "vector instructions are intrinsics"))]
mod lanes;

pub use context::Context;
use lanes::Kind;

/// A hash as it stands in a tree.
pub type Hash = [u8; 32];

/// A BLAKE3 block.
pub type Block = [u8; BLOCK_BYTES];

/// The hash of an absent subtree; no leaf and no node can hash to it without breaking BLAKE3.
pub const EMPTY: Hash = [0; 32];

/// Bytes of a BLAKE3 block: what one compression takes, and what an inner node hashes.
pub const BLOCK_BYTES: usize = 64;

/// Two children side by side, as they are hashed into their parent. It is one cache line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[repr(align(64))]
pub struct Pair(Block);

impl Pair {
    /// Two absent children.
    pub const EMPTY: Self = Self([0; BLOCK_BYTES]);

    /// The pair of these children.
    #[inline]
    pub fn new(left: &Hash, right: &Hash) -> Self {
        let mut pair = Self::EMPTY;
        pair.0[..32].copy_from_slice(left);
        pair.0[32..].copy_from_slice(right);
        pair
    }

    /// The left child, or the right one.
    #[inline]
    pub fn child(&self, right: bool) -> &Hash {
        let (left_child, right_child) = self.0.split_at(32);
        let child = if right { right_child } else { left_child };
        child.try_into().expect("half of 64 bytes are 32")
    }

    /// Replaces the left child, or the right one.
    #[inline]
    pub fn set(&mut self, right: bool, hash: &Hash) {
        let from = if right { 32 } else { 0 };
        self.0[from..from + 32].copy_from_slice(hash);
    }

    /// The hash of the parent.
    pub fn parent(&self) -> Hash {
        Kind::Node.of(&self.0)
    }
}

/// Hashes the bytes of a leaf.
pub fn leaf(bytes: &[u8]) -> Hash {
    Kind::Leaf.of(bytes)
}

/// Hashes two children into their parent.
pub fn node(left: &Hash, right: &Hash) -> Hash {
    Pair::new(left, right).parent()
}

/// Hashes every pair into its parent, in lanes where the processor has them. There must be as many parents as pairs.
pub fn nodes(pairs: &[&Pair], parents: &mut [Hash]) {
    assert_eq!(pairs.len(), parents.len(), "every pair has one parent");
    let lanes = lanes::Lanes::detect();
    for (pairs, parents) in pairs.chunks(lanes::WIDEST).zip(parents.chunks_mut(lanes::WIDEST)) {
        let mut inputs: [&[Block]; lanes::WIDEST] = [&[]; lanes::WIDEST];
        for (input, pair) in inputs.iter_mut().zip(pairs) {
            *input = std::slice::from_ref(&pair.0);
        }
        lanes.hash(&inputs[..pairs.len()], Kind::Node, parents);
    }
}

/// Hashes leaves of any lengths, neighbours of equal length in lanes where the processor has them. There must be as many
/// hashes as inputs.
pub fn byte_leaves(inputs: &[&[u8]], hashes: &mut [Hash]) {
    assert_eq!(inputs.len(), hashes.len(), "every leaf has one hash");
    lanes::Lanes::detect().hash_bytes(inputs, Kind::PaddedLeaf, hashes);
}

/// Hashes leaves of whole blocks, neighbours of equal length in lanes where the processor has them. There must be as
/// many hashes as inputs.
pub fn leaves(inputs: &[&[Block]], hashes: &mut [Hash]) {
    assert_eq!(inputs.len(), hashes.len(), "every leaf has one hash");
    let lanes = lanes::Lanes::detect();
    let mut rest = hashes;
    for equal in inputs.chunk_by(|one, next| one.len() == next.len()) {
        let (hashes, after) = rest.split_at_mut(equal.len());
        lanes.hash(equal, Kind::Leaf, hashes);
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_and_nodes_never_meet() {
        let (left, right) = (leaf(b"left"), leaf(b"right"));
        let mut both = left.to_vec();
        both.extend(right);
        assert_ne!(leaf(&both), node(&left, &right));
        assert_eq!(leaf(&both)[0] & 1, 1);
        assert_eq!(node(&left, &right)[0] & 1, 0);
        assert_ne!(node(&left, &right), node(&right, &left));
    }

    #[test]
    fn a_pair_keeps_its_sides() {
        let (left, right, other) = (leaf(b"left"), leaf(b"right"), leaf(b"other"));
        let mut pair = Pair::new(&left, &right);
        assert_eq!((pair.child(false), pair.child(true)), (&left, &right));
        pair.set(false, &other);
        assert_eq!(pair, Pair::new(&other, &right));
        pair.set(true, &left);
        assert_eq!(pair.parent(), node(&other, &left));
    }
}
