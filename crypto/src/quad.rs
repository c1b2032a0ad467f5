//! One signature alone: a single point at a time, its four coordinates side by side.
//!
//! [`Lanes`](crate::lanes::Lanes) wants several points to work on. With one signature there is one, but each step of an
//! addition or a doubling is up to four products that do not wait for one another, as Hisil, Wong, Carter and Dawson
//! laid them out, "Twisted Edwards curves revisited" (2008), section 4.4. So an element here is four field elements, those
//! of one point, and what lies between two products are sums with the lanes in another order.
//!
//! Units, tight elements and terms are those of [`lanes`](crate::lanes). Every factor below is tight.

mod portable;
mod single;

pub(crate) use single::{Table, is_good};

use crate::{curve::TWICE_D, lanes::Limbs};

/// Operations on the four coordinates of a point. A mask has one bit per coordinate, the lowest is the first.
pub(crate) trait Quad: Copy + 'static {
    /// Four field elements.
    type Four: Copy + Send + Sync;

    /// Runs `body` compiled for this processor.
    fn run<R>(self, body: impl FnOnce() -> R) -> R;
    /// The element of these four, of limbs that are at most 2^51 + 2^40; tight.
    fn element(self, limbs: &[Limbs; 4]) -> Self::Four;
    /// The inverse of [`element`](Quad::element), of a tight element.
    fn limbs(self, a: Self::Four) -> [Limbs; 4];

    /// a · b, each of two; tight.
    fn mul(self, a: Self::Four, b: Self::Four) -> Self::Four;
    /// a · b, each of two, as a term of a sum and nothing else.
    fn mul_term(self, a: Self::Four, b: Self::Four) -> Self::Four;
    /// a + b.
    fn add(self, a: Self::Four, b: Self::Four) -> Self::Four;
    /// −a in the places of the mask, else a; a has two units at most.
    fn negate<const MASK: u8>(self, a: Self::Four) -> Self::Four;
    /// a in the places of the mask, else zero.
    fn keep<const MASK: u8>(self, a: Self::Four) -> Self::Four;
    /// Place i takes what is in the place that bits 2i and 2i + 1 of `ORDER` say, see [`order`].
    fn permute<const ORDER: i32>(self, a: Self::Four) -> Self::Four;
    /// The same, tight; of at most 6 units.
    fn tight(self, a: Self::Four) -> Self::Four;

    /// Where the multiples of the base point and of 2^128 times it are kept once somebody has computed them.
    fn base(self) -> &'static std::sync::OnceLock<[Table<Self>; 2]>;
}

/// The argument of [`Quad::permute`] that takes place `a` for the first, `b` for the second and so on.
pub(crate) const fn order(a: i32, b: i32, c: i32, d: i32) -> i32 {
    a | b << 2 | c << 4 | d << 6
}

/// X, Y, Z and T of a point x = X/Z, y = Y/Z, T = XY/Z, tight.
#[derive(Clone, Copy)]
pub(crate) struct Point<Q: Quad>(pub(crate) Q::Four);

/// Y − X, Y + X, 2Z and 2dT of a point, tight.
#[derive(Clone, Copy)]
pub(crate) struct Addend<Q: Quad>(pub(crate) Q::Four);

impl<Q: Quad> Point<Q> {
    /// The neutral point.
    #[inline(always)]
    pub(crate) fn identity(quad: Q) -> Self {
        let [zero, one] = [[0; 5], [1, 0, 0, 0, 0]];
        Self(quad.element(&[zero, one, one, zero]))
    }

    /// As additions want it.
    #[inline(always)]
    pub(crate) fn addend(self, quad: Q) -> Addend<Q> {
        let [one, two] = [[1, 0, 0, 0, 0], [2, 0, 0, 0, 0]];
        Addend(quad.mul(self.difference_and_sum(quad), quad.element(&[one, one, two, TWICE_D])))
    }

    /// Y − X, Y + X, Z and T.
    #[inline(always)]
    fn difference_and_sum(self, quad: Q) -> Q::Four {
        let y = quad.permute::<{ order(1, 1, 2, 3) }>(self.0);
        let x = quad.keep::<0b0011>(quad.permute::<{ order(0, 0, 0, 0) }>(self.0));
        quad.tight(quad.add(y, quad.negate::<0b0001>(x)))
    }

    /// 2·self.
    #[inline(always)]
    pub(crate) fn double(self, quad: Q) -> Self {
        // X², Y², Z² and XY.
        let squares = quad.mul_term(
            quad.permute::<{ order(0, 1, 2, 0) }>(self.0),
            quad.permute::<{ order(0, 1, 2, 1) }>(self.0),
        );
        // −E = 2XY, G = X² − Y², 2Z² and H = X² + Y².
        let sums = quad.add(
            quad.permute::<{ order(3, 0, 2, 0) }>(squares),
            quad.negate::<0b0010>(quad.permute::<{ order(3, 1, 2, 1) }>(squares)),
        );
        let g = quad.permute::<{ order(1, 1, 1, 1) }>(sums);
        // E, G, F = 2Z² + G, E; and F, H, G, H.
        let left = quad
            .add(quad.negate::<0b1001>(quad.permute::<{ order(0, 1, 2, 0) }>(sums)), quad.keep::<0b0100>(g));
        let right = quad.add(quad.permute::<{ order(2, 3, 1, 3) }>(sums), quad.keep::<0b0001>(g));
        Self(quad.mul(quad.tight(left), quad.tight(right)))
    }

    /// self + other.
    #[inline(always)]
    pub(crate) fn plus(self, quad: Q, other: &Addend<Q>) -> Self {
        // A = (Y − X)(y − x), B = (Y + X)(y + x), D = 2Zz and C = 2dTt.
        let products = quad.mul_term(self.difference_and_sum(quad), other.0);
        // E = B − A, G = D + C, F = D − C, E; and F, H = B + A, G, H.
        let left = quad.add(
            quad.permute::<{ order(1, 2, 2, 1) }>(products),
            quad.negate::<0b1101>(quad.permute::<{ order(0, 3, 3, 0) }>(products)),
        );
        let right = quad.add(
            quad.permute::<{ order(2, 1, 2, 1) }>(products),
            quad.negate::<0b0001>(quad.permute::<{ order(3, 0, 3, 0) }>(products)),
        );
        Self(quad.mul(quad.tight(left), quad.tight(right)))
    }

    /// self − other.
    #[inline(always)]
    pub(crate) fn minus(self, quad: Q, other: &Addend<Q>) -> Self {
        // As in `plus` with −(x, y) = (−x, y): y − x and y + x change places, and C its sign, so F and G change places.
        let products =
            quad.mul_term(self.difference_and_sum(quad), quad.permute::<{ order(1, 0, 2, 3) }>(other.0));
        let left = quad.add(
            quad.permute::<{ order(1, 2, 2, 1) }>(products),
            quad.negate::<0b1011>(quad.permute::<{ order(0, 3, 3, 0) }>(products)),
        );
        let right = quad.add(
            quad.permute::<{ order(2, 1, 2, 1) }>(products),
            quad.negate::<0b0100>(quad.permute::<{ order(3, 0, 3, 0) }>(products)),
        );
        Self(quad.mul(quad.tight(left), quad.tight(right)))
    }
}

#[cfg(test)]
mod tests;
