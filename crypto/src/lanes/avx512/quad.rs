//! The four coordinates of one point in registers of half the width, which processors run more of at once.

use core::arch::x86_64::*;
use std::sync::OnceLock;

use super::{Avx512, LIMB_MASK, Lanes, Limbs};
use crate::quad::{Quad, Table};

/// Limbs are as in the whole registers.
type Element = [__m256i; 5];

/// 1024p in limbs above 2^60.9. A term is below 2^59.3, two of them below that.
const BIAS: Limbs = {
    let mut bias = [1024 * LIMB_MASK; 5];
    bias[0] -= 1024 * 18;
    bias
};

impl Avx512 {
    #[inline(always)]
    fn quad_constant(self, value: u64) -> __m256i {
        // SAFETY: the token proves the instructions.
        unsafe { _mm256_set1_epi64x(value as i64) }
    }

    #[inline(always)]
    fn quad_plus(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: the token proves the instructions.
        unsafe { _mm256_add_epi64(a, b) }
    }
}

impl Quad for Avx512 {
    type Four = Element;

    #[inline(always)]
    fn run<R>(self, body: impl FnOnce() -> R) -> R {
        Lanes::run(self, body)
    }

    #[inline(always)]
    fn element(self, limbs: &[Limbs; 4]) -> Element {
        let mut element = [self.quad_constant(0); 5];
        for place in 0..5 {
            let words = [limbs[0][place], limbs[1][place], limbs[2][place], limbs[3][place]];
            // SAFETY: the token proves the instructions; 32 bytes are readable behind the pointer, at any alignment.
            element[place] = unsafe { _mm256_loadu_si256(words.as_ptr().cast()) };
        }
        element
    }

    #[inline(always)]
    fn limbs(self, a: Element) -> [Limbs; 4] {
        let mut limbs = [[0; 5]; 4];
        for place in 0..5 {
            let mut words = [0; 4];
            // SAFETY: the token proves the instructions; 32 bytes are writable behind the pointer, at any alignment.
            unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), a[place]) };
            for lane in 0..4 {
                limbs[lane][place] = words[lane];
            }
        }
        limbs
    }

    #[inline(always)]
    fn mul(self, a: Element, b: Element) -> Element {
        Quad::tight(self, Quad::mul_term(self, a, b))
    }

    /// As in the whole registers, but lower and upper halves in sums apart: with one point, what takes time is how long
    /// additions wait for one another.
    #[inline(always)]
    fn mul_term(self, a: Element, b: Element) -> Element {
        let mut lower = [self.quad_constant(0); 10];
        let mut upper = lower;
        macro_rules! rows {
            ($($i:literal)*) => {$(
                rows!($i; 0 1 2 3 4);
            )*};
            ($i:literal; $($j:literal)*) => {$(
                // SAFETY: the token proves the instructions.
                unsafe {
                    lower[$i + $j] = _mm256_madd52lo_epu64(lower[$i + $j], a[$i], b[$j]);
                    upper[$i + $j + 1] = _mm256_madd52hi_epu64(upper[$i + $j + 1], a[$i], b[$j]);
                }
            )*};
        }
        rows!(0 1 2 3 4);
        let mut sums = [self.quad_constant(0); 5];
        for place in 0..5 {
            let below = self.quad_plus(lower[place], self.quad_plus(upper[place], upper[place]));
            let twice = self.quad_plus(upper[place + 5], upper[place + 5]);
            let above = self.quad_plus(lower[place + 5], twice);
            // SAFETY: the token proves the instructions.
            let sixteen = unsafe { _mm256_slli_epi64::<4>(above) };
            let three = self.quad_plus(above, self.quad_plus(above, above));
            sums[place] = self.quad_plus(self.quad_plus(below, three), sixteen);
        }
        sums
    }

    #[inline(always)]
    fn add(self, a: Element, b: Element) -> Element {
        let mut sum = a;
        for place in 0..5 {
            sum[place] = self.quad_plus(a[place], b[place]);
        }
        sum
    }

    #[inline(always)]
    fn negate<const MASK: u8>(self, a: Element) -> Element {
        let mut negated = a;
        for place in 0..5 {
            // SAFETY: the token proves the instructions.
            negated[place] =
                unsafe { _mm256_mask_sub_epi64(a[place], MASK, self.quad_constant(BIAS[place]), a[place]) };
        }
        negated
    }

    #[inline(always)]
    fn keep<const MASK: u8>(self, a: Element) -> Element {
        let mut kept = a;
        for place in 0..5 {
            // SAFETY: the token proves the instructions.
            kept[place] = unsafe { _mm256_maskz_mov_epi64(MASK, a[place]) };
        }
        kept
    }

    #[inline(always)]
    fn permute<const ORDER: i32>(self, a: Element) -> Element {
        let mut permuted = a;
        for place in 0..5 {
            // SAFETY: the token proves the instructions.
            permuted[place] = unsafe { _mm256_permute4x64_epi64::<ORDER>(a[place]) };
        }
        permuted
    }

    /// One parallel carry pass, as in the whole registers.
    #[inline(always)]
    fn tight(self, a: Element) -> Element {
        let (mask, nineteen) = (self.quad_constant(LIMB_MASK), self.quad_constant(19));
        let mut carried = a;
        for place in 0..5 {
            // SAFETY: the token proves the instructions.
            unsafe {
                let low = _mm256_and_si256(a[place], mask);
                let below = _mm256_srli_epi64::<51>(a[(place + 4) % 5]);
                carried[place] = if place == 0 {
                    _mm256_madd52lo_epu64(low, below, nineteen)
                } else {
                    _mm256_add_epi64(low, below)
                };
            }
        }
        carried
    }

    fn base(self) -> &'static OnceLock<[Table<Self>; 2]> {
        static BASE: OnceLock<[Table<Avx512>; 2]> = OnceLock::new();
        &BASE
    }
}
