//! Chunks: cutting the leaves of a shard into subtrees, and checking one against the root.

use std::ops::Range;

use fresnel_crypto::hash::{self, EMPTY, Hash};
use fresnel_types::{ShardId, Shards, StateKey, StateRoot, codec};
use wincode::{SchemaRead, SchemaWrite};

use crate::leaf::{Hasher, KEY_BITS, alone, bit, join, root_depth, shared_bits};

/// A key and what it holds.
pub type Leaf = (StateKey, Vec<u8>);

/// A subtree: all keys that share their first bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct Prefix {
    /// The bits, then zeros.
    pub key: StateKey,
    /// How many bits.
    pub depth: u16,
}

/// All leaves of a subtree with what ties it to the root.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct Chunk {
    /// Which subtree.
    pub prefix: Prefix,
    /// The hashes beside the way to the root, from the deepest upwards.
    pub beside: Vec<Hash>,
    /// Ascending by key.
    pub leaves: Vec<Leaf>,
}

/// Why a chunk is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// The bytes are no chunk of this version.
    #[error("these are not the bytes of a chunk")]
    Malformed,
    /// The prefix is none of the shard, or does not go with the number of hashes.
    #[error("the prefix of the chunk is none of the shard")]
    Prefix,
    /// The leaves are not ascending, or one is not below the prefix.
    #[error("the leaves of the chunk are not ascending ones of its prefix")]
    Leaves,
    /// The leaves are not those that the root commits to.
    #[error("the chunk is not part of the certified state")]
    Root,
    /// It is another chunk than the manifest says.
    #[error("the chunk is not the one of this place")]
    Place,
}

/// A chunk to be made of the leaves in `range`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Which subtree.
    pub prefix: Prefix,
    /// As in [`Chunk::beside`].
    pub beside: Vec<Hash>,
    /// Its leaves among all.
    pub range: Range<usize>,
}

/// Cuts the leaves of a shard, ascending by key, into subtrees of at most `bytes_max` bytes, or of one leaf. Gives them in
/// order, with the root.
pub fn cut(leaves: &[Leaf], shards: Shards, shard: ShardId, bytes_max: usize) -> (Vec<Piece>, StateRoot) {
    let mut ends = Vec::with_capacity(leaves.len() + 1);
    ends.push(0);
    for (_, value) in leaves {
        ends.push(ends.last().copied().unwrap_or(0) + LEAF_BYTES + value.len());
    }
    let mut cutter = Cutter { leaves, hashes: leaf_hashes(leaves), ends, bytes_max, pieces: Vec::new() };
    let root = cutter.cut(0..leaves.len(), Prefix::of_shard(shards, shard));
    (cutter.pieces, StateRoot(root))
}

struct Cutter<'a> {
    leaves: &'a [Leaf],
    hashes: Vec<Hash>,
    /// Before each leaf, and at the end: the bytes of those before.
    ends: Vec<usize>,
    bytes_max: usize,
    pieces: Vec<Piece>,
}

impl Cutter<'_> {
    fn cut(&mut self, range: Range<usize>, prefix: Prefix) -> Hash {
        let depth = usize::from(prefix.depth);
        if range.len() < 2 || self.ends[range.end] - self.ends[range.start] <= self.bytes_max {
            let hash = subtree(&self.leaves[range.clone()], &self.hashes[range.clone()], depth);
            self.pieces.push(Piece { prefix, beside: Vec::new(), range });
            return hash;
        }
        let [left, right] = prefix.halves();
        let middle = range.start + self.leaves[range.clone()].partition_point(|(key, _)| !bit(key, depth));
        let first = self.pieces.len();
        let left = self.cut(range.start..middle, left);
        let second = self.pieces.len();
        let right = self.cut(middle..range.end, right);
        for (number, piece) in (first..).zip(&mut self.pieces[first..]) {
            piece.beside.push(if number < second { right } else { left });
        }
        join(&left, &right)
    }
}

impl Piece {
    /// The chunk, of the leaves that were cut.
    pub fn chunk(&self, leaves: &[Leaf]) -> Chunk {
        let leaves = leaves[self.range.clone()].to_vec();
        Chunk { prefix: self.prefix, beside: self.beside.clone(), leaves }
    }
}

impl Prefix {
    /// All keys of a shard.
    pub fn of_shard(shards: Shards, shard: ShardId) -> Self {
        let depth = root_depth(shards);
        let mut key = StateKey([0; 32]);
        for place in (0..depth).filter(|place| shard.0 >> (depth - 1 - place) & 1 == 1) {
            set(&mut key, place);
        }
        Self { key, depth: depth as u16 }
    }

