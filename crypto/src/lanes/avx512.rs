//! Eight lanes with the 52-bit multiply-add of AVX-512 IFMA: one register per limb, lane i of every register belongs to
//! element i.
//!
//! IFMA multiplies the low 52 bits of two lanes and adds the low or the high half (bits 52 to 103) of the product to an
//! accumulator. Limbs weigh 2^51, so the high half of a product in column k weighs 2^(51k + 52) = 2 · 2^(51(k + 1)): it
//! counts double in the next column.
//!
//! Bounds of a product: factors have limbs below 2^51 + 2^40, so a high half is below 2^50 + 2^41 and counted twice below
//! 2^52. Columns 5 to 9 weigh 2^255 times columns 0 to 4, which is 19 modulo p. Column 9 is a single high half; 5 to 8 have
//! at most four low halves, four high ones counted twice and a small number, so they are below 2^55. Of 19 times such a
//! column IFMA adds the low 52 bits five columns below; what passes bit 52 is the high half of 19 times its low 52 bits, and
//! 19 times its upper ones, together below 2^8, and goes doubled into the column above that, as high halves do. Columns 0
//! to 4 then have at most six low halves, four high ones counted twice and a small number, and are below 2^56: that is a
//! term. One carry pass leaves limbs below 2^51 + 2^5, and below 2^51 + 19·2^5 in the lowest.
//!
//! A processor that issues two 512-bit instructions per cycle, of whatever kind, is bound by their number: 77 for a product.

mod hurried;
mod quad;

use core::arch::x86_64::*;

use hurried::Hurried;

use super::{AffineRow, ExtendedRow, LANES_MAX, LIMB_MASK, Lanes, Limbs};

/// Proof that this processor has AVX-512 F, DQ, BW, VL and IFMA.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx512(());

/// 512p in limbs above 2^59, hence above those of any term: added first, it keeps a difference positive.
const BIAS: Limbs = {
    let mut bias = [0; 5];
    let mut place = 0;
    while place < 5 {
        bias[place] = 512 * (LIMB_MASK - if place == 0 { 18 } else { 0 });
        place += 1;
    }
    bias
};

impl Avx512 {
    /// The token, if this processor has the instructions.
    pub(crate) fn detect() -> Option<Self> {
        let has = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512ifma");
        has.then_some(Self(()))
    }
}

type Element = [__m512i; 5];

impl Avx512 {
    #[inline(always)]
    fn zero(self) -> __m512i {
        // SAFETY: the token proves the instructions.
        unsafe { _mm512_setzero_si512() }
    }

    #[inline(always)]
    fn plus(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: the token proves the instructions.
        unsafe { _mm512_add_epi64(a, b) }
    }

    #[inline(always)]
    fn low(self, sum: __m512i, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: the token proves the instructions.
        unsafe { _mm512_madd52lo_epu64(sum, a, b) }
    }

    #[inline(always)]
    fn high(self, sum: __m512i, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: the token proves the instructions.
        unsafe { _mm512_madd52hi_epu64(sum, a, b) }
    }

    #[inline(always)]
    fn constant(self, value: u64) -> __m512i {
        // SAFETY: the token proves the instructions.
        unsafe { _mm512_set1_epi64(value as i64) }
    }

    /// One parallel carry pass: limbs below 2^63 become (limb mod 2^51) plus the carry of their neighbour, the top one's
    /// times 19. With carries below 2^c in the lower four and 2^t in the top limb the result is below 2^51 + 2^c and, in
    /// the lowest limb, 2^51 + 19·2^t; t < 52 holds everywhere, so that IFMA sees the whole carry.
    #[inline(always)]
    fn carry(self, a: Element) -> Element {
        // SAFETY: the token proves the instructions.
        unsafe {
            let mask = _mm512_set1_epi64(LIMB_MASK as i64);
            let nineteen = _mm512_set1_epi64(19);
            let c0 = _mm512_srli_epi64::<51>(a[0]);
            let c1 = _mm512_srli_epi64::<51>(a[1]);
            let c2 = _mm512_srli_epi64::<51>(a[2]);
            let c3 = _mm512_srli_epi64::<51>(a[3]);
            let c4 = _mm512_srli_epi64::<51>(a[4]);
            [
                _mm512_madd52lo_epu64(_mm512_and_si512(a[0], mask), c4, nineteen),
                _mm512_add_epi64(_mm512_and_si512(a[1], mask), c0),
                _mm512_add_epi64(_mm512_and_si512(a[2], mask), c1),
                _mm512_add_epi64(_mm512_and_si512(a[3], mask), c2),
                _mm512_add_epi64(_mm512_and_si512(a[4], mask), c3),
            ]
        }
    }

