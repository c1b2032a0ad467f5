//! Four lanes with the 32-bit multiplication of AVX2: ten registers per element, lane i of every register belongs to
//! element i.
//!
//! Each limb of 51 bits is cut into 26 bits and the 25 above, so limb n of ten weighs 2^⌈25.5·n⌉. The product of limbs i
//! and j weighs as much as limb i + j, twice as much if both are odd; limbs from the tenth on count 19 times ten places
//! down. Bernstein, "Curve25519: new Diffie-Hellman speed records" (2006), section 4.

use core::arch::x86_64::*;

use super::{
    AffineRow, ExtendedRow, LANES_MAX, Lanes, Limbs, TWICE_P,
    portable::{Portable, reduced},
};

/// Proof that this processor has AVX2.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2(());

/// Even limbs below 2^26 + 2^10, odd ones below 2^25 + 2^13.
type Element = [__m256i; 10];

/// Lanes in use.
const COUNT: usize = 4;
/// Bits of even limbs.
const EVEN_MASK: u64 = (1 << 26) - 1;
/// Bits of odd limbs.
const ODD_MASK: u64 = (1 << 25) - 1;

impl Avx2 {
    /// The token, if this processor has the instructions.
    pub(crate) fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx2").then_some(Self(()))
    }

    #[inline(always)]
    fn zero(self) -> __m256i {
        // SAFETY: the token proves the instructions.
        unsafe { _mm256_setzero_si256() }
    }

    #[inline(always)]
    fn constant(self, value: u64) -> __m256i {
        // SAFETY: the token proves the instructions.
        unsafe { _mm256_set1_epi64x(value as i64) }
    }

    #[inline(always)]
    fn plus(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: the token proves the instructions.
        unsafe { _mm256_add_epi64(a, b) }
    }

    #[inline(always)]
    fn less(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: the token proves the instructions.
        unsafe { _mm256_sub_epi64(a, b) }
    }

    #[inline(always)]
    fn and(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: the token proves the instructions.
        unsafe { _mm256_and_si256(a, b) }
    }

    /// The product of the low 32 bits of each lane.
    #[inline(always)]
    fn times(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: the token proves the instructions.
        unsafe { _mm256_mul_epu32(a, b) }
    }

    #[inline(always)]
    fn right<const BITS: i32>(self, a: __m256i) -> __m256i {
        // SAFETY: the token proves the instructions.
        unsafe { _mm256_srli_epi64::<BITS>(a) }
    }

    #[inline(always)]
    fn load(self, words: &[u64; 4]) -> __m256i {
        // SAFETY: the token proves the instructions; 32 bytes are readable behind the reference, at any alignment.
        unsafe { _mm256_loadu_si256(words.as_ptr().cast()) }
    }

    #[inline(always)]
    fn store(self, words: __m256i) -> [u64; 4] {
        let mut out = [0; 4];
        // SAFETY: the token proves the instructions; 32 bytes are writable behind the pointer, at any alignment.
        unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), words) };
        out
    }

    /// All bits of the lanes in the mask.
    #[inline(always)]
    fn lanes_of(self, mask: u8) -> __m256i {
        let bits = self.load(&[1, 2, 4, 8]);
        // SAFETY: the token proves the instructions.
        unsafe { _mm256_cmpeq_epi64(self.and(self.constant(u64::from(mask)), bits), bits) }
    }

    #[inline(always)]
    fn blend(self, mask: __m256i, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: the token proves the instructions.
        unsafe { _mm256_blendv_epi8(a, b, mask) }
    }

    /// Rows to columns: word j of row i becomes lane i of column j. Its own inverse.
    #[inline(always)]
    fn transposed(self, rows: [__m256i; 4]) -> [__m256i; 4] {
        // SAFETY: the token proves the instructions.
        unsafe {
            let even_low = _mm256_unpacklo_epi64(rows[0], rows[1]);
            let odd_low = _mm256_unpackhi_epi64(rows[0], rows[1]);
            let even_high = _mm256_unpacklo_epi64(rows[2], rows[3]);
            let odd_high = _mm256_unpackhi_epi64(rows[2], rows[3]);
            [
                _mm256_permute2x128_si256::<0x20>(even_low, even_high),
                _mm256_permute2x128_si256::<0x20>(odd_low, odd_high),
                _mm256_permute2x128_si256::<0x31>(even_low, even_high),
                _mm256_permute2x128_si256::<0x31>(odd_low, odd_high),
            ]
        }
    }

    /// From limbs of 51 bits, below 2^52.
    #[inline(always)]
    fn split(self, limbs: [__m256i; 5]) -> Element {
        let mask = self.constant(EVEN_MASK);
        let mut element = [self.zero(); 10];
        for place in 0..5 {
            element[2 * place] = self.and(limbs[place], mask);
            element[2 * place + 1] = self.right::<26>(limbs[place]);
        }
        element
    }

    /// To limbs of 51 bits: at most 2^51 + 2^39 + 2^27.
    #[inline(always)]
    fn joined(self, a: Element) -> [__m256i; 5] {
        let mut limbs = [self.zero(); 5];
        for place in 0..5 {
            // SAFETY: the token proves the instructions.
            let above = unsafe { _mm256_slli_epi64::<26>(a[2 * place + 1]) };
            limbs[place] = self.plus(a[2 * place], above);
        }
        limbs
    }

    /// One parallel carry pass over limbs below 2^29: each carries at most 2^4.
    #[inline(always)]
    fn carry(self, a: Element) -> Element {
        let (even, odd) = (self.constant(EVEN_MASK), self.constant(ODD_MASK));
        let mut carried = a;
        for place in 0..10 {
            let below = match place {
                0 => self.times(self.right::<25>(a[9]), self.constant(19)),
                _ if place % 2 == 1 => self.right::<26>(a[place - 1]),
                _ => self.right::<25>(a[place - 1]),
            };
            carried[place] = self.plus(self.and(a[place], if place % 2 == 0 { even } else { odd }), below);
        }
        carried
    }

    /// Carries along the columns of a product, in two halves at a time. Columns are below 2^63, so a first carry is below
    /// 2^38 and the second one of column 4 below 2^13; the last column, where nothing is folded, is below 2^57, so its
    /// carry is below 2^32 and the lowest limb, below 2^26 + 19·2^32, carries less than 2^11.
    #[inline(always)]
    fn carried(self, mut columns: Element) -> Element {
        let (even, odd) = (self.constant(EVEN_MASK), self.constant(ODD_MASK));
        macro_rules! carry {
            ($($place:literal)*) => {$(
                let above = if $place % 2 == 0 {
                    self.right::<26>(columns[$place])
                } else {
                    self.right::<25>(columns[$place])
                };
                columns[$place] = self.and(columns[$place], if $place % 2 == 0 { even } else { odd });
                columns[$place + 1] = self.plus(columns[$place + 1], above);
            )*};
        }
        carry!(0 4 1 5 2 6 3 7 4 8);
        let above = self.right::<25>(columns[9]);
        columns[9] = self.and(columns[9], odd);
        columns[0] = self.plus(columns[0], self.times(above, self.constant(19)));
        carry!(0);
        columns
    }

    /// a · b. Limbs of 26 bits, doubled or times 19, stay below 2^32; a column is a sum of ten products below 2^58.
    #[inline(always)]
    fn product(self, a: Element, b: Element) -> Element {
        let (mut twice, mut folded) = (a, b);
        for place in 0..10 {
            twice[place] = self.plus(a[place], a[place]);
            folded[place] = self.times(b[place], self.constant(19));
        }
        let mut columns = [self.zero(); 10];
        macro_rules! rows {
            ($($i:literal)*) => {$( rows!($i; 0 1 2 3 4 5 6 7 8 9); )*};
            ($i:literal; $($j:literal)*) => {$(
                let left = if $i % 2 == 1 && $j % 2 == 1 { twice[$i] } else { a[$i] };
                let right = if $i + $j >= 10 { folded[$j] } else { b[$j] };
                columns[($i + $j) % 10] = self.plus(columns[($i + $j) % 10], self.times(left, right));
            )*};
        }
        rows!(0 1 2 3 4 5 6 7 8 9);
        self.carried(columns)
    }

    /// a².
    #[inline(always)]
    fn squared(self, a: Element) -> Element {
        let (mut twice, mut folded, mut twice_folded) = (a, a, a);
        for place in 0..10 {
            twice[place] = self.plus(a[place], a[place]);
            folded[place] = self.times(a[place], self.constant(19));
            twice_folded[place] = self.plus(folded[place], folded[place]);
        }
        let mut columns = [self.zero(); 10];
        // Products of different limbs occur twice, of two odd ones four times.
        macro_rules! rows {
            ($($i:literal: $($j:literal)*;)*) => {$($(
                let left = if $i == $j { a[$i] } else { twice[$i] };
                let right = match ($i % 2 == 1 && $j % 2 == 1, $i + $j >= 10) {
                    (false, false) => a[$j],
                    (true, false) => twice[$j],
                    (false, true) => folded[$j],
                    (true, true) => twice_folded[$j],
                };
                columns[($i + $j) % 10] = self.plus(columns[($i + $j) % 10], self.times(left, right));
            )*)*};
        }
        rows!(
            0: 0 1 2 3 4 5 6 7 8 9;
            1: 1 2 3 4 5 6 7 8 9;
            2: 2 3 4 5 6 7 8 9;
            3: 3 4 5 6 7 8 9;
            4: 4 5 6 7 8 9;
            5: 5 6 7 8 9;
            6: 6 7 8 9;
            7: 7 8 9;
            8: 8 9;
            9: 9;
        );
        self.carried(columns)
    }

    /// Limb by limb a − b + 2p, not carried: the limbs of 2p, cut in two, are above those of b.
    #[inline(always)]
    fn minus(self, a: Element, b: Element) -> Element {
        let mut difference = a;
        for place in 0..10 {
            let limb = TWICE_P[place / 2];
            // One unit of the odd part stays in the even one, so that both are large enough.
            let twice_p = if place % 2 == 0 { (limb & EVEN_MASK) | 1 << 26 } else { (limb >> 26) - 1 };
            difference[place] = self.plus(a[place], self.less(self.constant(twice_p), b[place]));
        }
        difference
    }

    /// The lanes' limbs, each in 0..p.
    #[inline(always)]
    fn each_reduced(self, a: Element) -> [Limbs; COUNT] {
        let limbs = self.joined(a).map(|limb| self.store(limb));
        let mut lanes = [[0; 5]; COUNT];
        for (lane, of_lane) in lanes.iter_mut().enumerate() {
            *of_lane = reduced(limbs.map(|limb| limb[lane]));
        }
        lanes
    }

    /// Words `8·part` to `8·part + 7` of each row, in columns.
    #[inline(always)]
    fn columns<const N: usize>(self, rows: [&[u64; N]; COUNT], part: usize) -> [__m256i; 8] {
        let mut columns = [self.zero(); 8];
        for half in 0..2 {
            let mut four = [self.zero(); 4];
            for lane in 0..COUNT {
                let words = &rows[lane][8 * part + 4 * half..][..4];
                four[lane] = self.load(words.try_into().expect("four words"));
            }
            columns[4 * half..][..4].copy_from_slice(&self.transposed(four));
        }
        columns
    }

    /// The inverse of [`columns`](Self::columns), into `rows`.
    #[inline(always)]
    fn write<const N: usize>(self, columns: [__m256i; 8], part: usize, rows: &mut [[u64; N]; COUNT]) {
        for half in 0..2 {
            let at = 4 * half;
            let four = self.transposed([columns[at], columns[at + 1], columns[at + 2], columns[at + 3]]);
            for lane in 0..COUNT {
                rows[lane][8 * part + at..][..4].copy_from_slice(&self.store(four[lane]));
            }
        }
    }

    #[inline(always)]
    fn swapped(self, words: __m256i) -> __m256i {
        // SAFETY: the token proves the instructions.
        unsafe {
            let order = _mm256_broadcastsi128_si256(_mm_set_epi64x(0x08090a0b0c0d0e0f, 0x0001020304050607));
            _mm256_shuffle_epi8(words, order)
        }
    }
}

