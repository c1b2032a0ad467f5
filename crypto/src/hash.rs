//! The node hash of every Merkle tree in the engine.
//!
//! Leaves and inner nodes live in disjoint domains by the lowest bit of their first byte: 1 for a leaf, 0 for an
//! inner node. A 64-byte leaf and an inner node may share a BLAKE3 input, never an output.

/// A hash as it stands in a tree.
pub type Hash = [u8; 32];

/// The hash of an absent subtree; no leaf and no node can hash to it without breaking BLAKE3.
pub const EMPTY: Hash = [0; 32];

/// Hashes the bytes of a leaf.
pub fn leaf(bytes: &[u8]) -> Hash {
    let mut hash = *blake3::hash(bytes).as_bytes();
    hash[0] |= 1;
    hash
}

/// Hashes two children into their parent.
pub fn node(left: &Hash, right: &Hash) -> Hash {
    let mut input = [0; 64];
    input[..32].copy_from_slice(left);
    input[32..].copy_from_slice(right);
    let mut hash = *blake3::hash(&input).as_bytes();
    hash[0] &= !1;
    hash
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
}
