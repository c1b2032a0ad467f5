//! The seam between the algorithms and the processor: the same operation on several independent values at once.
//!
//! A value of a type that implements [`Lanes`] is a token: only detection makes one, so whoever holds it may use the
//! instructions behind it. The algorithms above (points, equation, SHA-512) are written once, generic over the token;
//! the portable one, a single lane wide, is the readable reference that every other one is compared with.
//!
//! Field elements are integers modulo p = 2^255 − 19 in five limbs of 51 bits. How large the limbs may be is another matter
//! in each implementation, so what is written over all of them counts units: products, squares and what was read from
//! rows have one, which is called tight; sums and differences have those of both sides together. A factor is either
//! tight or made by [`factor`](Lanes::factor), and the units of two factors multiplied are at most 3; what is squared,
//! subtracted or put into a row is tight. So each implementation carries where it must and nowhere else.

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "processor intrinsics, permitted by the token")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "processor intrinsics, permitted by the token")]
pub(crate) mod avx512;
pub(crate) mod portable;

use crate::power::{self, Multiply};

/// Lanes of the widest implementation. Arguments given per lane have this length; narrower ones read the first few.
pub(crate) const LANES_MAX: usize = 8;

/// The limbs of one field element, lowest first.
pub(crate) type Limbs = [u64; 5];

/// One affine point as additions want it: the limbs of y + x, y − x and 2dxy, and one word of padding.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct AffineRow(pub(crate) [u64; 16]);

/// One extended point as additions want it: the limbs of Y + X, Y − X, 2Z and 2dT, and padding.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct ExtendedRow(pub(crate) [u64; 24]);