impl Lanes for Avx2 {
    const COUNT: usize = COUNT;
    type Element = Element;
    type Word = __m256i;

    #[inline(always)]
    fn run<R>(self, body: impl FnOnce() -> R) -> R {
        #[target_feature(enable = "avx2")]
        fn enabled<R>(body: impl FnOnce() -> R) -> R {
            body()
        }
        // SAFETY: the token proves the instructions.
        unsafe { enabled(body) }
    }

    #[inline(always)]
    fn splat(self, limbs: &Limbs) -> Element {
        let mut wide = [self.zero(); 5];
        for place in 0..5 {
            wide[place] = self.constant(limbs[place]);
        }
        self.split(wide)
    }

    #[inline(always)]
    fn element(self, limbs: &[[u64; LANES_MAX]; 5]) -> Element {
        let mut wide = [self.zero(); 5];
        for place in 0..5 {
            wide[place] = self.load(limbs[place][..4].try_into().expect("four lanes"));
        }
        self.split(wide)
    }

    #[cfg(test)]
    fn limbs(self, a: Element) -> [[u64; LANES_MAX]; 5] {
        self.joined(a).map(|limb| {
            let [a, b, c, d] = self.store(limb);
            [a, b, c, d, 0, 0, 0, 0]
        })
    }

    /// Not inlined: with sixteen registers a product lives in memory anyway, and copies would fill the cache.
    #[inline(always)]
    fn mul(self, a: Element, b: Element) -> Element {
        #[target_feature(enable = "avx2")]
        #[inline(never)]
        fn product(lanes: Avx2, a: &Element, b: &Element) -> Element {
            lanes.product(*a, *b)
        }
        // SAFETY: the token proves the instructions.
        unsafe { product(self, &a, &b) }
    }

