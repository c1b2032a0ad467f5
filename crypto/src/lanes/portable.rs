//! The reference: one lane, plain 64-bit arithmetic, runs anywhere.

use super::{AffineRow, ExtendedRow, FOUR_P, LANES_MAX, LIMB_MASK, Lanes, Limbs};

/// The token of the portable implementation, free for everybody.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Portable;

/// Carries every limb into the next one, the top one times 19 into the lowest. Limbs below 2^63 come out at most
/// 2^51 + 19·2^12.
#[inline]
pub(super) fn carry(mut limbs: Limbs) -> Limbs {
    let carries = limbs.map(|limb| limb >> 51);
    for (place, limb) in limbs.iter_mut().enumerate() {
        let carried = if place == 0 { 19 * carries[4] } else { carries[place - 1] };
        *limb = (*limb & LIMB_MASK) + carried;
    }
    limbs
}

/// The sum of products. In columns of a product it stays below 5·19·2^104 < 2^111 and cannot wrap; to say so saves the
/// checks, which would cost more than the sums.
#[inline(always)]
fn sum<const N: usize>(factors: [(u64, u64); N]) -> u128 {
    factors.iter().fold(0, |sum: u128, &(a, b)| sum.wrapping_add(u128::from(a) * u128::from(b)))
}

/// The limbs of columns below 2^111, the top one below 2^107.
#[inline(always)]
fn carried(columns: [u128; 5]) -> Limbs {
    let mut limbs = [0; 5];
    let mut carry = 0;
    for (limb, column) in limbs.iter_mut().zip(columns) {
        let column = column.wrapping_add(carry);
        *limb = column as u64 & LIMB_MASK;
        carry = column >> 51;
    }
    // The top column has no folded terms, so its carry is below 2^56 and 19 times it below 2^61.
    let lowest = limbs[0] + 19 * carry as u64;
    limbs[0] = lowest & LIMB_MASK;
    limbs[1] += lowest >> 51;
    limbs
}

/// The one representative in 0..p with limbs below 2^51.
#[inline]
pub(crate) fn reduced(a: Limbs) -> Limbs {
    // One pass leaves limbs of at most 2^51 + 19, so a < 2p.
    let mut a = carry(a);
    // Adding 19 overflows 2^255 exactly if a ≥ p.
    let mut quotient = 19;
    for limb in a {
        quotient = (limb + quotient) >> 51;
    }
    let mut carried = 19 * quotient;
    for limb in &mut a {
        let sum = *limb + carried;
        *limb = sum & LIMB_MASK;
        carried = sum >> 51;
    }
    a
}

fn limbs_at<const N: usize>(row: &[u64], place: usize) -> [u64; N] {
    row[place * N..][..N].try_into().expect("N words")
}

impl Lanes for Portable {
    const COUNT: usize = 1;
    const SIDE_BY_SIDE_MIN: usize = 1;
    const APART_MAX: usize = 1;
    const STRAUS_MAX: usize = 44;
    type Element = Limbs;
    type Word = u64;

    #[inline(always)]
    fn run<R>(self, body: impl FnOnce() -> R) -> R {
        body()
    }

    #[inline]
    fn splat(self, limbs: &Limbs) -> Limbs {
        *limbs
    }

    #[inline]
    fn element(self, limbs: &[[u64; LANES_MAX]; 5]) -> Limbs {
        limbs.map(|lanes| lanes[0])
    }

    #[inline(always)]
    fn limbs(self, a: Limbs) -> [[u64; LANES_MAX]; 5] {
        a.map(|limb| [limb, 0, 0, 0, 0, 0, 0, 0])
    }

    #[inline]
    fn mul(self, a: Limbs, b: Limbs) -> Limbs {
        let folded = [0, 19 * b[1], 19 * b[2], 19 * b[3], 19 * b[4]];
        // Limb k of the result gathers a[i]·b[j] with i + j = k, and 19 times those with i + j = k + 5.
        carried([
            sum([(a[0], b[0]), (a[1], folded[4]), (a[2], folded[3]), (a[3], folded[2]), (a[4], folded[1])]),
            sum([(a[0], b[1]), (a[1], b[0]), (a[2], folded[4]), (a[3], folded[3]), (a[4], folded[2])]),
            sum([(a[0], b[2]), (a[1], b[1]), (a[2], b[0]), (a[3], folded[4]), (a[4], folded[3])]),
            sum([(a[0], b[3]), (a[1], b[2]), (a[2], b[1]), (a[3], b[0]), (a[4], folded[4])]),
            sum([(a[0], b[4]), (a[1], b[3]), (a[2], b[2]), (a[3], b[1]), (a[4], b[0])]),
        ])
    }