impl AffineRow {
    /// The neutral point, x = 0 and y = 1.
    pub(crate) const IDENTITY: Self = Self([1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
}

impl ExtendedRow {
    /// The neutral point with Z = 1.
    pub(crate) const IDENTITY: Self =
        Self([1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
}

/// Operations on [`COUNT`](Lanes::COUNT) independent values at once. A mask has one bit per lane.
pub(crate) trait Lanes: Copy {
    /// Number of lanes, at most [`LANES_MAX`].
    const COUNT: usize;
    /// From how many signatures on it is faster to check them side by side, each in a lane, than one after the other.
    const SIDE_BY_SIDE_MIN: usize;
    /// Up to how many signatures it is faster to check each by its own equation than all by one.
    const APART_MAX: usize;
    /// Up to how many signatures the method of Straus is faster than that of buckets.
    const STRAUS_MAX: usize;
    /// Whether [`root_power`](Self::root_power) may be wrong.
    const HURRIES: bool = false;
    /// One field element per lane.
    type Element: Copy;
    /// One 64-bit word per lane.
    type Word: Copy;

    /// Runs `body` compiled for this processor. Every function that does many operations goes through here: outside of
    /// it each operation would be a call.
    fn run<R>(self, body: impl FnOnce() -> R) -> R;

    /// The same element in every lane.
    fn splat(self, limbs: &Limbs) -> Self::Element;
    /// Lane i takes `limbs[0][i]` to `limbs[4][i]`, each at most 2^51 + 2^40; tight.
    fn element(self, limbs: &[[u64; LANES_MAX]; 5]) -> Self::Element;
    /// The inverse of [`element`](Lanes::element), of a tight element; lanes that do not exist are zero.
    fn limbs(self, a: Self::Element) -> [[u64; LANES_MAX]; 5];

    /// a · b, of two factors.
    fn mul(self, a: Self::Element, b: Self::Element) -> Self::Element;
    /// a², `a` tight.
    fn square(self, a: Self::Element) -> Self::Element;
    /// a · b, of two factors, as a term of a sum and nothing else: one unit, not tight.
    #[inline(always)]
    fn mul_term(self, a: Self::Element, b: Self::Element) -> Self::Element {
        self.mul(a, b)
    }
    /// a², `a` tight, as a term of a sum and nothing else: one unit, not tight.
    #[inline(always)]
    fn square_term(self, a: Self::Element) -> Self::Element {
        self.square(a)
    }
    /// a^((p − 5)/8) in each group, `a` tight; tight. Where an implementation [hurries](Self::HURRIES), it is wrong for one
    /// in many millions: who takes a root that way checks it, and takes the power of [`Exact`] if it is none.
    #[inline(always)]
    fn root_power<const GROUPS: usize>(self, a: [Self::Element; GROUPS]) -> [Self::Element; GROUPS] {
        power::for_roots(Exact(self), a)
    }
    /// a + b.
    fn add(self, a: Self::Element, b: Self::Element) -> Self::Element;
    /// a − b, `b` tight or a term.
    fn sub(self, a: Self::Element, b: Self::Element) -> Self::Element;
    /// 2a + b.
    #[inline(always)]
    fn twice_plus(self, a: Self::Element, b: Self::Element) -> Self::Element {
        self.add(self.add(a, a), b)
    }
    /// 2a − b, `b` tight or a term.
    #[inline(always)]
    fn twice_minus(self, a: Self::Element, b: Self::Element) -> Self::Element {
        self.sub(self.add(a, a), b)
    }
    /// The same, tight; of at most 6 units.
    fn tight(self, a: Self::Element) -> Self::Element;
    /// The same, with the units it has, as a factor of a product.
    fn factor(self, a: Self::Element) -> Self::Element;
    /// In each lane `b` where the mask has a one, else `a`.
    fn select(self, mask: u8, a: Self::Element, b: Self::Element) -> Self::Element;
    /// The lanes whose element is zero modulo p.
    fn is_zero(self, a: Self::Element) -> u8;
    /// The lanes whose element, reduced to 0..p, is odd.
    fn is_odd(self, a: Self::Element) -> u8;

    /// Lane i takes `rows[at[i]]`.
    fn gather_affine(self, rows: &[AffineRow], at: &[u32; LANES_MAX]) -> [Self::Element; 3];
    /// Lane i takes `rows[at[i]]`.
    fn gather_extended(self, rows: &[ExtendedRow], at: &[u32; LANES_MAX]) -> [Self::Element; 4];
    /// The row of each lane; those of lanes that do not exist are unspecified.
    fn affine_rows(self, values: &[Self::Element; 3]) -> [AffineRow; LANES_MAX];
    /// The row of each lane; those of lanes that do not exist are unspecified.
    fn extended_rows(self, values: &[Self::Element; 4]) -> [ExtendedRow; LANES_MAX];

    /// The same word in every lane.
    fn word(self, value: u64) -> Self::Word;
    /// Lane i of word j is the j-th big-endian word of `bytes[i]`.
    fn words_from_be(self, bytes: &[&[u8; 64]; LANES_MAX]) -> [Self::Word; 8];
    /// Entry i holds the words of lane i, the bytes of each swapped.
    fn words_swapped(self, words: &[Self::Word; 8]) -> [[u64; 8]; LANES_MAX];
    /// a + b modulo 2^64.
    fn word_add(self, a: Self::Word, b: Self::Word) -> Self::Word;
    /// a ⊕ b ⊕ c.
    fn word_xor(self, a: Self::Word, b: Self::Word, c: Self::Word) -> Self::Word;
    /// `a` rotated right by `BITS`.
    fn word_rotate<const BITS: i32>(self, a: Self::Word) -> Self::Word;
    /// `a` shifted right by `BITS`.
    fn word_shift<const BITS: u32>(self, a: Self::Word) -> Self::Word;
    /// Each bit of b where a has a one, else of c.
    fn word_choose(self, a: Self::Word, b: Self::Word, c: Self::Word) -> Self::Word;
    /// The majority of each bit.
    fn word_majority(self, a: Self::Word, b: Self::Word, c: Self::Word) -> Self::Word;
    /// In each lane `b` where the mask has a one, else `a`.
    fn word_select(self, mask: u8, a: Self::Word, b: Self::Word) -> Self::Word;
}

/// The mask of all lanes that exist.
pub(crate) const fn all_lanes<L: Lanes>() -> u8 {
    u8::MAX >> (LANES_MAX - L::COUNT)
}

/// The operations of an implementation as a power wants them.
#[derive(Clone, Copy)]
pub(crate) struct Exact<L>(pub(crate) L);

impl<L: Lanes> Multiply for Exact<L> {
    type Element = L::Element;

    #[inline(always)]
    fn run<R>(self, body: impl FnOnce() -> R) -> R {
        self.0.run(body)
    }

    #[inline(always)]
    fn mul(self, a: L::Element, b: L::Element) -> L::Element {
        self.0.mul(a, b)
    }

    #[inline(always)]
    fn square(self, a: L::Element) -> L::Element {
        self.0.square(a)
    }
}

/// 4p in limbs above those of anything with a sign.
pub(crate) const FOUR_P: Limbs = [(1 << 53) - 76, (1 << 53) - 4, (1 << 53) - 4, (1 << 53) - 4, (1 << 53) - 4];

/// The bits of one limb.
pub(crate) const LIMB_MASK: u64 = (1 << 51) - 1;

#[cfg(test)]
mod tests;
