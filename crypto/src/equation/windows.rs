//! Scalars cut into signed digits, each digit on its own.
//!
//! A number with a constant H added, H being half of the digit range in every window, has plain unsigned digits;
//! each of them less half its range is a signed digit of the number itself. No digit depends on a carry from below.

use crate::scalar::Coefficient;

/// Bits of a coefficient of a batch, and where the windows of long scalars only begin.
const SHORT_BITS: u32 = 128;
/// Bits of a scalar with room for H: below l + H < 2^253 + 2^253.
const LONG_BITS: u32 = 254;
/// Most windows that a division has.
pub(crate) const WINDOWS_MAX: usize = 52;

/// A scalar plus H.
pub(crate) type Shifted = [u64; 4];

/// The bits `offset .. offset + width` of a scalar.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Window {
    /// Weight of the digit, as a power of two.
    pub(crate) offset: u32,
    /// Bits; the digit is in −2^(width − 1) .. 2^(width − 1).
    pub(crate) width: u32,
}

/// A division of the bits of scalars into windows, lowest first. A window boundary is at [`SHORT_BITS`], so that short
/// scalars have no digit above it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Windows {
    windows: [Window; WINDOWS_MAX],
    count: usize,
    short: usize,
    half: Shifted,
}

impl Windows {
    /// `short` windows below [`SHORT_BITS`] and `long` above, all of nearly the same width.
    pub(crate) fn new(short: usize, long: usize) -> Self {
        let mut windows = [Window::default(); WINDOWS_MAX];
        let mut half = [0; 4];
        let ends = (0..short)
            .map(|place| (place, short, 0, SHORT_BITS))
            .chain((0..long).map(|place| (place, long, SHORT_BITS, LONG_BITS - SHORT_BITS)));
        for (window, (place, parts, start, bits)) in windows.iter_mut().zip(ends) {
            let boundary = |place: usize| start + (place as u32 * bits) / parts as u32;
            let offset = boundary(place);
            *window = Window { offset, width: boundary(place + 1) - offset };
            let top = offset + window.width - 1;
            half[top as usize / 64] |= 1 << (top % 64);
        }
        Self { windows, count: short + long, short, half }
    }

    /// All windows, or only those that short scalars have.
    pub(crate) fn all(&self) -> &[Window] {
        &self.windows[..self.count]
    }

    /// How many windows short scalars have.
    pub(crate) fn short(&self) -> usize {
        self.short
    }

    /// Width of the widest window.
    pub(crate) fn width_max(&self) -> u32 {
        self.all().iter().map(|window| window.width).max().unwrap_or(0)
    }

    /// The coefficient whose digits are the bits of `random`, and they. With uniform bits it is uniform over 2^128
    /// consecutive integers around zero.
    pub(crate) fn coefficient(&self, random: u128) -> (Coefficient, Shifted) {
        let half = u128::from(self.half[1]) << 64 | u128::from(self.half[0]);
        let coefficient = Coefficient { magnitude: random.abs_diff(half), is_negative: random < half };
        (coefficient, [random as u64, (random >> 64) as u64, 0, 0])
    }

    /// The digits of a scalar below l.
    pub(crate) fn shifted(&self, limbs: [u64; 4]) -> Shifted {
        let mut sum = [0; 4];
        let mut carry = false;
        for place in 0..4 {
            (sum[place], carry) = limbs[place].carrying_add(self.half[place], carry);
        }
        sum
    }
}

impl Window {
    /// The limb in which the window begins, and the one above it, where it may end.
    #[inline(always)]
    pub(crate) fn limbs(self) -> (usize, usize) {
        let limb = self.offset as usize / 64;
        // The top limb has room above the highest window, so whatever is taken for the next one does not count.
        (limb, (limb + 1) % 4)
    }

    /// The signed digit of this window.
    #[inline(always)]
    pub(crate) fn digit(self, shifted: &Shifted) -> i32 {
        let (limb, above) = self.limbs();
        i32::from(self.reader()(shifted[limb], shifted[above]))
    }

    /// What gives the signed digit from the [`limbs`](Self::limbs).
    #[inline(always)]
    pub(crate) fn reader(self) -> impl Fn(u64, u64) -> i16 {
        let (shift, mask, half) = (self.offset % 64, (1 << self.width) - 1, 1 << (self.width - 1));
        // A digit has ten bits at most, so nothing is cut off and nothing overflows.
        move |low: u64, above: u64| {
            (((low >> shift | above.unbounded_shl(64 - shift)) & mask) as i16).wrapping_sub(half)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::scalar::Scalar;

    const DIVISIONS: [(usize, usize); 6] = [(26, 26), (22, 21), (19, 19), (16, 16), (13, 13), (12, 12)];

    /// Σ digit · 2^offset, modulo 2^256 (two's complement).
    fn value(windows: &[Window], shifted: &Shifted) -> [u64; 4] {
        let mut total = [0_u64; 4];
        for window in windows {
            let digit = window.digit(shifted);
            assert!(digit.unsigned_abs() <= 1 << (window.width - 1));
            let mut term = [0; 4];
            let (limb, shift) = (window.offset as usize / 64, window.offset % 64);
            term[limb] = u64::from(digit.unsigned_abs()) << shift;
            if shift > 0 && limb < 3 {
                term[limb + 1] = u64::from(digit.unsigned_abs()) >> (64 - shift);
            }
            let mut carry = digit < 0;
            for place in 0..4 {
                let with = if digit < 0 { !term[place] } else { term[place] };
                (total[place], carry) = total[place].carrying_add(with, carry);
            }
        }
        total
    }

    proptest! {
        #[test]
        fn digits_of_a_scalar_sum_to_it(hash in any::<[u64; 8]>(), at in 0..DIVISIONS.len()) {
            let (short, long) = DIVISIONS[at];
            let windows = Windows::new(short, long);
            let k = crate::scalar::Challenge::from_hash(&hash).scalar();
            for scalar in [k, k.negated(), Scalar::ZERO] {
                prop_assert_eq!(value(windows.all(), &windows.shifted(scalar.limbs())), scalar.limbs());
            }
        }

        #[test]
        fn digits_of_a_coefficient_sum_to_it(
            random in prop_oneof![any::<u128>(), Just(0), Just(u128::MAX), Just(1 << 127)],
            at in 0..DIVISIONS.len(),
        ) {
            let (short, long) = DIVISIONS[at];
            let windows = Windows::new(short, long);
            let (coefficient, shifted) = windows.coefficient(random);
            let magnitude = [coefficient.magnitude as u64, (coefficient.magnitude >> 64) as u64, 0, 0];
            let mut expected = magnitude;
            if coefficient.is_negative {
                let mut carry = true;
                for limb in &mut expected {
                    (*limb, carry) = (!*limb).carrying_add(0, carry);
                }
            }
            prop_assert_eq!(value(&windows.all()[..windows.short()], &shifted), expected);
        }
    }
}
