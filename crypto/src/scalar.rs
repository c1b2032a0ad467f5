//! Integers modulo the group order l = 2^252 + 27742317777372353535851937790883648493, in four limbs of 64 bits.
//!
//! Products are reduced as in Montgomery, "Modular multiplication without trial division" (1985), with R = 2^256. Of
//! each signature only three things are computed: k from its hash, z·k, and its part of Σ z·s, which is summed as a
//! plain integer and reduced once.

/// An integer below l.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scalar([u64; 4]);

/// k·R mod l for a challenge k, the form in which it is multiplied.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Challenge(Scalar);

/// A signed 128-bit coefficient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Coefficient {
    /// The absolute value.
    pub(crate) magnitude: u128,
    /// Whether it is below zero.
    pub(crate) is_negative: bool,
}

/// Σ z·s over signatures, not yet reduced; the positive and the negative terms apart. Room for 2^60 terms.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sum {
    positive: [u64; 7],
    negative: [u64; 7],
}

impl Scalar {
    /// l.
    #[cfg(test)]
    pub(crate) const ORDER: [u64; 4] = ORDER;
    /// Zero.
    pub(crate) const ZERO: Self = Self([0; 4]);

    /// The scalar that these little-endian bytes encode; none if it is not below l.
    pub(crate) fn canonical(bytes: &[u8; 32]) -> Option<Self> {
        let limbs = limbs_of(bytes);
        is_below(&limbs, &ORDER).then_some(Self(limbs))
    }

    /// The limbs, lowest first.
    pub(crate) fn limbs(self) -> [u64; 4] {
        self.0
    }

    /// self + other.
    pub(crate) fn plus(self, other: Self) -> Self {
        let mut sum = [0; 4];
        let mut carry = false;
        for (place, limb) in sum.iter_mut().enumerate() {
            (*limb, carry) = self.0[place].carrying_add(other.0[place], carry);
        }
        // Both are below l < 2^253, so nothing leaves the top limb.
        debug_assert!(!carry, "two scalars fit in four limbs");
        Self(less_order(sum))
    }

    /// −self.
    pub(crate) fn negated(self) -> Self {
        if self == Self::ZERO { self } else { Self(difference(&ORDER, &self.0)) }
    }
}

impl Scalar {
    /// u and v with u = v·self modulo l, 0 ≤ u < 2^127, 0 < |v| < 2^127: Euclid's algorithm on l and self, stopped halfway
    /// (Antipa, Brown, Gallant, Lambert, Struik, Vanstone, "Accelerated verification of ECDSA signatures" (2005), section 4).
    pub(crate) fn halved(self) -> (u128, Coefficient) {
        // Of each remainder r there is a t with r = t·self modulo l, and of neighbours |t1|·r0 + |t0|·r1 = l, with signs that
        // alternate. So with r0 still at 2^127 or above, |t1| is at most l / 2^127 < 2^126.
        let (mut r0, mut r1) = (ORDER, self.0);
        let (mut t0, mut t1) = (0_u128, 1_u128);
        let mut is_negative = false;
        while length(&r1) > 127 {
            // One division, by subtracting the largest multiples by powers of two that fit.
            while !is_below(&r0, &r1) {
                let mut shift = length(&r0) - length(&r1);
                if is_below(&r0, &shifted(&r1, shift)) {
                    shift -= 1;
                }
                r0 = difference(&r0, &shifted(&r1, shift));
                t0 += t1 << shift;
            }
            ((r0, r1), (t0, t1)) = ((r1, r0), (t1, t0));
            is_negative = !is_negative;
        }
        let u = u128::from(r1[1]) << 64 | u128::from(r1[0]);
        (u, Coefficient { magnitude: t1, is_negative })
    }

    /// z·self.
    pub(crate) fn times(self, z: Coefficient) -> Self {
        let [a, b, c, d] = self.0;
        Challenge::from_hash(&[a, b, c, d, 0, 0, 0, 0]).times(z)
    }
}

impl Challenge {
    /// Of a signature whose hash is not known yet.
    pub(crate) const OPEN: Self = Self(Scalar::ZERO);

    /// k from the 64 bytes of SHA-512, given as little-endian words.
    pub(crate) fn from_hash(hash: &[u64; 8]) -> Self {
        // hash = low + 2^256·high, and R divides once: low·R² + high·R³ becomes (low + 2^256·high)·R. Each product is
        // below 2^256·l, so the sum is below 2^510 and its reduction below 3l.
        let mut sum = [0; 8];
        accumulate(&mut sum, &hash[..4], &R_SQUARED);
        accumulate(&mut sum, &hash[4..], &R_CUBED);
        Self(Scalar(less_order(less_order(divided_by_r(sum)))))
    }

    /// k itself.
    pub(crate) fn scalar(self) -> Scalar {
        self.times(Coefficient { magnitude: 1, is_negative: false })
    }

    /// z·k.
    pub(crate) fn times(self, z: Coefficient) -> Scalar {
        let mut product = [0; 8];
        accumulate(&mut product, &[z.magnitude as u64, (z.magnitude >> 64) as u64], &self.0.0);
        // Below 2^128·l, so the reduction is below 2l.
        let magnitude = Scalar(less_order(divided_by_r(product)));
        if z.is_negative { magnitude.negated() } else { magnitude }
    }
}

