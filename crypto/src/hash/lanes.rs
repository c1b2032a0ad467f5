//! BLAKE3 of several inputs at once: lane `i` of every vector belongs to input `i`.
//!
//! The inputs fit one BLAKE3 chunk, so hashing is one compression per block, chained (BLAKE3 paper, sections 2.2 and
//! 2.4). The compression is written once, over any vector; a processor's module gives
//! the vector and compiles the compression with the processor's instructions. Where there is no such module, and for
//! inputs longer than a chunk, the `blake3` crate hashes one by one; the tests hold the lanes to what it says.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod kernel;

use super::{BLOCK_BYTES, Block, Context, Hash};
use crate::backend::{Width, allowed};

/// The most lanes that a processor has.
pub(super) const WIDEST: usize = 16;

/// What is hashed, and how.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind<'a> {
    /// Two children. The lowest bit of the first byte is clear.
    Node,
    /// What a leaf holds. The lowest bit of the first byte is set.
    Leaf,
    /// The same of so many bytes, behind which are zeros up to whole blocks.
    PaddedLeaf(usize),
    /// So many bytes in a context, padded likewise.
    Derived(&'a Context, usize),
}

impl Kind<'_> {
    /// Hashes one input of any length.
    pub(super) fn of(self, input: &[u8]) -> Hash {
        if let Self::Derived(context, _) = self {
            return context.hash(input);
        }
        let (set, flip) = self.marks();
        let mut hash = *blake3::hash(input).as_bytes();
        hash[0] = (hash[0] | set) ^ flip;
        hash
    }

    /// What of an input is hashed.
    fn content(self, input: &[Block]) -> &[u8] {
        let bytes = input.as_flattened();
        match self {
            Self::Node | Self::Leaf => bytes,
            Self::PaddedLeaf(length) | Self::Derived(_, length) => &bytes[..length],
        }
    }

    /// Bits that are set in the first byte, then bits that are flipped.
    fn marks(self) -> (u8, u8) {
        match self {
            Self::Node => (1, 1),
            Self::Leaf | Self::PaddedLeaf(_) => (1, 0),
            Self::Derived(..) => (0, 0),
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
        if let Some(detected) = avx512::Detected::new().filter(|_| allowed() >= Width::Avx512) {
            return Self::Avx512(detected);
        } else if let Some(detected) = avx2::Detected::new().filter(|_| allowed() >= Width::Avx2) {
            return Self::Avx2(detected);
        }
        Self::One
    }

    /// Hashes inputs of equal length.
    pub(super) fn hash(self, inputs: &[&[Block]], kind: Kind<'_>, hashes: &mut [Hash]) {
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

    /// Hashes inputs of any length, neighbours of equal length together. `kind` says how those of a length are hashed.
    pub(super) fn hash_bytes<'a>(
        self,
        inputs: &[&[u8]],
        kind: impl Fn(usize) -> Kind<'a>,
        mut hashes: &mut [Hash],
    ) {
        for equal in inputs.chunk_by(|one, next| one.len() == next.len()) {
            let (these, rest) = hashes.split_at_mut(equal.len());
            hashes = rest;
            let bytes = equal[0].len();
            if self == Self::One || !(1..=PADDED_BLOCKS * BLOCK_BYTES).contains(&bytes) {
                equal.iter().zip(these).for_each(|(input, hash)| *hash = kind(bytes).of(input));
                continue;
            }
            for (group, these) in equal.chunks(WIDEST).zip(these.chunks_mut(WIDEST)) {
                self.hash_group(bytes, group, kind(bytes), these);
            }
        }
    }

    /// Hashes up to [`WIDEST`] inputs of equal length, each padded to whole blocks on the way.
    fn hash_group(self, bytes: usize, group: &[&[u8]], kind: Kind<'_>, hashes: &mut [Hash]) {
        let blocks = bytes.div_ceil(BLOCK_BYTES);
        let mut padded: [[Block; PADDED_BLOCKS]; WIDEST] = [[[0; BLOCK_BYTES]; PADDED_BLOCKS]; WIDEST];
        for (padded, input) in padded.iter_mut().zip(group) {
            padded.as_flattened_mut()[..bytes].copy_from_slice(input);
        }
        let mut inputs: [&[Block]; WIDEST] = [&[]; WIDEST];
        for (input, padded) in inputs.iter_mut().zip(&padded) {
            *input = &padded[..blocks];
        }
        self.hash(&inputs[..group.len()], kind, hashes);
    }

    fn hash_one_by_one(inputs: &[&[Block]], kind: Kind<'_>, hashes: &mut [Hash]) {
        for (input, hash) in inputs.iter().zip(hashes) {
            *hash = kind.of(kind.content(input));
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

/// Blocks of the longest input that is padded: transactions are shorter.
const PADDED_BLOCKS: usize = 4;

#[cfg(test)]
mod tests;
