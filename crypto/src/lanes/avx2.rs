//! Four lanes with the multiplication of AVX2's companion FMA, which is one of floating point: five registers of doubles
//! per element, lane i of every register belongs to element i.
//!
//! AVX2 multiplies integers of 32 bits at most, but a fused multiply-add has a product of 106 bits inside and rounds it
//! only once. So two of them give a whole product of two limbs, the upper half and then the exact rest, as Emmart,
//! Zheng, Weems, "Faster modular exponentiation using double precision floating point arithmetic on the GPU" (2018) do
//! it; here with limbs that have signs, so that rounding to the nearest is as good as rounding down. Every operation on
//! doubles below is exact, which the bounds in [`field`] show, so the result is that of the integers: no rounding is
//! ever left to chance, and even the rounding mode does not matter.

mod field;
mod quad;

use core::arch::x86_64::*;

use field::Element;

use super::{
    AffineRow, ExtendedRow, FOUR_P, LANES_MAX, Lanes, Limbs,
    portable::{Portable, reduced},
};

/// Proof that this processor has AVX2 and FMA.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2(());

/// Lanes in use.
const COUNT: usize = 4;

/// Limbs with a sign as limbs without, modulo p.
fn unsigned(limbs: Limbs) -> Limbs {
    let mut limbs = limbs;
    for (limb, bias) in limbs.iter_mut().zip(FOUR_P) {
        *limb = limb.wrapping_add(bias);
    }
    limbs
}

impl Avx2 {
    /// The token, if this processor has the instructions.
    pub(crate) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Self(()))
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
    fn and(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: the token proves the instructions.
        unsafe { _mm256_and_si256(a, b) }
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

    /// The lanes' limbs, each in 0..p.
    #[inline(always)]
    fn each_reduced(self, a: Element) -> [Limbs; COUNT] {
        let limbs = self.to_integers(self.carry(a)).map(
            #[inline(always)]
            |limb| self.store(limb),
        );
        let mut lanes = [[0; 5]; COUNT];
        for (lane, of_lane) in lanes.iter_mut().enumerate() {
            *of_lane = reduced(unsigned(limbs.map(|limb| limb[lane])));
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
    const SIDE_BY_SIDE_MIN: usize = COUNT + 1;
    const APART_MAX: usize = 10;
    const STRAUS_MAX: usize = 44;
    type Element = Element;
    type Word = __m256i;

    #[inline(always)]
    fn run<R>(self, body: impl FnOnce() -> R) -> R {
        #[target_feature(enable = "avx2,fma")]
        fn enabled<R>(body: impl FnOnce() -> R) -> R {
            body()
        }
        // SAFETY: the token proves the instructions.
        unsafe { enabled(body) }
    }

    #[inline(always)]
    fn splat(self, limbs: &Limbs) -> Element {
        self.spread(limbs)
    }

    #[inline(always)]
    fn element(self, limbs: &[[u64; LANES_MAX]; 5]) -> Element {
        let mut wide = [self.zero(); 5];
        for place in 0..5 {
            wide[place] = self.load(limbs[place][..4].try_into().expect("four lanes"));
        }
        self.of_unsigned(wide)
    }

    #[inline(always)]
    fn limbs(self, a: Element) -> [[u64; LANES_MAX]; 5] {
        let limbs = self.to_integers(self.carry(a)).map(
            #[inline(always)]
            |limb| self.store(limb),
        );
        let mut out = [[0; LANES_MAX]; 5];
        for lane in 0..COUNT {
            let of_lane = super::portable::carry(unsigned(limbs.map(|limb| limb[lane])));
            for place in 0..5 {
                out[place][lane] = of_lane[place];
            }
        }
        out
    }

    #[inline(always)]
    fn mul(self, a: Element, b: Element) -> Element {
        self.product(a, b)
    }

    #[inline(always)]
    fn square(self, a: Element) -> Element {
        self.squared(a)
    }

    #[inline(always)]
    fn add(self, a: Element, b: Element) -> Element {
        self.sum(a, b)
    }

    #[inline(always)]
    fn sub(self, a: Element, b: Element) -> Element {
        self.difference(a, b)
    }

    #[inline(always)]
    fn tight(self, a: Element) -> Element {
        self.carry(a)
    }

    #[inline(always)]
    fn factor(self, a: Element) -> Element {
        a
    }

    #[inline(always)]
    fn select(self, mask: u8, a: Element, b: Element) -> Element {
        self.chosen(self.lanes_of(mask), a, b)
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
            self.of_integers([a[0], a[1], a[2], a[3], a[4]]),
            self.of_integers([a[5], a[6], a[7], b[0], b[1]]),
            self.of_integers([b[2], b[3], b[4], b[5], b[6]]),
        ]
    }

    #[inline(always)]
    fn gather_extended(self, rows: &[ExtendedRow], at: &[u32; LANES_MAX]) -> [Element; 4] {
        let row = |lane: usize| &rows[at[lane] as usize].0;
        let rows = [row(0), row(1), row(2), row(3)];
        let (a, b, c) = (self.columns(rows, 0), self.columns(rows, 1), self.columns(rows, 2));
        [
            self.of_integers([a[0], a[1], a[2], a[3], a[4]]),
            self.of_integers([a[5], a[6], a[7], b[0], b[1]]),
            self.of_integers([b[2], b[3], b[4], b[5], b[6]]),
            self.of_integers([b[7], c[0], c[1], c[2], c[3]]),
        ]
    }

    #[inline(always)]
    fn affine_rows(self, values: &[Element; 3]) -> [AffineRow; LANES_MAX] {
        let [p, m, t] = values.map(
            #[inline(always)]
            |value| self.to_integers(value),
        );
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
        let [p, m, z, t] = values.map(
            #[inline(always)]
            |value| self.to_integers(value),
        );
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
