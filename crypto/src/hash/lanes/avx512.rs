//! Sixteen lanes with AVX-512F.

use std::arch::x86_64::{
    __m512i, _mm256_storeu_si256, _mm512_add_epi32, _mm512_castsi512_si256, _mm512_extracti64x4_epi64,
    _mm512_loadu_si512, _mm512_or_si512, _mm512_permutex2var_epi64, _mm512_ror_epi32, _mm512_set1_epi32,
    _mm512_setr_epi64, _mm512_shuffle_i32x4, _mm512_unpackhi_epi32, _mm512_unpackhi_epi64,
    _mm512_unpacklo_epi32, _mm512_unpacklo_epi64, _mm512_xor_si512,
};

use super::{
    Block, Hash, Kind,
    kernel::{self, Vector},
};

/// Proof that this processor has AVX-512F: only [`Detected::new`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::hash) struct Detected(());

impl Detected {
    pub(super) fn new() -> Option<Self> {
        is_x86_feature_detected!("avx512f").then_some(Self(()))
    }

    pub(super) fn hash(self, inputs: &[&[Block]; 16], kind: Kind<'_>, hashes: &mut [Hash; 16]) {
        // SAFETY: `self` exists, so AVX-512F was detected.
        unsafe { hash(inputs, kind, hashes) }
    }
}

#[target_feature(enable = "avx512f")]
fn hash(inputs: &[&[Block]; 16], kind: Kind<'_>, hashes: &mut [Hash; 16]) {
    // SAFETY: this function is compiled with AVX-512F and called only where the processor has it.
    unsafe { kernel::hash::<Wide>(inputs, kind, hashes) }
}

/// A word of sixteen lanes. It exists only where the processor has AVX-512F, see [`Vector`].
#[derive(Clone, Copy)]
struct Wide(__m512i);

impl Vector for Wide {
    #[inline(always)]
    unsafe fn splat(word: u32) -> Self {
        // SAFETY: the caller promises AVX-512F.
        Self(unsafe { _mm512_set1_epi32(word.cast_signed()) })
    }

    #[inline(always)]
    unsafe fn transposed(inputs: &[&[Block]], place: usize) -> [Self; 16] {
        // Part `g` has rows 4g to 4g + 3: its vector `w` has word 4q + w of these rows in quarter `q`.
        // SAFETY: the caller promises AVX-512F.
        let parts = unsafe {
            [
                quarters([
                    row(inputs[0], place),
                    row(inputs[1], place),
                    row(inputs[2], place),
                    row(inputs[3], place),
                ]),
                quarters([
                    row(inputs[4], place),
                    row(inputs[5], place),
                    row(inputs[6], place),
                    row(inputs[7], place),
                ]),
                quarters([
                    row(inputs[8], place),
                    row(inputs[9], place),
                    row(inputs[10], place),
                    row(inputs[11], place),
                ]),
                quarters([
                    row(inputs[12], place),
                    row(inputs[13], place),
                    row(inputs[14], place),
                    row(inputs[15], place),
                ]),
            ]
        };
        let mut words = [parts[0][0]; 16];
        for w in 0..4 {
            let [p, q, r, s] = [parts[0][w].0, parts[1][w].0, parts[2][w].0, parts[3][w].0];
            // SAFETY: these vectors exist, so the processor has AVX-512F.
            let turned = unsafe {
                let (low, low_next) =
                    (_mm512_shuffle_i32x4::<0x44>(p, q), _mm512_shuffle_i32x4::<0x44>(r, s));
                let (high, high_next) =
                    (_mm512_shuffle_i32x4::<0xee>(p, q), _mm512_shuffle_i32x4::<0xee>(r, s));
                [
                    _mm512_shuffle_i32x4::<0x88>(low, low_next),
                    _mm512_shuffle_i32x4::<0xdd>(low, low_next),
                    _mm512_shuffle_i32x4::<0x88>(high, high_next),
                    _mm512_shuffle_i32x4::<0xdd>(high, high_next),
                ]
            };
            for (quarter, vector) in turned.into_iter().enumerate() {
                words[4 * quarter + w] = Self(vector);
            }
        }
        words
    }

    #[inline(always)]
    fn untransposed(words: [Self; 8], hashes: &mut [Hash]) {
        let [w0, w1, w2, w3, w4, w5, w6, w7] = words;
        // Vector `k` has the words of lane 4q + k in quarter `q`: the first four of them, and the last four.
        let (firsts, lasts) = (quarters([w0, w1, w2, w3]), quarters([w4, w5, w6, w7]));
        for (k, (first, last)) in firsts.into_iter().zip(lasts).enumerate() {
            // SAFETY: these vectors exist, so the processor has AVX-512F.
            let (low, high) = unsafe {
                let early = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
                let late = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
                (
                    _mm512_permutex2var_epi64(first.0, early, last.0),
                    _mm512_permutex2var_epi64(first.0, late, last.0),
                )
            };
            for (lanes, from) in [(low, k), (high, k + 8)] {
                // SAFETY: the processor has AVX-512F as above; a hash is 32 bytes, all of which are written, at any
                // alignment.
                unsafe {
                    let (one, other) = (_mm512_castsi512_si256(lanes), _mm512_extracti64x4_epi64::<1>(lanes));
                    _mm256_storeu_si256(hashes[from].as_mut_ptr().cast(), one);
                    _mm256_storeu_si256(hashes[from + 4].as_mut_ptr().cast(), other);
                }
            }
        }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: a vector exists, so the processor has AVX-512F.
        Self(unsafe { _mm512_add_epi32(self.0, other.0) })
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        // SAFETY: a vector exists, so the processor has AVX-512F.
        Self(unsafe { _mm512_xor_si512(self.0, other.0) })
    }

    #[inline(always)]
    fn or(self, other: Self) -> Self {
        // SAFETY: a vector exists, so the processor has AVX-512F.
        Self(unsafe { _mm512_or_si512(self.0, other.0) })
    }

    #[inline(always)]
    fn rotated<const BITS: i32>(self) -> Self {
        // SAFETY: a vector exists, so the processor has AVX-512F.
        Self(unsafe { _mm512_ror_epi32::<BITS>(self.0) })
    }
}

/// One block as it stands in memory.
///
/// # Safety
/// The processor has AVX-512F.
#[inline(always)]
unsafe fn row(input: &[Block], place: usize) -> Wide {
    let block = &input[place];
    // SAFETY: the caller promises AVX-512F; a block is 64 bytes, all of which are read, at any alignment.
    Wide(unsafe { _mm512_loadu_si512(block.as_ptr().cast()) })
}

/// In every quarter of 128 bits, a 4 × 4 square of words turned on its diagonal.
#[inline(always)]
fn quarters([a, b, c, d]: [Wide; 4]) -> [Wide; 4] {
    // SAFETY: vectors exist, so the processor has AVX-512F.
    unsafe {
        let (ab_low, ab_high) = (_mm512_unpacklo_epi32(a.0, b.0), _mm512_unpackhi_epi32(a.0, b.0));
        let (cd_low, cd_high) = (_mm512_unpacklo_epi32(c.0, d.0), _mm512_unpackhi_epi32(c.0, d.0));
        [
            Wide(_mm512_unpacklo_epi64(ab_low, cd_low)),
            Wide(_mm512_unpackhi_epi64(ab_low, cd_low)),
            Wide(_mm512_unpacklo_epi64(ab_high, cd_high)),
            Wide(_mm512_unpackhi_epi64(ab_high, cd_high)),
        ]
    }
}
