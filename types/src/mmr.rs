//! A Merkle mountain range: an append-only list whose root commits to every element, at the cost of its peaks.
//!
//! Peaks are perfect trees of falling height, one per set bit of the count. `root = leaf(count ‖ peaks from left)`.

use fresnel_crypto::hash;
use wincode::{SchemaRead, SchemaWrite};

use crate::{RecordDigest, hash::Root};

/// The peaks of a range; all that appending needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct Mmr {
    count: u64,
    peaks: Vec<[u8; 32]>,
}

impl Mmr {
    /// Number of elements.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Whether it has the shape of a range that can grow. One from others may not; it must not be appended to.
    pub fn is_whole(&self) -> bool {
        self.peaks.len() == self.count.count_ones() as usize && self.count < u64::MAX
    }

    /// Appends a leaf hash.
    pub fn append(&mut self, leaf: hash::Hash) {
        let mut node = leaf;
        for _ in 0..self.count.trailing_ones() {
            let left = self.peaks.pop().expect("one peak per set bit of the count");
            node = hash::node(&left, &node);
        }
        self.peaks.push(node);
        self.count += 1;
    }

    /// Appends a record of a shard: the leaf that [`Record::earlier`](crate::Record) is over.
    pub fn append_record(&mut self, record: &RecordDigest) {
        self.append(hash::leaf(&record.0));
    }

    /// The root over all elements.
    pub fn root(&self) -> Root {
        let mut input = self.count.to_le_bytes().to_vec();
        for peak in &self.peaks {
            input.extend(peak);
        }
        Root(hash::leaf(&input))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peaks_follow_the_bits_and_roots_differ() {
        let mut mmr = Mmr::default();
        let mut roots = std::collections::BTreeSet::from([mmr.root().0]);
        for i in 1..200_u64 {
            mmr.append(hash::leaf(&i.to_le_bytes()));
            assert_eq!(mmr.count(), i);
            assert_eq!(mmr.peaks.len() as u32, i.count_ones());
            assert!(roots.insert(mmr.root().0));
        }
    }

    #[test]
    fn four_elements_are_a_perfect_tree() {
        let leaves = [1_u8, 2, 3, 4].map(|byte| hash::leaf(&[byte]));
        let mut mmr = Mmr::default();
        leaves.into_iter().for_each(|leaf| mmr.append(leaf));
        let top = hash::node(&hash::node(&leaves[0], &leaves[1]), &hash::node(&leaves[2], &leaves[3]));
        assert_eq!(mmr.peaks, vec![top]);
    }
}