    #[inline(always)]
    fn square(self, a: Element) -> Element {
        #[target_feature(enable = "avx2")]
        #[inline(never)]
        fn squared(lanes: Avx2, a: &Element) -> Element {
            lanes.squared(*a)
        }
        // SAFETY: the token proves the instructions.
        unsafe { squared(self, &a) }
    }

    #[inline(always)]
    fn add(self, a: Element, b: Element) -> Element {
        let mut sum = a;
        for place in 0..10 {
            sum[place] = self.plus(a[place], b[place]);
        }
        self.carry(sum)
    }

    #[inline(always)]
    fn sub(self, a: Element, b: Element) -> Element {
        self.carry(self.minus(a, b))
    }

    #[inline(always)]
    fn twice_plus(self, a: Element, b: Element) -> Element {
        let mut sum = a;
        for place in 0..10 {
            sum[place] = self.plus(self.plus(a[place], a[place]), b[place]);
        }
        self.carry(sum)
    }

    #[inline(always)]
    fn twice_minus(self, a: Element, b: Element) -> Element {
        let mut twice = a;
        for place in 0..10 {
            twice[place] = self.plus(a[place], a[place]);
        }
        self.carry(self.minus(twice, b))
    }

    #[inline(always)]
    fn select(self, mask: u8, a: Element, b: Element) -> Element {
        let mask = self.lanes_of(mask);
        let mut chosen = a;
        for place in 0..10 {
            chosen[place] = self.blend(mask, a[place], b[place]);
        }
        chosen
    }

