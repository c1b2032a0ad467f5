//! A Merkle mountain range: an append-only list whose root commits to every element, at the cost of its peaks.
//!
//! Peaks are perfect trees of falling height, one per set bit of the count. `root = leaf(count ‖ peaks from left)`.

use std::collections::VecDeque;

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
        self.append(record_leaf(record));
    }

    /// The root over all elements.
    pub fn root(&self) -> Root {
        root(self.count, &self.peaks)
    }
}

/// The way from an element of a range to its root.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct Path {
    /// The element's position.
    pub index: u64,
    /// Number of elements of the range.
    pub count: u64,
    /// From the element up to its peak.
    pub siblings: Vec<[u8; 32]>,
    /// The other peaks, from the left.
    pub peaks: Vec<[u8; 32]>,
}

impl Path {
    /// The root of the range that has `leaf` at this position, or nothing when the path has the wrong shape.
    pub fn root(&self, leaf: hash::Hash) -> Option<Root> {
        let (start, height) = peak_over(self.index, self.count)?;
        let shaped = self.siblings.len() == height as usize;
        if !shaped || self.peaks.len() + 1 != self.count.count_ones() as usize {
            return None;
        }
        let mut place = self.index - start;
        let mut peak = leaf;
        for sibling in &self.siblings {
            peak = if place & 1 == 1 { hash::node(sibling, &peak) } else { hash::node(&peak, sibling) };
            place >>= 1;
        }
        let mut peaks = self.peaks.clone();
        // As many peaks stand before it as the count has higher bits.
        peaks.insert((self.count >> height >> 1).count_ones() as usize, peak);
        Some(root(self.count, &peaks))
    }
}

/// A range that remembers the nodes above its youngest elements, and so gives their paths.
#[derive(Clone, Debug)]
pub struct Range {
    /// The nodes over `2^height` elements each, by height.
    levels: Vec<Level>,
}

#[derive(Clone, Debug, Default)]
struct Level {
    /// The place of the first node remembered; node `p` is over the elements from `p << height` on.
    first: u64,
    nodes: VecDeque<hash::Hash>,
}

impl Level {
    fn next(&self) -> u64 {
        self.first + self.nodes.len() as u64
    }

    fn node(&self, place: u64) -> Option<hash::Hash> {
        self.nodes.get(usize::try_from(place.checked_sub(self.first)?).ok()?).copied()
    }
}

impl From<&Mmr> for Range {
    /// The range with these peaks; nothing is known of its elements.
    fn from(mmr: &Mmr) -> Self {
        let mut levels: Vec<Level> = (0..u64::BITS)
            .map_while(|height| (mmr.count >> height > 0 || height == 0).then_some(mmr.count >> height))
            .map(|first| Level { first, nodes: VecDeque::new() })
            .collect();
        for ((_, height), peak) in peaks(mmr.count).zip(&mmr.peaks) {
            let level = &mut levels[height as usize];
            level.first -= 1;
            level.nodes.push_back(*peak);
        }
        Self { levels }
    }
}

impl Range {
    /// Number of elements.
    pub fn count(&self) -> u64 {
        self.levels[0].next()
    }

    /// Appends a record of a shard, as [`Mmr::append_record`].
    pub fn append_record(&mut self, record: &RecordDigest) {
        let mut node = record_leaf(record);
        for height in 0.. {
            if height == self.levels.len() {
                // The first node of its height; those before it there are none.
                self.levels.push(Level::default());
            }
            let level = &mut self.levels[height];
            level.nodes.push_back(node);
            let next = level.next();
            if next % 2 == 1 {
                break;
            }
            let left =
                level.node(next - 2).expect("the left half of a node that is not whole yet is remembered");
            node = hash::node(&left, &node);
        }
    }

    /// Forgets what only the paths of elements before `oldest` need.
    pub fn forget_before(&mut self, oldest: u64) {
        for (height, level) in self.levels.iter_mut().enumerate() {
            let needless = |place: u64| (place / 2 + 1) << (height + 1) <= oldest;
            while !level.nodes.is_empty() && needless(level.first) {
                level.nodes.pop_front();
                level.first += 1;
            }
        }
    }