    /// The high halves of columns 5 to 9 doubled, after column 5 has what passes bit 52 of 19 times column 9.
    #[inline(always)]
    fn upper_doubled(self, mut columns: [__m512i; 10]) -> [__m512i; 10] {
        columns[9] = self.plus(columns[9], columns[9]);
        columns[5] = self.high(columns[5], columns[9], self.constant(19));
        for column in &mut columns[5..9] {
            *column = self.plus(*column, *column);
        }
        columns
    }

    /// The high halves of columns 1 to 4 doubled, after they have what passes bit 52 of 19 times the columns 5 to 8, which
    /// are whole.
    #[inline(always)]
    fn lower_doubled(self, mut columns: [__m512i; 10]) -> [__m512i; 10] {
        let nineteen = self.constant(19);
        for place in 0..4 {
            let above = columns[place + 5];
            // SAFETY: the token proves the instructions.
            let top = unsafe { _mm512_srli_epi64::<52>(above) };
            let column = self.high(columns[place + 1], above, nineteen);
            let column = self.low(column, top, nineteen);
            columns[place + 1] = self.plus(column, column);
        }
        columns
    }

    /// Columns 0 to 4 with the low 52 bits of 19 times columns 5 to 9.
    #[inline(always)]
    fn folded(self, columns: [__m512i; 10]) -> Element {
        let mut sums = [self.zero(); 5];
        for place in 0..5 {
            sums[place] = self.low(columns[place], columns[place + 5], self.constant(19));
        }
        sums
    }

    /// The one representative in 0..p with limbs below 2^51.
    #[inline(always)]
    fn reduced(self, a: Element) -> Element {
        let mut a = self.carry(a);
        // SAFETY: the token proves the instructions.
        unsafe {
            let mask = self.constant(LIMB_MASK);
            let nineteen = self.constant(19);
            // One pass leaves limbs of at most 2^51 + 19, so a < 2p; adding 19 overflows 2^255 exactly if a ≥ p.
            let mut quotient = nineteen;
            for limb in a {
                quotient = _mm512_srli_epi64::<51>(_mm512_add_epi64(limb, quotient));
            }
            let mut carried = _mm512_mullo_epi64(quotient, nineteen);
            for limb in &mut a {
                let sum = _mm512_add_epi64(*limb, carried);
                *limb = _mm512_and_si512(sum, mask);
                carried = _mm512_srli_epi64::<51>(sum);
            }
        }
        a
    }

    /// Rows to columns: word j of row i becomes lane i of column j. Its own inverse.
    #[inline(always)]
    fn transposed(self, rows: [__m512i; 8]) -> [__m512i; 8] {
        // SAFETY: the token proves the instructions.
        unsafe {
            // Pairs of rows interleaved: the even and the odd columns of two rows side by side.
            let t0 = _mm512_unpacklo_epi64(rows[0], rows[1]);
            let t1 = _mm512_unpackhi_epi64(rows[0], rows[1]);
            let t2 = _mm512_unpacklo_epi64(rows[2], rows[3]);
            let t3 = _mm512_unpackhi_epi64(rows[2], rows[3]);
            let t4 = _mm512_unpacklo_epi64(rows[4], rows[5]);
            let t5 = _mm512_unpackhi_epi64(rows[4], rows[5]);
            let t6 = _mm512_unpacklo_epi64(rows[6], rows[7]);
            let t7 = _mm512_unpackhi_epi64(rows[6], rows[7]);
            // Then the 4 × 4 transposition of 128-bit pieces, in two steps.
            let even_low = _mm512_shuffle_i64x2::<0x88>(t0, t2);
            let even_low_next = _mm512_shuffle_i64x2::<0xdd>(t0, t2);
            let even_high = _mm512_shuffle_i64x2::<0x88>(t4, t6);
            let even_high_next = _mm512_shuffle_i64x2::<0xdd>(t4, t6);
            let odd_low = _mm512_shuffle_i64x2::<0x88>(t1, t3);
            let odd_low_next = _mm512_shuffle_i64x2::<0xdd>(t1, t3);
            let odd_high = _mm512_shuffle_i64x2::<0x88>(t5, t7);
            let odd_high_next = _mm512_shuffle_i64x2::<0xdd>(t5, t7);
            [
                _mm512_shuffle_i64x2::<0x88>(even_low, even_high),
                _mm512_shuffle_i64x2::<0x88>(odd_low, odd_high),
                _mm512_shuffle_i64x2::<0x88>(even_low_next, even_high_next),
                _mm512_shuffle_i64x2::<0x88>(odd_low_next, odd_high_next),
                _mm512_shuffle_i64x2::<0xdd>(even_low, even_high),
                _mm512_shuffle_i64x2::<0xdd>(odd_low, odd_high),
                _mm512_shuffle_i64x2::<0xdd>(even_low_next, even_high_next),
                _mm512_shuffle_i64x2::<0xdd>(odd_low_next, odd_high_next),
            ]
        }
    }