    /// Rare, so each lane for itself.
    #[inline(always)]
    fn is_zero(self, a: Element) -> u8 {
        let mut mask = 0;
        for (lane, limbs) in self.each_reduced(a).iter().enumerate() {
            mask |= u8::from(*limbs == [0; 5]) << lane;
        }
        mask
    }

    #[inline(always)]
    fn is_odd(self, a: Element) -> u8 {
        let mut mask = 0;
        for (lane, limbs) in self.each_reduced(a).iter().enumerate() {
            mask |= ((limbs[0] & 1) as u8) << lane;
        }
        mask
    }

    #[inline(always)]
    fn gather_affine(self, rows: &[AffineRow], at: &[u32; LANES_MAX]) -> [Element; 3] {
        let row = |lane: usize| &rows[at[lane] as usize].0;
        let rows = [row(0), row(1), row(2), row(3)];
        let (a, b) = (self.columns(rows, 0), self.columns(rows, 1));
        [
            self.split([a[0], a[1], a[2], a[3], a[4]]),
            self.split([a[5], a[6], a[7], b[0], b[1]]),
            self.split([b[2], b[3], b[4], b[5], b[6]]),
        ]
    }

    #[inline(always)]
    fn gather_extended(self, rows: &[ExtendedRow], at: &[u32; LANES_MAX]) -> [Element; 4] {
        let row = |lane: usize| &rows[at[lane] as usize].0;
        let rows = [row(0), row(1), row(2), row(3)];
        let (a, b, c) = (self.columns(rows, 0), self.columns(rows, 1), self.columns(rows, 2));
        [
            self.split([a[0], a[1], a[2], a[3], a[4]]),
            self.split([a[5], a[6], a[7], b[0], b[1]]),
            self.split([b[2], b[3], b[4], b[5], b[6]]),
            self.split([b[7], c[0], c[1], c[2], c[3]]),
        ]
    }

