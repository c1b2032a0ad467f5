//! The equation of one signature, exactly: `8(s·B − k·A − R) = 0`, by doubling and adding.
//!
//! Half of the doublings are saved with u and v of half the length, u = v·k modulo l: the equation holds if and only if
//! `8((v·s)·B − u·A − v·R) = 0`. For 8 times a point is of order 1 or l, so factors count modulo l, and v is not zero
//! modulo l. What is left long, v·s, is cut in two, the upper half times 2^128·B, which is a constant.
//!
//! u, v and the halves are written with few digits that are not zero, all odd, so that a table of a few odd multiples serves
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

/// Width of the digits of u and v: the multiples of A and R are made anew for every signature.
const FRESH_WIDTH: u32 = 5;
/// Width of the digits of v·s: the base point's multiples are made once.
const BASE_WIDTH: u32 = 8;
/// Digits of half a scalar: 128, and what they carry.
const DIGITS: usize = 129;

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

/// The multiples of the base point B and of 2^128·B.
fn base_tables<Q: Quad>(quad: Q) -> [Table<Q>; 2] {
    let mut base = None;
    decode(Portable, &[BASE_ENCODING], |row| {
        base = row.map(|row| Portable.gather_affine(&[*row], &[0; crate::lanes::LANES_MAX]));
    });
    let low = point(quad, &base.expect("the base point is a point"));
    let high = quad.run(
        #[inline(always)]
        || (0..128).fold(low, |point, _| point.double(quad)),
    );
    [Table::new(quad, low, BASE_WIDTH), Table::new(quad, high, BASE_WIDTH)]
}

/// Whether a signature with challenge `k`, and points `key` and `r` as y + x, y − x and 2dxy, satisfies its equation.
pub(crate) fn is_good<Q: Quad>(quad: Q, k: Scalar, s: Scalar, key: &[Limbs; 3], r: &[Limbs; 3]) -> bool {
    let [low, high] = quad.base().get_or_init(|| base_tables(quad));
    let (of_key, of_r) =
        (Table::new(quad, point(quad, key), FRESH_WIDTH), Table::new(quad, point(quad, r), FRESH_WIDTH));
    let (u, v) = k.halved();
    let [a, b, c, d] = s.times(v).limbs();
    let half = |low: u64, high: u64| u128::from(high) << 64 | u128::from(low);
    // A and, unless v is negative, R are subtracted, the multiples of B added.
    let terms = [
        (digits(half(a, b), BASE_WIDTH, false), low),
        (digits(half(c, d), BASE_WIDTH, false), high),
        (digits(u, FRESH_WIDTH, true), &of_key),
        (digits(v.magnitude, FRESH_WIDTH, !v.is_negative), &of_r),
    ];
    let top = (0..DIGITS).rfind(|&place| terms.iter().any(|(digits, _)| digits[place] != 0));
    let sum = quad.run(
        #[inline(always)]
        || {
            let mut sum = Point::identity(quad);
            for place in (0..top.map_or(0, |top| top + 1)).rev() {
                sum = sum.double(quad);
                for (digits, table) in &terms {
                    sum = match digits[place] {
                        0 => sum,
                        digit @ 1.. => sum.plus(quad, &table.0[digit as usize / 2]),
                        digit => sum.minus(quad, &table.0[digit.unsigned_abs() as usize / 2]),
                    };
                }
            }
            quad.limbs(sum.double(quad).double(quad).double(quad).0)
        },
    );
    let [x, y, z, _] = sum.map(reduced);
    x == [0; 5] && y == z
}

/// Digits d with Σ d·2^place = half a scalar, or minus that, each zero or odd and below 2^(width − 1) in absolute value, and
/// after one that is not zero at least width − 1 that are.
fn digits(scalar: u128, width: u32, is_negative: bool) -> [i8; DIGITS] {
    let mut digits = [0; DIGITS];
    let (mut place, mut carry) = (0, 0);
    while place < DIGITS {
        let window = (scalar.unbounded_shr(place as u32) as u64 & ((1 << width) - 1)) + carry;
        if window.is_multiple_of(2) {
            place += 1;
            continue;
        }
        carry = u64::from(window >= 1 << (width - 1));
        let digit = (window as i64 - ((carry as i64) << width)) as i8;
        digits[place] = if is_negative { -digit } else { digit };
        place += width as usize;
    }
    digits
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn digits_sum_to_the_scalar_and_are_sparse(
            scalar in prop_oneof![any::<u128>(), Just(0), Just(u128::MAX), Just(1 << 127)],
            width in 2..=8_u32,
            is_negative: bool,
        ) {
            let digits = digits(scalar, width, is_negative);
            // Modulo 2^128; the last digit is the carry alone.
            let (mut sum, mut zeros) = (0_u128, width);
            for digit in digits.iter().rev() {
                sum = sum.wrapping_mul(2).wrapping_add_signed(i128::from(*digit));
                if *digit == 0 {
                    zeros += 1;
                } else {
                    prop_assert!(digit % 2 != 0 && u32::from(digit.unsigned_abs()) < 1 << (width - 1));
                    prop_assert!(zeros + 1 >= width);
                    zeros = 0;
                }
            }
            prop_assert_eq!(sum, if is_negative { scalar.wrapping_neg() } else { scalar });
            prop_assert!(digits[128] == 0 || scalar >> 127 == 1 && (digits[128] < 0) == is_negative);
        }
    }
}
