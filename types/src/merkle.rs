//! Binary Merkle trees over lists.
//!
//! Leaves stand left to right in the lowest level; an odd last node moves up unchanged. The root commits to the number
//! of leaves: `root = leaf(count ‖ top)`, so no prefix or regrouping of a list shares its root.

use fresnel_crypto::hash::{self, Pair};
use wincode::{SchemaRead, SchemaWrite};

use crate::{codec, hash::Root};

/// The siblings from one leaf to the top, with the leaf's place.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct Path {
    /// Position of the leaf.
    pub index: u64,
    /// Number of leaves.
    pub count: u64,
    /// From the lowest level upwards, only where a sibling exists.
    pub siblings: Vec<[u8; 32]>,
}

/// The leaf hash of an encoded value.
pub fn leaf<T: SchemaWrite<codec::Layout, Src = T>>(value: &T) -> hash::Hash {
    hash::leaf(&codec::encode(value))
}

/// The leaf hashes of encoded values, computed together.
pub fn leaves<'a, T>(values: impl IntoIterator<Item = &'a T>) -> Vec<hash::Hash>
where
    T: SchemaWrite<codec::Layout, Src = T> + 'a,
{
    let (mut bytes, mut ends) = (Vec::new(), vec![0]);
    for value in values {
        codec::encode_into(&mut bytes, value);
        ends.push(bytes.len());
    }
    let inputs: Vec<&[u8]> = ends.windows(2).map(|ends| &bytes[ends[0]..ends[1]]).collect();
    let mut hashes = vec![hash::EMPTY; inputs.len()];
    hash::byte_leaves(&inputs, &mut hashes);
    hashes
}

/// The root over leaf hashes.
pub fn root(leaves: impl IntoIterator<Item = hash::Hash>) -> Root {
    let mut level: Vec<hash::Hash> = leaves.into_iter().collect();
    let count = level.len() as u64;
    while level.len() > 1 {
        level = above(&level);
    }
    finish(count, level.first().copied().unwrap_or(hash::EMPTY))
}

/// The path of the leaf at `index`, which must exist.
pub fn path(leaves: &[hash::Hash], index: usize) -> Path {
    assert!(index < leaves.len(), "leaf {index} of {} does not exist", leaves.len());
    let mut siblings = Vec::new();
    let mut level = leaves.to_vec();
    let mut place = index;
    while level.len() > 1 {
        if let Some(sibling) = level.get(place ^ 1) {
            siblings.push(*sibling);
        }
        level = above(&level);
        place /= 2;
    }
    Path { index: index as u64, count: leaves.len() as u64, siblings }
}

impl Path {
    /// The root of the list that has `leaf` at this place, or nothing when the path has the wrong shape.
    pub fn root(&self, leaf: hash::Hash) -> Option<Root> {
        if self.index >= self.count {
            return None;
        }
        let mut siblings = self.siblings.iter();
        let (mut place, mut width, mut node) = (self.index, self.count, leaf);
        while width > 1 {
            if place % 2 == 1 {
                node = hash::node(siblings.next()?, &node);
            } else if place + 1 < width {
                node = hash::node(&node, siblings.next()?);
            }
            place /= 2;
            width = width.div_ceil(2);
        }
        siblings.next().is_none().then(|| finish(self.count, node))
    }
}

fn above(level: &[hash::Hash]) -> Vec<hash::Hash> {
    let (pairs, last) = level.as_chunks::<2>();
    let pairs: Vec<Pair> = pairs.iter().map(|[left, right]| Pair::new(left, right)).collect();
    let mut parents = vec![hash::EMPTY; pairs.len()];
    hash::nodes(&pairs.iter().collect::<Vec<_>>(), &mut parents);
    parents.extend(last);
    parents
}

fn finish(count: u64, top: hash::Hash) -> Root {
    let mut input = [0; 40];
    input[..8].copy_from_slice(&count.to_le_bytes());
    input[8..].copy_from_slice(&top);
    Root(hash::leaf(&input))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(count: u64) -> Vec<hash::Hash> {
        let leaves = super::leaves(&(0..count).collect::<Vec<_>>());
        assert!(leaves.iter().zip(0_u64..).all(|(hash, i)| *hash == leaf(&i)));
        leaves
    }

    #[test]
    fn every_path_of_every_size_leads_to_the_root_and_no_other_leaf_does() {
        for count in 1..34_u64 {
            let leaves = leaves(count);
            let top = root(leaves.iter().copied());
            for index in 0..count {
                let path = path(&leaves, index as usize);
                assert_eq!(path.root(leaves[index as usize]), Some(top));
                assert_ne!(path.root(leaf(&(index + 1))), Some(top));
                let mut moved = path.clone();
                moved.index = (index + 1) % count.max(2);
                assert_ne!(moved.root(leaves[index as usize]), Some(top));
                let mut longer = path;
                longer.siblings.push([7; 32]);
                assert_eq!(longer.root(leaves[index as usize]), None);
            }
        }
    }

    #[test]
    fn roots_of_prefixes_differ() {
        let mut seen = std::collections::BTreeSet::new();
        for count in 0..20 {
            assert!(seen.insert(root(leaves(count)).0));
        }
    }
}
