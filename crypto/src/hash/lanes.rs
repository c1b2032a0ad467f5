//! BLAKE3 of several inputs at once: lane `i` of every vector belongs to input `i`.
//!
//! The inputs have whole blocks and fit one BLAKE3 chunk, so hashing is one compression per block, chained
//! (BLAKE3 paper, sections 2.2 and 2.4). The compression is written once, over any vector; a processor's module gives
//! the vector and compiles the compression with the processor's instructions. Where there is no such module, and for
//! inputs longer than a chunk, the `blake3` crate hashes one by one; the tests hold the lanes to what it says.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod kernel;

use super::{BLOCK_BYTES, Block, Hash};

/// The most lanes that a processor has.
pub(super) const WIDEST: usize = 16;

/// What is hashed: it decides the lowest bit of the first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Two children.
    Node,
    /// What a leaf holds.
    Leaf,
}

impl Kind {
    /// Hashes one input of any length.
    pub(super) fn of(self, input: &[u8]) -> Hash {
        let mut hash = *blake3::hash(input).as_bytes();
        hash[0] = (hash[0] | 1) ^ self.flip();
        hash
    }

    /// What turns a set lowest bit into the one of this kind.
    fn flip(self) -> u8 {
        match self {
            Self::Node => 1,
            Self::Leaf => 0,
        }
    }
}

/// The way to hash that this processor is fit for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lanes {
    /// One by one.
    One,
    /// Eight, made only where AVX2 was detected.
    #[cfg(target_arch = "x86_64")]
    Avx2(avx2::Detected),
    /// Sixteen, made only where AVX-512 was detected.
    #[cfg(target_arch = "x86_64")]
    Avx512(avx512::Detected),
}

impl Lanes {
    /// The widest that this processor has.
    pub(super) fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(detected) = avx512::Detected::new() {
            return Self::Avx512(detected);
        } else if let Some(detected) = avx2::Detected::new() {
            return Self::Avx2(detected);
        }
        Self::One
    }

    /// Hashes inputs of equal length.
    pub(super) fn hash(self, inputs: &[&[Block]], kind: Kind, hashes: &mut [Hash]) {
        let blocks = inputs.first().map_or(0, |input| input.len());
        if !(1..=CHUNK_BLOCKS).contains(&blocks) {
            return Self::hash_one_by_one(inputs, kind, hashes);
        }
        match self {
            Self::One => Self::hash_one_by_one(inputs, kind, hashes),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(detected) => in_groups(inputs, hashes, |inputs, out| detected.hash(inputs, kind, out)),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(detected) => {
                in_groups(inputs, hashes, |inputs, out| detected.hash(inputs, kind, out))
            }
        }
    }

    fn hash_one_by_one(inputs: &[&[Block]], kind: Kind, hashes: &mut [Hash]) {
        for (input, hash) in inputs.iter().zip(hashes) {
            *hash = kind.of(input.as_flattened());
        }
    }
}

/// Hands `hash` full groups. A last group that is not full repeats its first input: a vector costs the same with idle
/// lanes, and less than its inputs one by one.
#[cfg(target_arch = "x86_64")]
fn in_groups<const LANES: usize>(
    inputs: &[&[Block]],
    hashes: &mut [Hash],
    hash: impl Fn(&[&[Block]; LANES], &mut [Hash; LANES]),
) {
    let (full, rest) = inputs.as_chunks::<LANES>();
    let (full_hashes, rest_hashes) = hashes.as_chunks_mut::<LANES>();
    for (inputs, hashes) in full.iter().zip(full_hashes) {
        hash(inputs, hashes);
    }
    if let Some(first) = rest.first() {
        let mut group = [*first; LANES];
        group[..rest.len()].copy_from_slice(rest);
        let mut out = [[0; 32]; LANES];
        hash(&group, &mut out);
        rest_hashes.copy_from_slice(&out[..rest.len()]);
    }
}

/// Blocks of a BLAKE3 chunk.
const CHUNK_BLOCKS: usize = 16;

#[cfg(test)]
mod tests;