    #[inline(always)]
    fn load(self, words: &[u64; 8]) -> __m512i {
        // SAFETY: the token proves the instructions; 64 bytes are readable behind the reference, at any alignment.
        unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
    }

    #[inline(always)]
    fn store(self, words: __m512i) -> [u64; 8] {
        let mut out = [0; 8];
        // SAFETY: the token proves the instructions; 64 bytes are writable behind the pointer, at any alignment.
        unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), words) };
        out
    }

    /// The bytes of every word in the opposite order.
    #[inline(always)]
    fn swapped(self, words: __m512i) -> __m512i {
        // SAFETY: the token proves the instructions.
        unsafe {
            let order = _mm512_broadcast_i32x4(_mm_set_epi64x(0x08090a0b0c0d0e0f, 0x0001020304050607));
            _mm512_shuffle_epi8(words, order)
        }
    }
}

/// The eight words of a row from word 8·`part` on.
#[inline(always)]
fn part(row: &[u64], part: usize) -> &[u64; 8] {
    row[8 * part..][..8].try_into().expect("rows are whole eights")
}

impl Lanes for Avx512 {
    const COUNT: usize = 8;
    const SIDE_BY_SIDE_MIN: usize = 4;
    const APART_MAX: usize = 8;
    const STRAUS_MAX: usize = 150;
    const HURRIES: bool = true;
    type Element = Element;
    type Word = __m512i;

    #[inline(always)]
    fn run<R>(self, body: impl FnOnce() -> R) -> R {
        #[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx512ifma")]
        fn enabled<R>(body: impl FnOnce() -> R) -> R {
            body()
        }
        // SAFETY: the token proves the instructions.
        unsafe { enabled(body) }
    }

    #[inline(always)]
    fn splat(self, limbs: &Limbs) -> Element {
        let mut element = [self.zero(); 5];
        for place in 0..5 {
            element[place] = self.constant(limbs[place]);
        }
        element
    }

    #[inline(always)]
    fn element(self, limbs: &[[u64; LANES_MAX]; 5]) -> Element {
        let mut element = [self.zero(); 5];
        for place in 0..5 {
            element[place] = self.load(&limbs[place]);
        }
        element
    }

    #[inline(always)]
    fn limbs(self, a: Element) -> [[u64; LANES_MAX]; 5] {
        a.map(
            #[inline(always)]
            |limb| self.store(limb),
        )
    }

    #[inline(always)]
    fn mul(self, a: Element, b: Element) -> Element {
        self.carry(self.mul_term(a, b))
    }

    #[inline(always)]
    fn square(self, a: Element) -> Element {
        self.carry(self.square_term(a))
    }

    #[inline(always)]
    fn mul_term(self, a: Element, b: Element) -> Element {
        let mut columns = [self.zero(); 10];
        macro_rules! products {
            ($half:ident, $up:literal: $($i:literal $j:literal),*) => {$(
                columns[$i + $j + $up] = self.$half(columns[$i + $j + $up], a[$i], b[$j]);
            )*};
        }
        // The high halves come first, so that one doubling in place serves for all of a column.
        products!(high, 1: 0 0, 0 1, 0 2, 0 3, 1 0, 1 1, 1 2, 2 0, 2 1, 3 0);
        products!(high, 1: 0 4, 1 3, 1 4, 2 2, 2 3, 2 4, 3 1, 3 2, 3 3, 3 4, 4 0, 4 1, 4 2, 4 3, 4 4);
        columns = self.upper_doubled(columns);
        products!(low, 0: 1 4, 2 3, 2 4, 3 2, 3 3, 3 4, 4 1, 4 2, 4 3, 4 4);
        columns = self.lower_doubled(columns);
        products!(low, 0: 0 0, 0 1, 0 2, 0 3, 0 4, 1 0, 1 1, 1 2, 1 3, 2 0, 2 1, 2 2, 3 0, 3 1, 4 0);
        self.folded(columns)
    }

