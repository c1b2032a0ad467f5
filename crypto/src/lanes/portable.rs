//! The reference: one lane, plain 64-bit arithmetic, runs anywhere.

use super::{AffineRow, ExtendedRow, LANES_MAX, LIMB_MASK, Lanes, Limbs, TWICE_P};

/// The token of the portable implementation, free for everybody.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Portable;

/// Carries every limb into the next one, the top one times 19 into the lowest. Limbs below 2^63 come out at most
/// 2^51 + 19·2^12.
fn carry(mut limbs: Limbs) -> Limbs {
    let carries = limbs.map(|limb| limb >> 51);
    for (place, limb) in limbs.iter_mut().enumerate() {
        let carried = if place == 0 { 19 * carries[4] } else { carries[place - 1] };
        *limb = (*limb & LIMB_MASK) + carried;
    }
    limbs
}

/// The one representative in 0..p with limbs below 2^51.
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
    type Element = Limbs;
    type Word = u64;

    #[inline(always)]
    fn run<R>(self, body: impl FnOnce() -> R) -> R {
        body()
    }

    fn splat(self, limbs: &Limbs) -> Limbs {
        *limbs
    }

    fn element(self, limbs: &[[u64; LANES_MAX]; 5]) -> Limbs {
        limbs.map(|lanes| lanes[0])
    }

    #[cfg(test)]
    fn limbs(self, a: Limbs) -> [[u64; LANES_MAX]; 5] {
        a.map(|limb| [limb, 0, 0, 0, 0, 0, 0, 0])
    }

    fn mul(self, a: Limbs, b: Limbs) -> Limbs {
        let product = |i: usize, j: usize| u128::from(a[i]) * u128::from(b[j]);
        let folded = |i: usize, j: usize| u128::from(a[i]) * u128::from(19 * b[j]);
        // Limb k of the result gathers a[i]·b[j] with i + j = k, and 19 times those with i + j = k + 5. Each sum stays
        // below 5·19·2^104 < 2^111.
        let mut columns = [
            product(0, 0) + folded(1, 4) + folded(2, 3) + folded(3, 2) + folded(4, 1),
            product(0, 1) + product(1, 0) + folded(2, 4) + folded(3, 3) + folded(4, 2),
            product(0, 2) + product(1, 1) + product(2, 0) + folded(3, 4) + folded(4, 3),
            product(0, 3) + product(1, 2) + product(2, 1) + product(3, 0) + folded(4, 4),
            product(0, 4) + product(1, 3) + product(2, 2) + product(3, 1) + product(4, 0),
        ];
        let mut limbs = [0; 5];
        for place in 0..5 {
            limbs[place] = columns[place] as u64 & LIMB_MASK;
            let carried = columns[place] >> 51;
            if place < 4 {
                columns[place + 1] += carried;
            } else {
                // The top column has no folded terms: below 5·2^104 + 2^60, so 19 times its carry is below 2^61.
                limbs[0] += 19 * carried as u64;
            }
        }
        carry(limbs)
    }

    fn square(self, a: Limbs) -> Limbs {
        self.mul(a, a)
    }

    fn add(self, a: Limbs, b: Limbs) -> Limbs {
        let mut sum = a;
        for place in 0..5 {
            sum[place] += b[place];
        }
        carry(sum)
    }

    fn sub(self, a: Limbs, b: Limbs) -> Limbs {
        let mut difference = a;
        for place in 0..5 {
            difference[place] += TWICE_P[place] - b[place];
        }
        carry(difference)
    }

    fn twice_plus(self, a: Limbs, b: Limbs) -> Limbs {
        self.add(self.add(a, a), b)
    }

    fn select(self, mask: u8, a: Limbs, b: Limbs) -> Limbs {
        if mask & 1 == 0 { a } else { b }
    }

    fn is_zero(self, a: Limbs) -> u8 {
        u8::from(reduced(a) == [0; 5])
    }

    fn is_odd(self, a: Limbs) -> u8 {
        (reduced(a)[0] & 1) as u8
    }

    fn gather_affine(self, rows: &[AffineRow], at: &[u32; LANES_MAX]) -> [Limbs; 3] {
        let row = &rows[at[0] as usize].0;
        [0, 1, 2].map(|place| limbs_at(row, place))
    }

    fn gather_extended(self, rows: &[ExtendedRow], at: &[u32; LANES_MAX]) -> [Limbs; 4] {
        let row = &rows[at[0] as usize].0;
        [0, 1, 2, 3].map(|place| limbs_at(row, place))
    }

    fn affine_rows(self, values: &[Limbs; 3]) -> [AffineRow; LANES_MAX] {
        let mut row = AffineRow::IDENTITY;
        row.0[..15].copy_from_slice(values.as_flattened());
        let mut rows = [AffineRow::IDENTITY; LANES_MAX];
        rows[0] = row;
        rows
    }

    fn extended_rows(self, values: &[Limbs; 4]) -> [ExtendedRow; LANES_MAX] {
        let mut row = ExtendedRow::IDENTITY;
        row.0[..20].copy_from_slice(values.as_flattened());
        let mut rows = [ExtendedRow::IDENTITY; LANES_MAX];
        rows[0] = row;
        rows
    }

    fn word(self, value: u64) -> u64 {
        value
    }

    fn words_from_be(self, bytes: &[&[u8; 64]; LANES_MAX]) -> [u64; 8] {
        let (words, _) = bytes[0].as_chunks::<8>();
        let mut out = [0; 8];
        for (to, from) in out.iter_mut().zip(words) {
            *to = u64::from_be_bytes(*from);
        }
        out
    }

    fn words_swapped(self, words: &[u64; 8]) -> [[u64; 8]; LANES_MAX] {
        let mut lanes = [[0; 8]; LANES_MAX];
        lanes[0] = words.map(u64::swap_bytes);
        lanes
    }

    fn word_add(self, a: u64, b: u64) -> u64 {
        a.wrapping_add(b)
    }

    fn word_xor(self, a: u64, b: u64, c: u64) -> u64 {
        a ^ b ^ c
    }

    fn word_rotate<const BITS: i32>(self, a: u64) -> u64 {
        a.rotate_right(BITS as u32)
    }

    fn word_shift<const BITS: u32>(self, a: u64) -> u64 {
        a >> BITS
    }

    fn word_choose(self, a: u64, b: u64, c: u64) -> u64 {
        (a & b) | (!a & c)
    }

    fn word_majority(self, a: u64, b: u64, c: u64) -> u64 {
        (a & b) | (a & c) | (b & c)
    }

    fn word_select(self, mask: u8, a: u64, b: u64) -> u64 {
        if mask & 1 == 0 { a } else { b }
    }
}