    /// The root over the first `count` elements, at most all, when what it needs is remembered.
    pub fn root(&self, count: u64) -> Option<Root> {
        let peaks: Option<Vec<_>> = peaks(count).map(|peak| self.peak(peak)).collect();
        Some(root(count, &peaks?))
    }

    /// The path of the element at `index` among the first `count`, when what it needs is remembered.
    pub fn path(&self, index: u64, count: u64) -> Option<Path> {
        let (start, height) = peak_over(index, count)?;
        let siblings: Option<_> =
            (0..height).map(|height| self.levels[height as usize].node(index >> height ^ 1)).collect();
        let others = peaks(count).filter(|(other, _)| *other != start);
        let others: Option<_> = others.map(|peak| self.peak(peak)).collect();
        Some(Path { index, count, siblings: siblings?, peaks: others? })
    }

    fn peak(&self, (start, height): (u64, u32)) -> Option<hash::Hash> {
        self.levels.get(height as usize)?.node(start >> height)
    }
}

/// The leaf of a record in the range of its shard.
pub fn record_leaf(record: &RecordDigest) -> hash::Hash {
    hash::leaf(&record.0)
}

fn root(count: u64, peaks: &[hash::Hash]) -> Root {
    let mut input = count.to_le_bytes().to_vec();
    for peak in peaks {
        input.extend(peak);
    }
    Root(hash::leaf(&input))
}

/// The peaks of a range, from the left: the first element below each, and its height.
fn peaks(count: u64) -> impl Iterator<Item = (u64, u32)> {
    let mut start = 0;
    (0..u64::BITS).rev().filter(move |height| count >> height & 1 == 1).map(move |height| {
        let peak = (start, height);
        start += 1 << height;
        peak
    })
}

/// The peak over an element.
fn peak_over(index: u64, count: u64) -> Option<(u64, u32)> {
    peaks(count).find(|(start, height)| index >= *start && index - start < 1 << height)
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

    fn digest(number: u64) -> RecordDigest {
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&number.to_le_bytes());
        RecordDigest(digest)
    }

    /// From whatever count on a range begins to remember, all paths that it gives lead to the roots that a list has.
    #[test]
    fn every_path_leads_to_the_root_of_its_count_and_to_no_other() {
        let mut roots = vec![Mmr::default().root()];
        for known_from in [0, 1, 5, 8, 23] {
            let mut mmr = Mmr::default();
            (0..known_from).for_each(|number| mmr.append_record(&digest(number)));
            let mut range = Range::from(&mmr);
            for number in known_from..70 {
                range.append_record(&digest(number));
                mmr.append_record(&digest(number));
                assert_eq!((range.count(), range.root(number + 1)), (mmr.count(), Some(mmr.root())));
                if known_from == 0 {
                    roots.push(mmr.root());
                }
            }
            for oldest in [known_from, 30, 64] {
                range.forget_before(oldest);
                for count in oldest + 1..=70 {
                    for index in oldest..count {
                        let path = range.path(index, count).expect("remembered");
                        let leaf = hash::leaf(&digest(index).0);
                        assert_eq!(path.root(leaf), Some(roots[count as usize]));
                        assert_ne!(path.root(hash::leaf(&digest(index + 1).0)), Some(roots[count as usize]));
                        let other = Path { index: (index + 1) % count, ..path.clone() };
                        assert!(count == 1 || other.root(leaf) != Some(roots[count as usize]));
                        let other = Path { count: count + 1, ..path.clone() };
                        assert_ne!(other.root(leaf), Some(roots[count as usize]));
                        let mut longer = path.clone();
                        longer.siblings.push([0; 32]);
                        assert_eq!(longer.root(leaf), None);
                        let mut longer = path;
                        longer.peaks.push([0; 32]);
                        assert_eq!(longer.root(leaf), None);
                    }
                }
            }
            assert_eq!(range.path(3, 70), None, "forgotten");
            assert_eq!(range.path(70, 70), None, "not there");
            assert_eq!(range.path(69, 71), None, "not all there");
        }
    }

    #[test]
    fn memory_of_a_range_is_what_is_not_forgotten() {
        let mut range = Range::from(&Mmr::default());
        for number in 0..10_000 {
            range.append_record(&digest(number));
            range.forget_before(number.saturating_sub(100));
        }
        assert!(range.levels.iter().map(|level| level.nodes.len()).sum::<usize>() < 300);
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
