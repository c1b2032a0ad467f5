//! The equation of one signature, exactly: `8(s·B − k·A − R) = 0`, by doubling and adding.
//!
//! k and s are written with few digits that are not zero, all odd, so that a table of a few odd multiples serves
//! (Solinas, "Efficient arithmetic on Koblitz curves" (2000), section 4: the width-w non-adjacent form).

use super::{Addend, Point, Quad};
use crate::{
    batch::BASE_ENCODING,
    curve::{self, decoding::decode},
    lanes::{
        Lanes, Limbs,
        portable::{Portable, reduced},
    },
    scalar::Scalar,
};

/// Width of the digits of k: those of A's multiples are made anew for every signature.
const KEY_WIDTH: u32 = 5;
/// Width of the digits of s: the base point's multiples are made once.
const BASE_WIDTH: u32 = 8;
/// Digits of a scalar; the last ones of a scalar below 2^253 are zero or a carry.
const DIGITS: usize = 256;

/// The odd multiples 1, 3, 5, … of a point.
pub(crate) struct Table<Q: Quad>(Vec<Addend<Q>>);

impl<Q: Quad> Table<Q> {
    /// As many as digits of this width need.
    fn new(quad: Q, point: Point<Q>, width: u32) -> Self {
        let mut multiples = Vec::with_capacity(1 << (width - 2));
        quad.run(
            #[inline(always)]
            || {
                let twice = point.double(quad).addend(quad);
                let mut multiple = point;
                multiples.push(multiple.addend(quad));
                for _ in 1..1 << (width - 2) {
                    multiple = multiple.plus(quad, &twice);
                    multiples.push(multiple.addend(quad));
                }
            },
        );
        Self(multiples)
    }
}

/// The point that an affine row's y + x, y − x and 2dxy are of.
fn point<Q: Quad>(quad: Q, [plus, minus, dxy]: &[Limbs; 3]) -> Point<Q> {
    let sum = curve::Sum::from_affine(Portable, &[*plus, *minus, *dxy], 0);
    let [x, y, z, t] = sum.point(Portable).coordinates();
    let limbs = [x, y, z, t].map(|value| Lanes::tight(Portable, value));
    quad.run(
        #[inline(always)]
        || Point(quad.element(&limbs)),
    )
}

/// Whether a signature with challenge `k`, and points `key` and `r` as y + x, y − x and 2dxy, satisfies its equation.
pub(crate) fn is_good<Q: Quad>(quad: Q, k: Scalar, s: Scalar, key: &[Limbs; 3], r: &[Limbs; 3]) -> bool {
    let base = quad.base().get_or_init(|| {
        let mut base = None;
        decode(Portable, &[BASE_ENCODING], |row| {
            base = row.map(|row| Portable.gather_affine(&[*row], &[0; crate::lanes::LANES_MAX]));
        });
        Table::new(quad, point(quad, &base.expect("the base point is a point")), BASE_WIDTH)
    });
    let table = Table::new(quad, point(quad, key), KEY_WIDTH);
    let (of_key, of_base) = (digits(k.limbs(), KEY_WIDTH), digits(s.limbs(), BASE_WIDTH));
    let r = point(quad, r);
    let sum = quad.run(
        #[inline(always)]
        || {
            let mut sum = Point::identity(quad);
            let top = (0..DIGITS).rfind(|&place| of_key[place] != 0 || of_base[place] != 0);
            for place in (0..top.map_or(0, |top| top + 1)).rev() {
                sum = sum.double(quad);
                // A is subtracted, B added.
                sum = match of_key[place] {
                    0 => sum,
                    digit @ 1.. => sum.minus(quad, &table.0[digit as usize / 2]),
                    digit => sum.plus(quad, &table.0[digit.unsigned_abs() as usize / 2]),
                };
                sum = match of_base[place] {
                    0 => sum,
                    digit @ 1.. => sum.plus(quad, &base.0[digit as usize / 2]),
                    digit => sum.minus(quad, &base.0[digit.unsigned_abs() as usize / 2]),
                };
            }
            quad.limbs(sum.minus(quad, &r.addend(quad)).double(quad).double(quad).double(quad).0)
        },
    );
    let [x, y, z, _] = sum.map(reduced);
    x == [0; 5] && y == z
}

/// Digits d with Σ d·2^place = scalar, each zero or odd and below 2^(width − 1) in absolute value, and after one that is not
/// zero at least width − 1 that are.
fn digits(scalar: [u64; 4], width: u32) -> [i8; DIGITS] {
    let mut digits = [0; DIGITS];
    let (mut place, mut carry) = (0, 0);
    while place < DIGITS {
        let (limb, shift) = (place / 64, place % 64);
        let above = scalar.get(limb + 1).map_or(0, |above| above.checked_shl(64 - shift as u32).unwrap_or(0));
        let window = ((scalar[limb] >> shift | above) & ((1 << width) - 1)) + carry;
        if window.is_multiple_of(2) {
            place += 1;
            continue;
        }
        carry = u64::from(window >= 1 << (width - 1));
        digits[place] = (window as i64 - ((carry as i64) << width)) as i8;
        place += width as usize;
    }
    digits
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::scalar::Challenge;

    proptest! {
        #[test]
        fn digits_sum_to_the_scalar_and_are_sparse(hash in any::<[u64; 8]>(), width in 2..=8_u32) {
            let scalar = Challenge::from_hash(&hash).scalar();
            for scalar in [scalar, scalar.negated(), Scalar::ZERO] {
                let digits = digits(scalar.limbs(), width);
                let (mut sum, mut zeros) = (Scalar::ZERO, width);
                for digit in digits.iter().rev() {
                    sum = sum.plus(sum);
                    let magnitude = Scalar::small(u64::from(digit.unsigned_abs()));
                    sum = sum.plus(if *digit < 0 { magnitude.negated() } else { magnitude });
                    if *digit == 0 {
                        zeros += 1;
                    } else {
                        prop_assert!(digit % 2 != 0 && u32::from(digit.unsigned_abs()) < 1 << (width - 1));
                        prop_assert!(zeros + 1 >= width);
                        zeros = 0;
                    }
                }
                prop_assert_eq!(sum, scalar);
            }
        }
    }
}