    #[inline(always)]
    fn square_term(self, a: Element) -> Element {
        let mut columns = [self.zero(); 10];
        macro_rules! products {
            ($half:ident, $up:literal: $($i:literal $j:literal),*) => {$(
                columns[$i + $j + $up] = self.$half(columns[$i + $j + $up], a[$i], a[$j]);
            )*};
        }
        // Products of different limbs count twice, their high halves therefore four times.
        products!(high, 1: 0 1, 0 2, 0 3, 0 4, 1 2, 1 3, 1 4, 2 3, 2 4, 3 4);
        for column in &mut columns[2..9] {
            *column = self.plus(*column, *column);
        }
        products!(low, 0: 0 1, 0 2, 0 3, 0 4, 1 2, 1 3, 1 4, 2 3, 2 4, 3 4);
        products!(high, 1: 0 0, 1 1, 2 2, 3 3, 4 4);
        columns = self.upper_doubled(columns);
        products!(low, 0: 3 3, 4 4);
        columns = self.lower_doubled(columns);
        products!(low, 0: 0 0, 1 1, 2 2);
        self.folded(columns)
    }

    #[inline(always)]
    fn root_power<const GROUPS: usize>(self, a: [Element; GROUPS]) -> [Element; GROUPS] {
        if GROUPS == 1 { Hurried::<true>(self).root_power(a) } else { Hurried::<false>(self).root_power(a) }
    }

    #[inline(always)]
    fn add(self, a: Element, b: Element) -> Element {
        let mut sum = a;
        for place in 0..5 {
            sum[place] = self.plus(a[place], b[place]);
        }
        sum
    }

    #[inline(always)]
    fn sub(self, a: Element, b: Element) -> Element {
        let mut difference = a;
        for place in 0..5 {
            // SAFETY: the token proves the instructions.
            difference[place] =
                unsafe { _mm512_add_epi64(a[place], _mm512_sub_epi64(self.constant(BIAS[place]), b[place])) };
        }
        difference
    }

    #[inline(always)]
    fn tight(self, a: Element) -> Element {
        self.carry(a)
    }

    #[inline(always)]
    fn factor(self, a: Element) -> Element {
        self.carry(a)
    }

    #[inline(always)]
    fn select(self, mask: u8, a: Element, b: Element) -> Element {
        let mut chosen = a;
        for place in 0..5 {
            // SAFETY: the token proves the instructions.
            chosen[place] = unsafe { _mm512_mask_blend_epi64(mask, a[place], b[place]) };
        }
        chosen
    }

    #[inline(always)]
    fn is_zero(self, a: Element) -> u8 {
        let a = self.reduced(a);
        // SAFETY: the token proves the instructions.
        unsafe {
            let low = _mm512_or_si512(_mm512_or_si512(a[0], a[1]), _mm512_or_si512(a[2], a[3]));
            let any = _mm512_or_si512(low, a[4]);
            _mm512_testn_epi64_mask(any, any)
        }
    }

    #[inline(always)]
    fn is_odd(self, a: Element) -> u8 {
        let a = self.reduced(a);
        // SAFETY: the token proves the instructions.
        unsafe { _mm512_test_epi64_mask(a[0], self.constant(1)) }
    }

    #[inline(always)]
    fn gather_affine(self, rows: &[AffineRow], at: &[u32; LANES_MAX]) -> [Element; 3] {
        let zero = self.zero();
        let mut parts = [[zero; 8]; 2];
        for lane in 0..8 {
            let row = &rows[at[lane] as usize].0;
            parts[0][lane] = self.load(part(row, 0));
            parts[1][lane] = self.load(part(row, 1));
        }
        let (a, b) = (self.transposed(parts[0]), self.transposed(parts[1]));
        [[a[0], a[1], a[2], a[3], a[4]], [a[5], a[6], a[7], b[0], b[1]], [b[2], b[3], b[4], b[5], b[6]]]
    }

    #[inline(always)]
    fn gather_extended(self, rows: &[ExtendedRow], at: &[u32; LANES_MAX]) -> [Element; 4] {
        let zero = self.zero();
        let mut parts = [[zero; 8]; 3];
        for lane in 0..8 {
            let row = &rows[at[lane] as usize].0;
            parts[0][lane] = self.load(part(row, 0));
            parts[1][lane] = self.load(part(row, 1));
            parts[2][lane] = self.load(part(row, 2));
        }
        let a = self.transposed(parts[0]);
        let b = self.transposed(parts[1]);
        let c = self.transposed(parts[2]);
        [
            [a[0], a[1], a[2], a[3], a[4]],
            [a[5], a[6], a[7], b[0], b[1]],
            [b[2], b[3], b[4], b[5], b[6]],
            [b[7], c[0], c[1], c[2], c[3]],
        ]
    }