impl Sum {
    /// Adds z·s.
    pub(crate) fn add(&mut self, z: Coefficient, s: Scalar) {
        let sum = if z.is_negative { &mut self.negative } else { &mut self.positive };
        accumulate(sum, &[z.magnitude as u64, (z.magnitude >> 64) as u64], &s.0);
    }

    /// The sum modulo l.
    pub(crate) fn reduced(&self) -> Scalar {
        let reduce = |sum: &[u64; 7]| {
            let mut wide = [0; 8];
            wide[..7].copy_from_slice(sum);
            Challenge::from_hash(&wide).scalar()
        };
        reduce(&self.positive).plus(reduce(&self.negative).negated())
    }
}

/// The limbs of little-endian bytes.
pub(crate) fn limbs_of(bytes: &[u8; 32]) -> [u64; 4] {
    let (words, _) = bytes.as_chunks::<8>();
    [0, 1, 2, 3].map(|place: usize| u64::from_le_bytes(words[place]))
}

/// Adds a·b to `sum`, which must have room for the result.
#[inline(always)]
fn accumulate<const N: usize>(sum: &mut [u64; N], a: &[u64], b: &[u64; 4]) {
    for (i, limb) in a.iter().enumerate() {
        let mut carried = 0;
        for j in 0..4 {
            (sum[i + j], carried) = limb.carrying_mul_add(b[j], sum[i + j], carried);
        }
        for place in &mut sum[i + 4..] {
            let overflows;
            (*place, overflows) = place.overflowing_add(carried);
            carried = u64::from(overflows);
        }
        debug_assert!(carried == 0, "the sum has room");
    }
}

/// t/R modulo l, below t/R + l. `t` is below 2^511, so that the result fits.
#[inline(always)]
fn divided_by_r(mut t: [u64; 8]) -> [u64; 4] {
    // Each step adds the multiple of l that clears the lowest limb left. Limb 2 of l is zero.
    let mut above = 0;
    for i in 0..4 {
        let multiple = t[i].wrapping_mul(ORDER_INVERSE);
        let (_, carried) = multiple.carrying_mul_add(ORDER[0], t[i], 0);
        let carried = {
            let (limb, carried) = multiple.carrying_mul_add(ORDER[1], t[i + 1], carried);
            t[i + 1] = limb;
            carried
        };
        let (limb, overflows) = t[i + 2].overflowing_add(carried);
        t[i + 2] = limb;
        let (limb, carried) = multiple.carrying_mul_add(ORDER[3], t[i + 3], u64::from(overflows));
        t[i + 3] = limb;
        let (limb, first) = t[i + 4].overflowing_add(carried);
        let (limb, second) = limb.overflowing_add(above);
        t[i + 4] = limb;
        above = u64::from(first) + u64::from(second);
    }
    debug_assert!(above == 0, "t is below 2^511");
    [t[4], t[5], t[6], t[7]]
}

/// Bits up to the highest that is one.
fn length(a: &[u64; 4]) -> u32 {
    let top = a.iter().rposition(|&limb| limb != 0).unwrap_or(0);
    64 * top as u32 + 64 - a[top].leading_zeros()
}

/// a·2^`shift`, which must fit.
fn shifted(a: &[u64; 4], shift: u32) -> [u64; 4] {
    let (limbs, bits) = (shift as usize / 64, shift % 64);
    let mut out = [0; 4];
    for place in limbs..4 {
        let below = if place > limbs { a[place - limbs - 1].unbounded_shr(64 - bits) } else { 0 };
        out[place] = a[place - limbs] << bits | below;
    }
    out
}

/// a − l if a ≥ l, else a.
#[inline(always)]
fn less_order(a: [u64; 4]) -> [u64; 4] {
    if is_below(&a, &ORDER) { a } else { difference(&a, &ORDER) }
}

const fn is_below(a: &[u64; 4], b: &[u64; 4]) -> bool {
    let mut i = 4;
    while i > 0 {
        i -= 1;
        if a[i] != b[i] {
            return a[i] < b[i];
        }
    }
    false
}

/// a − b, which must not be negative.
const fn difference(a: &[u64; 4], b: &[u64; 4]) -> [u64; 4] {
    let mut out = [0; 4];
    let mut borrow = 0;
    let mut i = 0;
    while i < 4 {
        let (less, first) = a[i].overflowing_sub(b[i]);
        let (less, second) = less.overflowing_sub(borrow);
        (out[i], borrow) = (less, (first | second) as u64);
        i += 1;
    }
    debug_assert!(borrow == 0, "the difference is not negative");
    out
}

/// 2^`exponent` modulo l.
const fn power_of_two(exponent: u32) -> [u64; 4] {
    let mut value = [1, 0, 0, 0];
    let mut step = 0;
    while step < exponent {
        let doubled = [
            value[0] << 1,
            value[1] << 1 | value[0] >> 63,
            value[2] << 1 | value[1] >> 63,
            value[3] << 1 | value[2] >> 63,
        ];
        value = if is_below(&doubled, &ORDER) { doubled } else { difference(&doubled, &ORDER) };
        step += 1;
    }
    value
}

/// l.
const ORDER: [u64; 4] = [0x5812_631a_5cf5_d3ed, 0x14de_f9de_a2f7_9cd6, 0, 0x1000_0000_0000_0000];
/// −1/l modulo 2^64.
const ORDER_INVERSE: u64 = 0xd2b5_1da3_1254_7e1b;
const R_SQUARED: [u64; 4] = power_of_two(512);
const R_CUBED: [u64; 4] = power_of_two(768);

#[cfg(test)]
mod tests;
