//! Bits of keys and hashes of leaves: what tree and verifier must agree on.

use fresnel_crypto::hash::{self, BLOCK_BYTES, Block, EMPTY, Hash};
use fresnel_types::{Shards, StateKey};

/// The hash of the leaf that holds `value` under `key`.
pub fn leaf_hash(key: &StateKey, value: &[u8]) -> Hash {
    let mut blocks = [EMPTY_BLOCK; FEWEST_BLOCKS];
    match block_count(value) {
        FEWEST_BLOCKS => hash::leaf(fill(&mut blocks, key, value).as_flattened()),
        more => hash::leaf(fill(&mut vec![EMPTY_BLOCK; more], key, value).as_flattened()),
    }
}

/// Hashes leaves as [`leaf_hash`] does, those of equal length in lanes.
#[derive(Default)]
pub(crate) struct Hasher {
    /// By the number of blocks.
    waiting: [Waiting; MOST_BLOCKS + 1],
}

/// Leaves of one length that wait for more of it.
#[derive(Default)]
struct Waiting {
    blocks: Vec<Block>,
    places: Vec<usize>,
}

impl Hasher {
    /// Takes a leaf. Its hash stands at `place` of `hashes` after [`finish`](Self::finish), if not sooner.
    pub(crate) fn push(&mut self, place: usize, key: &StateKey, value: &[u8], hashes: &mut [Hash]) {
        let count = block_count(value);
        let Some(waiting) = self.waiting.get_mut(count) else {
            hashes[place] = leaf_hash(key, value);
            return;
        };
        let from = waiting.blocks.len();
        waiting.blocks.resize(from + count, EMPTY_BLOCK);
        fill(&mut waiting.blocks[from..], key, value);
        waiting.places.push(place);
        if waiting.places.len() == GROUP {
            waiting.hash(count, hashes);
        }
    }

    /// Hashes what still waits.
    pub(crate) fn finish(&mut self, hashes: &mut [Hash]) {
        for (count, waiting) in self.waiting.iter_mut().enumerate() {
            if !waiting.places.is_empty() {
                waiting.hash(count, hashes);
            }
        }
    }
}

impl Waiting {
    fn hash(&mut self, count: usize, hashes: &mut [Hash]) {
        let mut inputs: [&[Block]; GROUP] = [&[]; GROUP];
        for (input, blocks) in inputs.iter_mut().zip(self.blocks.chunks_exact(count)) {
            *input = blocks;
        }
        let mut out = [EMPTY; GROUP];
        let used = self.places.len();
        hash::leaves(&inputs[..used], &mut out[..used]);
        for (place, hash) in self.places.drain(..).zip(out) {
            hashes[place] = hash;
        }
        self.blocks.clear();
    }
}

/// What is hashed of a leaf: key, value, zeros, length of the value. `blocks` are zero before.
fn fill<'a>(blocks: &'a mut [Block], key: &StateKey, value: &[u8]) -> &'a [Block] {
    let bytes = blocks.as_flattened_mut();
    bytes[..32].copy_from_slice(&key.0);
    bytes[32..32 + value.len()].copy_from_slice(value);
    let end = bytes.len() - 8;
    bytes[end..].copy_from_slice(&(value.len() as u64).to_le_bytes());
    blocks
}

/// How many blocks a leaf with this value has.
fn block_count(value: &[u8]) -> usize {
    (32 + value.len() + 8).div_ceil(BLOCK_BYTES).max(FEWEST_BLOCKS)
}

/// The hash of the subtree with these halves.
pub(crate) fn join(left: &Hash, right: &Hash) -> Hash {
    alone(left, right).copied().unwrap_or_else(|| hash::node(left, right))
}

/// The half that the whole is the same as, when at most one leaf is below both: the lowest bit of a first byte says
/// whether a hash is that of a leaf.
pub(crate) fn alone<'a>(left: &'a Hash, right: &'a Hash) -> Option<&'a Hash> {
    let at_most_one = |hash: &Hash| *hash == EMPTY || hash[0] & 1 == 1;
    if *right == EMPTY && at_most_one(left) {
        Some(left)
    } else if *left == EMPTY && at_most_one(right) {
        Some(right)
    } else {
        None
    }
}

/// The `count` bits of `key` from `place` on, as a number; they end within the first 64.
pub(crate) fn bits(key: &StateKey, place: usize, count: usize) -> usize {
    let [a, b, c, d, e, f, g, h, ..] = key.0;
    let start = u64::from_be_bytes([a, b, c, d, e, f, g, h]) << place;
    // In two steps, since a shift by all 64 bits is none.
    (start >> 1 >> (63 - count)) as usize
}

/// The hash at depth `to` of a subtree whose leaves are all at `depth` below the bits of `key`, at least two of them.
pub(crate) fn lift(key: &StateKey, hash: Hash, depth: usize, to: usize) -> Hash {
    (to..depth).rev().fold(hash, |below, place| {
        if bit(key, place) { hash::node(&EMPTY, &below) } else { hash::node(&below, &EMPTY) }
    })
}

/// Bit `place` of `key`, 0 being the most significant of the first byte.
pub(crate) fn bit(key: &StateKey, place: usize) -> bool {
    key.0[place / 8] >> (7 - place % 8) & 1 == 1
}

/// How many bits two keys share from the start.
pub(crate) fn shared_bits(one: &StateKey, other: &StateKey) -> usize {
    match one.0.iter().zip(&other.0).position(|(a, b)| a != b) {
        Some(place) => place * 8 + (one.0[place] ^ other.0[place]).leading_zeros() as usize,
        None => KEY_BITS,
    }
}

/// The depth at which the roots of the shards stand.
pub(crate) fn root_depth(shards: Shards) -> usize {
    shards.count().trailing_zeros() as usize
}

/// Bits of a key.
pub(crate) const KEY_BITS: usize = 256;

const EMPTY_BLOCK: Block = [0; BLOCK_BYTES];

/// Blocks of the shortest leaf.
const FEWEST_BLOCKS: usize = 2;

/// Blocks of the longest leaf that is hashed in lanes: a BLAKE3 chunk.
const MOST_BLOCKS: usize = 16;

/// How many leaves are handed to the lanes at once; several times the widest vector.
const GROUP: usize = 64;