    /// Whether `key` begins with these bits.
    pub fn contains(&self, key: &StateKey) -> bool {
        shared_bits(&self.key, key) >= usize::from(self.depth)
    }

    /// The first key after all of these; none when these are the last ones of all. The depth is one of a tree.
    pub fn end(&self) -> Option<StateKey> {
        // One more at the last bit of the prefix: ones before it become zeros, up to the first zero.
        let zero = (0..usize::from(self.depth)).rev().find(|place| !bit(&self.key, *place))?;
        let mut key = self.key;
        (zero..usize::from(self.depth)).for_each(|place| clear(&mut key, place));
        set(&mut key, zero);
        Some(key)
    }

    /// Whether the depth is one of a tree, and the bits behind it are zero.
    pub(super) fn is_whole(&self) -> bool {
        let depth = usize::from(self.depth);
        depth <= KEY_BITS && (depth..KEY_BITS).all(|place| !bit(&self.key, place))
    }

    fn halves(self) -> [Self; 2] {
        let mut right = self.key;
        set(&mut right, usize::from(self.depth));
        [self.key, right].map(|key| Self { key, depth: self.depth + 1 })
    }
}

impl Chunk {
    /// Whether these are all leaves of the prefix in the state of `shard` with this root, and no others.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn verify(&self, shards: Shards, shard: ShardId, root: &StateRoot) -> Result<(), ChunkError> {
        let (top, depth) = (Prefix::of_shard(shards, shard), usize::from(self.prefix.depth));
        let above = depth.checked_sub(usize::from(top.depth)).ok_or(ChunkError::Prefix)?;
        if !self.prefix.is_whole() || !top.contains(&self.prefix.key) || self.beside.len() != above {
            return Err(ChunkError::Prefix);
        }
        let ascending = self.leaves.is_sorted_by(|(before, _), (after, _)| before < after);
        if !ascending || !self.leaves.iter().all(|(key, _)| self.prefix.contains(key)) {
            return Err(ChunkError::Leaves);
        }
        let mut hash = subtree(&self.leaves, &leaf_hashes(&self.leaves), depth);
        for (beside, place) in self.beside.iter().zip((0..depth).rev()) {
            let (left, right) = if bit(&self.prefix.key, place) { (beside, &hash) } else { (&hash, beside) };
            if alone(left, right).is_some() {
                return Err(ChunkError::Root);
            }
            hash = hash::node(left, right);
        }
        if hash == root.0 { Ok(()) } else { Err(ChunkError::Root) }
    }

    /// Its bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        [MAGIC, &codec::encode(self)].concat()
    }

    /// A chunk from its bytes, which may be anything.
    ///
    /// # Errors
    /// When they are not those of a chunk of this version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ChunkError> {
        let body = bytes.strip_prefix(MAGIC).ok_or(ChunkError::Malformed)?;
        codec::decode(body).map_err(|_| ChunkError::Malformed)
    }
}

/// The hash of the subtree at `depth` with these leaves, whose hashes are `hashes`.
fn subtree(leaves: &[Leaf], hashes: &[Hash], depth: usize) -> Hash {
    match hashes {
        [] => EMPTY,
        [only] => *only,
        _ => {
            let middle = leaves.partition_point(|(key, _)| !bit(key, depth));
            let left = subtree(&leaves[..middle], &hashes[..middle], depth + 1);
            let right = subtree(&leaves[middle..], &hashes[middle..], depth + 1);
            join(&left, &right)
        }
    }
}

fn leaf_hashes(leaves: &[Leaf]) -> Vec<Hash> {
    let mut hashes = vec![EMPTY; leaves.len()];
    let mut hasher = Hasher::default();
    for (place, (key, value)) in leaves.iter().enumerate() {
        hasher.push(place, key, value, &mut hashes);
    }
    hasher.finish(&mut hashes);
    hashes
}

fn set(key: &mut StateKey, place: usize) {
    key.0[place / 8] |= 0x80 >> (place % 8);
}

fn clear(key: &mut StateKey, place: usize) {
    key.0[place / 8] &= !(0x80 >> (place % 8));
}

/// What a leaf takes besides its value: its key and the length.
const LEAF_BYTES: usize = 40;

/// The first bytes of a chunk, with the version of the format.
const MAGIC: &[u8] = b"fresnel snapshot chunk 1\n";