    #[inline]
    fn square(self, a: Limbs) -> Limbs {
        // As in a product, the two products of different limbs taken together.
        let twice = [2 * a[0], 2 * a[1], 2 * a[2], 2 * a[3]];
        let (folded_3, folded_4) = (19 * a[3], 19 * a[4]);
        carried([
            sum([(a[0], a[0]), (twice[1], folded_4), (twice[2], folded_3)]),
            sum([(twice[0], a[1]), (twice[2], folded_4), (a[3], folded_3)]),
            sum([(twice[0], a[2]), (a[1], a[1]), (twice[3], folded_4)]),
            sum([(twice[0], a[3]), (twice[1], a[2]), (a[4], folded_4)]),
            sum([(twice[0], a[4]), (twice[1], a[3]), (a[2], a[2])]),
        ])
    }

    #[inline]
    fn add(self, a: Limbs, b: Limbs) -> Limbs {
        let mut sum = a;
        for place in 0..5 {
            sum[place] = sum[place].wrapping_add(b[place]);
        }
        sum
    }

    #[inline]
    fn sub(self, a: Limbs, b: Limbs) -> Limbs {
        let mut difference = a;
        for place in 0..5 {
            difference[place] = difference[place].wrapping_add(FOUR_P[place].wrapping_sub(b[place]));
        }
        difference
    }

    #[inline]
    fn tight(self, a: Limbs) -> Limbs {
        carry(a)
    }

    #[inline]
    fn factor(self, a: Limbs) -> Limbs {
        a
    }

    #[inline]
    fn select(self, mask: u8, a: Limbs, b: Limbs) -> Limbs {
        if mask & 1 == 0 { a } else { b }
    }

    #[inline]
    fn is_zero(self, a: Limbs) -> u8 {
        u8::from(reduced(a) == [0; 5])
    }

    #[inline]
    fn is_odd(self, a: Limbs) -> u8 {
        (reduced(a)[0] & 1) as u8
    }

    #[inline]
    fn gather_affine(self, rows: &[AffineRow], at: &[u32; LANES_MAX]) -> [Limbs; 3] {
        let row = &rows[at[0] as usize].0;
        [0, 1, 2].map(|place| limbs_at(row, place))
    }

    #[inline]
    fn gather_extended(self, rows: &[ExtendedRow], at: &[u32; LANES_MAX]) -> [Limbs; 4] {
        let row = &rows[at[0] as usize].0;
        [0, 1, 2, 3].map(|place| limbs_at(row, place))
    }

    #[inline]
    fn affine_rows(self, values: &[Limbs; 3]) -> [AffineRow; LANES_MAX] {
        let mut row = AffineRow::IDENTITY;
        row.0[..15].copy_from_slice(values.as_flattened());
        let mut rows = [AffineRow::IDENTITY; LANES_MAX];
        rows[0] = row;
        rows
    }

    #[inline]
    fn extended_rows(self, values: &[Limbs; 4]) -> [ExtendedRow; LANES_MAX] {
        let mut row = ExtendedRow::IDENTITY;
        row.0[..20].copy_from_slice(values.as_flattened());
        let mut rows = [ExtendedRow::IDENTITY; LANES_MAX];
        rows[0] = row;
        rows
    }

    #[inline]
    fn word(self, value: u64) -> u64 {
        value
    }

    #[inline]
    fn words_from_be(self, bytes: &[&[u8; 64]; LANES_MAX]) -> [u64; 8] {
        let (words, _) = bytes[0].as_chunks::<8>();
        let mut out = [0; 8];
        for (to, from) in out.iter_mut().zip(words) {
            *to = u64::from_be_bytes(*from);
        }
        out
    }

    #[inline]
    fn words_swapped(self, words: &[u64; 8]) -> [[u64; 8]; LANES_MAX] {
        let mut lanes = [[0; 8]; LANES_MAX];
        lanes[0] = words.map(u64::swap_bytes);
        lanes
    }

    #[inline]
    fn word_add(self, a: u64, b: u64) -> u64 {
        a.wrapping_add(b)
    }

    #[inline]
    fn word_xor(self, a: u64, b: u64, c: u64) -> u64 {
        a ^ b ^ c
    }

    #[inline]
    fn word_rotate<const BITS: i32>(self, a: u64) -> u64 {
        a.rotate_right(BITS as u32)
    }

    #[inline]
    fn word_shift<const BITS: u32>(self, a: u64) -> u64 {
        a >> BITS
    }

    #[inline]
    fn word_choose(self, a: u64, b: u64, c: u64) -> u64 {
        (a & b) | (!a & c)
    }

    #[inline]
    fn word_majority(self, a: u64, b: u64, c: u64) -> u64 {
        (a & b) | (a & c) | (b & c)
    }

    #[inline]
    fn word_select(self, mask: u8, a: u64, b: u64) -> u64 {
        if mask & 1 == 0 { a } else { b }
    }
}
