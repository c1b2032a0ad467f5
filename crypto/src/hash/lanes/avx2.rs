//! Eight lanes with AVX2.

use std::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_loadu_si256, _mm256_or_si256, _mm256_permute2x128_si256,
    _mm256_set1_epi32, _mm256_setr_epi8, _mm256_shuffle_epi8, _mm256_slli_epi32, _mm256_srli_epi32,
    _mm256_storeu_si256, _mm256_unpackhi_epi32, _mm256_unpackhi_epi64, _mm256_unpacklo_epi32,
    _mm256_unpacklo_epi64, _mm256_xor_si256,
};

use super::{
    Block, Hash, Kind,
    kernel::{self, Vector},
};

/// Proof that this processor has AVX2: only [`Detected::new`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::hash) struct Detected(());

impl Detected {
    pub(super) fn new() -> Option<Self> {
        is_x86_feature_detected!("avx2").then_some(Self(()))
    }

    pub(super) fn hash(self, inputs: &[&[Block]; 8], kind: Kind<'_>, hashes: &mut [Hash; 8]) {
        // SAFETY: `self` exists, so AVX2 was detected.
        unsafe { hash(inputs, kind, hashes) }
    }
}

#[target_feature(enable = "avx2")]
fn hash(inputs: &[&[Block]; 8], kind: Kind<'_>, hashes: &mut [Hash; 8]) {
    // SAFETY: this function is compiled with AVX2 and called only where the processor has it.
    unsafe { kernel::hash::<Half>(inputs, kind, hashes) }
}

/// A word of eight lanes. It exists only where the processor has AVX2, see [`Vector`].
#[derive(Clone, Copy)]
struct Half(__m256i);

impl Vector for Half {
    #[inline(always)]
    unsafe fn splat(word: u32) -> Self {
        // SAFETY: the caller promises AVX2.
        Self(unsafe { _mm256_set1_epi32(word.cast_signed()) })
    }

    #[inline(always)]
    unsafe fn transposed(inputs: &[&[Block]], place: usize) -> [Self; 16] {
        // SAFETY: the caller promises AVX2.
        let (firsts, lasts) = unsafe { (square(inputs, place, 0), square(inputs, place, 32)) };
        let ([w0, w1, w2, w3, w4, w5, w6, w7], [w8, w9, w10, w11, w12, w13, w14, w15]) = (firsts, lasts);
        [w0, w1, w2, w3, w4, w5, w6, w7, w8, w9, w10, w11, w12, w13, w14, w15]
    }

    #[inline(always)]
    fn untransposed(words: [Self; 8], hashes: &mut [Hash]) {
        for (lane, hash) in turned(words).into_iter().zip(hashes) {
            // SAFETY: a vector exists, so the processor has AVX2; a hash is 32 bytes, all of which are written, at any
            // alignment.
            unsafe { _mm256_storeu_si256(hash.as_mut_ptr().cast(), lane.0) }
        }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: a vector exists, so the processor has AVX2.
        Self(unsafe { _mm256_add_epi32(self.0, other.0) })
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        // SAFETY: a vector exists, so the processor has AVX2.
        Self(unsafe { _mm256_xor_si256(self.0, other.0) })
    }

    #[inline(always)]
    fn or(self, other: Self) -> Self {
        // SAFETY: a vector exists, so the processor has AVX2.
        Self(unsafe { _mm256_or_si256(self.0, other.0) })
    }

    #[inline(always)]
    fn rotated<const BITS: i32>(self) -> Self {
        // AVX2 has no rotation. Whole bytes are shuffled, other amounts are put together from two shifts.
        // SAFETY: a vector exists, so the processor has AVX2.
        Self(unsafe {
            match BITS {
                16 => _mm256_shuffle_epi8(
                    self.0,
                    _mm256_setr_epi8(
                        2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11,
                        8, 9, 14, 15, 12, 13,
                    ),
                ),
                8 => _mm256_shuffle_epi8(
                    self.0,
                    _mm256_setr_epi8(
                        1, 2, 3, 0, 5, 6, 7, 4, 9, 10, 11, 8, 13, 14, 15, 12, 1, 2, 3, 0, 5, 6, 7, 4, 9, 10,
                        11, 8, 13, 14, 15, 12,
                    ),
                ),
                12 => _mm256_or_si256(_mm256_srli_epi32::<12>(self.0), _mm256_slli_epi32::<20>(self.0)),
                7 => _mm256_or_si256(_mm256_srli_epi32::<7>(self.0), _mm256_slli_epi32::<25>(self.0)),
                _ => unreachable!("BLAKE3 rotates by 16, 12, 8 and 7"),
            }
        })
    }
}

/// Half a block of each input, from byte 0 or 32: vector `w` holds word `w` of it, input `i` in lane `i`.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn square(inputs: &[&[Block]], place: usize, from: usize) -> [Half; 8] {
    // SAFETY: the caller promises AVX2.
    unsafe {
        turned([
            row(inputs[0], place, from),
            row(inputs[1], place, from),
            row(inputs[2], place, from),
            row(inputs[3], place, from),
            row(inputs[4], place, from),
            row(inputs[5], place, from),
            row(inputs[6], place, from),
            row(inputs[7], place, from),
        ])
    }
}

/// Half a block as it stands in memory.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn row(input: &[Block], place: usize, from: usize) -> Half {
    let bytes = &input[place][from..from + 32];
    // SAFETY: the caller promises AVX2; the slice has 32 bytes, all of which are read, at any alignment.
    Half(unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) })
}

/// An 8 × 8 square of words turned on its diagonal.
#[inline(always)]
fn turned([a, b, c, d, e, f, g, h]: [Half; 8]) -> [Half; 8] {
    let (upper, lower) = (halves([a, b, c, d]), halves([e, f, g, h]));
    let mut rows = upper;
    let mut rows_after = lower;
    for place in 0..4 {
        let (one, other) = (upper[place].0, lower[place].0);
        // SAFETY: vectors exist, so the processor has AVX2.
        unsafe {
            rows[place] = Half(_mm256_permute2x128_si256::<0x20>(one, other));
            rows_after[place] = Half(_mm256_permute2x128_si256::<0x31>(one, other));
        }
    }
    let ([r0, r1, r2, r3], [r4, r5, r6, r7]) = (rows, rows_after);
    [r0, r1, r2, r3, r4, r5, r6, r7]
}

/// In either half of 128 bits, a 4 × 4 square of words turned on its diagonal.
#[inline(always)]
fn halves([a, b, c, d]: [Half; 4]) -> [Half; 4] {
    // SAFETY: vectors exist, so the processor has AVX2.
    unsafe {
        let (ab_low, ab_high) = (_mm256_unpacklo_epi32(a.0, b.0), _mm256_unpackhi_epi32(a.0, b.0));
        let (cd_low, cd_high) = (_mm256_unpacklo_epi32(c.0, d.0), _mm256_unpackhi_epi32(c.0, d.0));
        [
            Half(_mm256_unpacklo_epi64(ab_low, cd_low)),
            Half(_mm256_unpackhi_epi64(ab_low, cd_low)),
            Half(_mm256_unpacklo_epi64(ab_high, cd_high)),
            Half(_mm256_unpackhi_epi64(ab_high, cd_high)),
        ]
    }
}