    #[inline(always)]
    fn affine_rows(self, values: &[Element; 3]) -> [AffineRow; LANES_MAX] {
        let (p, m, t) = (self.joined(values[0]), self.joined(values[1]), self.joined(values[2]));
        let mut words = [[0; 16]; COUNT];
        self.write([p[0], p[1], p[2], p[3], p[4], m[0], m[1], m[2]], 0, &mut words);
        self.write([m[3], m[4], t[0], t[1], t[2], t[3], t[4], self.zero()], 1, &mut words);
        let mut rows = [AffineRow::IDENTITY; LANES_MAX];
        for lane in 0..COUNT {
            rows[lane].0 = words[lane];
        }
        rows
    }

    #[inline(always)]
    fn extended_rows(self, values: &[Element; 4]) -> [ExtendedRow; LANES_MAX] {
        let zero = self.zero();
        let (p, m) = (self.joined(values[0]), self.joined(values[1]));
        let (z, t) = (self.joined(values[2]), self.joined(values[3]));
        let mut words = [[0; 24]; COUNT];
        self.write([p[0], p[1], p[2], p[3], p[4], m[0], m[1], m[2]], 0, &mut words);
        self.write([m[3], m[4], z[0], z[1], z[2], z[3], z[4], t[0]], 1, &mut words);
        self.write([t[1], t[2], t[3], t[4], zero, zero, zero, zero], 2, &mut words);
        let mut rows = [ExtendedRow::IDENTITY; LANES_MAX];
        for lane in 0..COUNT {
            rows[lane].0 = words[lane];
        }
        rows
    }

    #[inline(always)]
    fn word(self, value: u64) -> __m256i {
        self.constant(value)
    }

    #[inline(always)]
    fn words_from_be(self, bytes: &[&[u8; 64]; LANES_MAX]) -> [__m256i; 8] {
        let mut words = [[0; 8]; COUNT];
        for lane in 0..COUNT {
            words[lane] = Portable.words_from_be(&[bytes[lane]; LANES_MAX]);
        }
        self.columns([&words[0], &words[1], &words[2], &words[3]], 0)
    }

    #[inline(always)]
    fn words_swapped(self, words: &[__m256i; 8]) -> [[u64; 8]; LANES_MAX] {
        let mut swapped = *words;
        for word in &mut swapped {
            *word = self.swapped(*word);
        }
        let mut rows = [[0; 8]; COUNT];
        self.write(swapped, 0, &mut rows);
        let mut lanes = [[0; 8]; LANES_MAX];
        lanes[..COUNT].copy_from_slice(&rows);
        lanes
    }

    #[inline(always)]
    fn word_add(self, a: __m256i, b: __m256i) -> __m256i {
        self.plus(a, b)
    }

    #[inline(always)]
    fn word_xor(self, a: __m256i, b: __m256i, c: __m256i) -> __m256i {
        // SAFETY: the token proves the instructions.
        unsafe { _mm256_xor_si256(_mm256_xor_si256(a, b), c) }
    }

    #[inline(always)]
    fn word_rotate<const BITS: i32>(self, a: __m256i) -> __m256i {
        // SAFETY: the token proves the instructions.
        unsafe {
            let back = _mm_cvtsi32_si128(64 - BITS);
            _mm256_or_si256(_mm256_srli_epi64::<BITS>(a), _mm256_sll_epi64(a, back))
        }
    }

    #[inline(always)]
    fn word_shift<const BITS: u32>(self, a: __m256i) -> __m256i {
        // SAFETY: the token proves the instructions.
        unsafe { _mm256_srl_epi64(a, _mm_cvtsi32_si128(BITS as i32)) }
    }

    #[inline(always)]
    fn word_choose(self, a: __m256i, b: __m256i, c: __m256i) -> __m256i {
        // SAFETY: the token proves the instructions.
        unsafe { _mm256_xor_si256(c, _mm256_and_si256(a, _mm256_xor_si256(b, c))) }
    }

    #[inline(always)]
    fn word_majority(self, a: __m256i, b: __m256i, c: __m256i) -> __m256i {
        // SAFETY: the token proves the instructions.
        unsafe { _mm256_or_si256(_mm256_and_si256(a, b), _mm256_and_si256(c, _mm256_or_si256(a, b))) }
    }

    #[inline(always)]
    fn word_select(self, mask: u8, a: __m256i, b: __m256i) -> __m256i {
        self.blend(self.lanes_of(mask), a, b)
    }
}