    #[inline(always)]
    fn affine_rows(self, values: &[Element; 3]) -> [AffineRow; LANES_MAX] {
        let [p, m, t] = values;
        let first = self.transposed([p[0], p[1], p[2], p[3], p[4], m[0], m[1], m[2]]);
        let second = self.transposed([m[3], m[4], t[0], t[1], t[2], t[3], t[4], self.zero()]);
        let mut rows = [AffineRow::IDENTITY; LANES_MAX];
        for lane in 0..8 {
            rows[lane].0[..8].copy_from_slice(&self.store(first[lane]));
            rows[lane].0[8..].copy_from_slice(&self.store(second[lane]));
        }
        rows
    }

    #[inline(always)]
    fn extended_rows(self, values: &[Element; 4]) -> [ExtendedRow; LANES_MAX] {
        let [p, m, z, t] = values;
        let zero = self.zero();
        let first = self.transposed([p[0], p[1], p[2], p[3], p[4], m[0], m[1], m[2]]);
        let second = self.transposed([m[3], m[4], z[0], z[1], z[2], z[3], z[4], t[0]]);
        let third = self.transposed([t[1], t[2], t[3], t[4], zero, zero, zero, zero]);
        let mut rows = [ExtendedRow::IDENTITY; LANES_MAX];
        for lane in 0..8 {
            rows[lane].0[..8].copy_from_slice(&self.store(first[lane]));
            rows[lane].0[8..16].copy_from_slice(&self.store(second[lane]));
            rows[lane].0[16..].copy_from_slice(&self.store(third[lane]));
        }
        rows
    }

    #[inline(always)]
    fn word(self, value: u64) -> __m512i {
        self.constant(value)
    }

    #[inline(always)]
    fn words_from_be(self, bytes: &[&[u8; 64]; LANES_MAX]) -> [__m512i; 8] {
        let mut rows = [self.zero(); 8];
        for lane in 0..8 {
            // SAFETY: the token proves the instructions; 64 bytes are readable behind the reference, at any alignment.
            rows[lane] = self.swapped(unsafe { _mm512_loadu_si512(bytes[lane].as_ptr().cast()) });
        }
        self.transposed(rows)
    }

    #[inline(always)]
    fn words_swapped(self, words: &[__m512i; 8]) -> [[u64; 8]; LANES_MAX] {
        let rows = self.transposed(*words);
        let mut lanes = [[0; 8]; LANES_MAX];
        for lane in 0..8 {
            lanes[lane] = self.store(self.swapped(rows[lane]));
        }
        lanes
    }

    #[inline(always)]
    fn word_add(self, a: __m512i, b: __m512i) -> __m512i {
        self.plus(a, b)
    }

    #[inline(always)]
    fn word_xor(self, a: __m512i, b: __m512i, c: __m512i) -> __m512i {
        // SAFETY: the token proves the instructions. 0x96 is the truth table of a ⊕ b ⊕ c.
        unsafe { _mm512_ternarylogic_epi64::<0x96>(a, b, c) }
    }

    #[inline(always)]
    fn word_rotate<const BITS: i32>(self, a: __m512i) -> __m512i {
        // SAFETY: the token proves the instructions.
        unsafe { _mm512_ror_epi64::<BITS>(a) }
    }

    #[inline(always)]
    fn word_shift<const BITS: u32>(self, a: __m512i) -> __m512i {
        // SAFETY: the token proves the instructions.
        unsafe { _mm512_srli_epi64::<BITS>(a) }
    }

    #[inline(always)]
    fn word_choose(self, a: __m512i, b: __m512i, c: __m512i) -> __m512i {
        // SAFETY: the token proves the instructions. 0xca is the truth table of a ? b : c.
        unsafe { _mm512_ternarylogic_epi64::<0xca>(a, b, c) }
    }

    #[inline(always)]
    fn word_majority(self, a: __m512i, b: __m512i, c: __m512i) -> __m512i {
        // SAFETY: the token proves the instructions. 0xe8 is the truth table of the majority.
        unsafe { _mm512_ternarylogic_epi64::<0xe8>(a, b, c) }
    }

    #[inline(always)]
    fn word_select(self, mask: u8, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: the token proves the instructions.
        unsafe { _mm512_mask_blend_epi64(mask, a, b) }
    }
}
