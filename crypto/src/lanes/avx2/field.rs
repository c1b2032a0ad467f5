//! Integers modulo p = 2^255 − 19 in five doubles, limb n times 2^(51·n), each limb an integer with a sign.
//!
//! How large limbs are is counted in units of u = 2^50 + 2^12. What leaves a product, a square or a carry, and every row,
//! is at most one unit, which is called tight; a sum or difference has the units of both sides together. Of two factors
//! the units multiplied are at most 3, so that |a·b| ≤ 3·u² < 2^102 for any two limbs of theirs, which is what the halves
//! of a product have room for. Of a square, where a doubled limb is multiplied, one unit is the most. No limb reaches
//! 2^53, up to where doubles hold every integer.

use core::arch::x86_64::*;

use super::Avx2;
use crate::lanes::{LIMB_MASK, Limbs};

/// An element per lane.
pub(super) type Element = [__m256d; 5];

/// 1.5·2^103. Doubles between 2^103 and 2^104 are the multiples of 2^51, so this plus a·b, for |a·b| below 2^102, is
/// rounded to this plus 2^51 times the upper half of a·b; what is left of a·b is at most 2^51, and at most 2^50 if
/// rounding is to the nearest.
const UPPER: f64 = f64::from_bits((1023 + 103) << 52 | 1 << 51);
/// 1.5·2^52. Doubles between 2^52 and 2^53 are the integers, so the bits of this plus an integer of at most 2^51 are those
/// of this, plus that integer; and bits between those of UPPER's neighbours count upper halves in the same way.
const LOWER: f64 = f64::from_bits((1023 + 52) << 52 | 1 << 51);
/// 2^52, to the same end for integers without a sign.
const UNSIGNED: f64 = f64::from_bits((1023 + 52) << 52);
/// 2^−51.
const DOWN: f64 = f64::from_bits((1023 - 51) << 52);
/// Added to a column before it is carried: 2^62, which makes it positive, and half a limb, so that the carry is rounded to
/// the nearest.
const OFFSET: u64 = 1 << 62 | 1 << 50;
/// What OFFSET adds to the carry.
const CARRY_OFFSET: u64 = 1 << 11;

/// What a column starts with if `terms(k)` products have their lower half in column k and their upper half in the one
/// above: less what the bits of the halves have too much, and OFFSET in the columns that are carried.
const fn starts(terms: [u64; 9]) -> [u64; 10] {
    let mut starts = [0_u64; 10];
    let mut column = 0;
    while column < 10 {
        if column < 9 {
            starts[column] = starts[column].wrapping_sub(terms[column].wrapping_mul(LOWER.to_bits()));
        }
        if column > 0 {
            starts[column] = starts[column].wrapping_sub(terms[column - 1].wrapping_mul(UPPER.to_bits()));
        }
        if column < 5 {
            starts[column] = starts[column].wrapping_add(OFFSET);
        }
        column += 1;
    }
    starts
}

const STARTS_OF_PRODUCT: [u64; 10] = starts([1, 2, 3, 4, 5, 4, 3, 2, 1]);
const STARTS_OF_SQUARE: [u64; 10] = starts([1, 1, 2, 2, 3, 2, 2, 1, 1]);

impl Avx2 {
    #[inline(always)]
    fn double(self, value: f64) -> __m256d {
        // SAFETY: the token proves the instructions.
        unsafe { _mm256_set1_pd(value) }
    }

    /// The same element in every lane, its limbs made tight.
    #[inline(always)]
    pub(super) fn spread(self, limbs: &Limbs) -> Element {
        let mut rounded = [0; 5];
        let mut carried = 0;
        for place in [0, 1, 2, 3, 4] {
            let limb = limbs[place] as i64 + carried;
            carried = (limb + (1 << 50)) >> 51;
            rounded[place] = limb - (carried << 51);
        }
        rounded[0] += 19 * carried;
        let mut element = [self.double(0.0); 5];
        for place in 0..5 {
            element[place] = self.double(rounded[place] as f64);
        }
        element
    }

    /// From integers of less than 2^51 with a sign.
    #[inline(always)]
    pub(super) fn of_integers(self, limbs: [__m256i; 5]) -> Element {
        let mut element = [self.double(0.0); 5];
        for place in 0..5 {
            let bits = self.plus(limbs[place], self.constant(LOWER.to_bits()));
            // SAFETY: the token proves the instructions.
            element[place] = unsafe { _mm256_sub_pd(_mm256_castsi256_pd(bits), self.double(LOWER)) };
        }
        element
    }

    /// From integers below 2^52, tight.
    #[inline(always)]
    pub(super) fn of_unsigned(self, limbs: [__m256i; 5]) -> Element {
        let mut element = [self.double(0.0); 5];
        for place in 0..5 {
            let bits = self.plus(limbs[place], self.constant(UNSIGNED.to_bits()));
            // SAFETY: the token proves the instructions.
            element[place] = unsafe { _mm256_sub_pd(_mm256_castsi256_pd(bits), self.double(UNSIGNED)) };
        }
        self.carry(element)
    }

    /// The inverse of [`of_integers`](Self::of_integers).
    #[inline(always)]
    pub(super) fn to_integers(self, a: Element) -> [__m256i; 5] {
        let mut limbs = [self.zero(); 5];
        for place in 0..5 {
            // SAFETY: the token proves the instructions.
            let bits = unsafe { _mm256_castpd_si256(_mm256_add_pd(a[place], self.double(LOWER))) };
            limbs[place] = self.plus(bits, self.constant(LOWER.to_bits().wrapping_neg()));
        }
        limbs
    }

