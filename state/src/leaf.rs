//! Bits of keys and hashes of leaves: what tree and verifier must agree on.

use fresnel_crypto::hash::{self, Hash};
use fresnel_types::{Shards, StateKey};

/// The hash of the leaf that holds `value` under `key`.
pub fn leaf_hash(key: &StateKey, value: &[u8]) -> Hash {
    let length = (32 + value.len() + 8).next_multiple_of(64).max(LEAF_BYTES_MIN);
    let fill = |input: &mut [u8]| {
        input[..32].copy_from_slice(&key.0);
        input[32..32 + value.len()].copy_from_slice(value);
        input[length - 8..].copy_from_slice(&(value.len() as u64).to_le_bytes());
        hash::leaf(input)
    };
    if length == LEAF_BYTES_MIN { fill(&mut [0; LEAF_BYTES_MIN]) } else { fill(&mut vec![0; length]) }
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

const LEAF_BYTES_MIN: usize = 128;