    /// Limb by limb.
    #[inline(always)]
    pub(super) fn sum(self, a: Element, b: Element) -> Element {
        let mut sum = a;
        for place in 0..5 {
            // SAFETY: the token proves the instructions.
            sum[place] = unsafe { _mm256_add_pd(a[place], b[place]) };
        }
        sum
    }

    /// Limb by limb.
    #[inline(always)]
    pub(super) fn difference(self, a: Element, b: Element) -> Element {
        let mut difference = a;
        for place in 0..5 {
            // SAFETY: the token proves the instructions.
            difference[place] = unsafe { _mm256_sub_pd(a[place], b[place]) };
        }
        difference
    }

    /// b in the lanes of the mask, else a.
    #[inline(always)]
    pub(super) fn chosen(self, mask: __m256i, a: Element, b: Element) -> Element {
        let mut chosen = a;
        for place in 0..5 {
            // SAFETY: the token proves the instructions.
            chosen[place] = unsafe { _mm256_blendv_pd(a[place], b[place], _mm256_castsi256_pd(mask)) };
        }
        chosen
    }

    /// The same, tight: every limb gives the multiple of 2^51 next to it to the limb above. Limbs below 2^53 give at most 4
    /// of them, the top one 19 times as many to the lowest.
    #[inline(always)]
    pub(super) fn carry(self, a: Element) -> Element {
        let (mut carries, mut carried) = (a, a);
        let upper = self.double(UPPER);
        // SAFETY: the token proves the instructions.
        unsafe {
            for place in 0..5 {
                carries[place] = _mm256_sub_pd(_mm256_add_pd(a[place], upper), upper);
            }
            for place in 0..5 {
                let left = _mm256_sub_pd(a[place], carries[place]);
                let (below, times) =
                    if place == 0 { (carries[4], 19.0 * DOWN) } else { (carries[place - 1], DOWN) };
                carried[place] = _mm256_fmadd_pd(below, self.double(times), left);
            }
        }
        carried
    }

    /// Adds the two halves of a·b to two columns, side by side.
    #[inline(always)]
    fn add_halves(self, columns: &mut [__m256i; 10], column: usize, a: __m256d, b: __m256d) {
        // SAFETY: the token proves the instructions.
        unsafe {
            let upper = _mm256_fmadd_pd(a, b, self.double(UPPER));
            // UPPER + LOWER is a multiple of 2^51 as all doubles of its size are, hence exact, and so is this difference.
            let rest = _mm256_sub_pd(self.double(UPPER + LOWER), upper);
            let lower = _mm256_fmadd_pd(a, b, rest);
            columns[column] = self.plus(columns[column], _mm256_castpd_si256(lower));
            columns[column + 1] = self.plus(columns[column + 1], _mm256_castpd_si256(upper));
        }
    }

    /// The element of columns. A column has at most five lower halves of 2^51 and five upper ones below 2^51, so one of the
    /// lower five and 19 times one of the others are below 200·2^51 < 2^59 together; the carry is below 2^8.
    #[inline(always)]
    fn carried(self, columns: [__m256i; 10]) -> Element {
        let mut sums = [self.zero(); 5];
        let mut carries = sums;
        // SAFETY: the token proves the instructions.
        unsafe {
            for place in 0..5 {
                let above = columns[place + 5];
                let three = self.plus(above, self.plus(above, above));
                let sixteen = _mm256_slli_epi64::<4>(above);
                sums[place] = self.plus(self.plus(columns[place], three), sixteen);
                carries[place] = _mm256_srli_epi64::<51>(sums[place]);
            }
            let mut element = [self.double(0.0); 5];
            for place in 0..5 {
                let (below, times) = if place == 0 {
                    (_mm256_mul_epu32(carries[4], self.constant(19)), 19)
                } else {
                    (carries[place - 1], 1)
                };
                let limb = self.plus(self.and(sums[place], self.constant(LIMB_MASK)), below);
                // Below 2^51 + 2^16, so it fits below the bits of 2^52.
                let bits = _mm256_or_si256(limb, self.constant(UNSIGNED.to_bits()));
                let offset = UNSIGNED + (1_u64 << 50) as f64 + (times * CARRY_OFFSET) as f64;
                element[place] = _mm256_sub_pd(_mm256_castsi256_pd(bits), self.double(offset));
            }
            element
        }
    }

    /// a · b.
    #[inline(always)]
    pub(super) fn product(self, a: Element, b: Element) -> Element {
        let mut columns = [self.zero(); 10];
        for (column, start) in columns.iter_mut().zip(STARTS_OF_PRODUCT) {
            *column = self.constant(start);
        }
        macro_rules! rows {
            ($($i:literal)*) => {$(
                self.add_halves(&mut columns, $i, a[$i], b[0]);
                self.add_halves(&mut columns, $i + 1, a[$i], b[1]);
                self.add_halves(&mut columns, $i + 2, a[$i], b[2]);
                self.add_halves(&mut columns, $i + 3, a[$i], b[3]);
                self.add_halves(&mut columns, $i + 4, a[$i], b[4]);
            )*};
        }
        rows!(0 1 2 3 4);
        self.carried(columns)
    }

    /// a².
    #[inline(always)]
    pub(super) fn squared(self, a: Element) -> Element {
        let mut columns = [self.zero(); 10];
        for (column, start) in columns.iter_mut().zip(STARTS_OF_SQUARE) {
            *column = self.constant(start);
        }
        let twice = self.sum(a, a);
        macro_rules! rows {
            ($($i:literal: $($j:literal)*;)*) => {$(
                self.add_halves(&mut columns, 2 * $i, a[$i], a[$i]);
                $(self.add_halves(&mut columns, $i + $j, twice[$i], a[$j]);)*
            )*};
        }
        rows!(0: 1 2 3 4; 1: 2 3 4; 2: 3 4; 3: 4; 4: ;);
        self.carried(columns)
    }
}
