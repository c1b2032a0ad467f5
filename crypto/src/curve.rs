//! Points of the curve −x² + y² = 1 + dx²y² over the integers modulo 2^255 − 19, one per lane.
//!
//! Formulas: Hisil, Wong, Carter, Dawson, "Twisted Edwards curves revisited" (2008), section 3. They hold for every
//! pair of points of this curve, equal, opposite, neutral and of small order included, so nothing here branches on
//! what the points are.

pub(crate) mod decoding;

use crate::lanes::{ExtendedRow, LANES_MAX, Lanes, Limbs};

/// A point per lane in extended coordinates: x = X/Z, y = Y/Z, T = XY/Z.
#[derive(Clone, Copy)]
pub(crate) struct Point<L: Lanes> {
    x: L::Element,
    y: L::Element,
    z: L::Element,
    t: L::Element,
}

/// A point per lane as additions want their first operand: Y − X and Y + X, both factors, Z, which may be a term, and T.
#[derive(Clone, Copy)]
pub(crate) struct Sum<L: Lanes> {
    minus: L::Element,
    plus: L::Element,
    z: L::Element,
    t: L::Element,
}

/// A point per lane before the last products of an addition or a doubling, X = EF, Y = GH, Z = FG and T = EH: which of
/// them are needed, and in which form, depends on what comes next. All are factors; of E and F, G and H, F and G, and E and
/// H at least one is tight.
#[derive(Clone, Copy)]
pub(crate) struct Parts<L: Lanes> {
    e: L::Element,
    f: L::Element,
    g: L::Element,
    h: L::Element,
}

impl<L: Lanes> Point<L> {
    /// X, Y, Z and T.
    #[inline(always)]
    pub(crate) fn coordinates(&self) -> [L::Element; 4] {
        [self.x, self.y, self.z, self.t]
    }
}

impl<L: Lanes> Sum<L> {
    /// The neutral point in every lane.
    #[inline(always)]
    pub(crate) fn identity(lanes: L) -> Self {
        let (zero, one) = (lanes.splat(&[0; 5]), lanes.splat(&ONE));
        Self { minus: one, plus: one, z: one, t: zero }
    }

    /// The affine points of rows, negated in the lanes of `negative`.
    #[inline(always)]
    pub(crate) fn from_affine(lanes: L, row: &[L::Element; 3], negative: u8) -> Self {
        let (plus, minus) = swapped(lanes, negative, row[0], row[1]);
        let t = lanes.mul(row[2], lanes.splat(&TWICE_D_INVERSE));
        let minus_t = lanes.tight(lanes.sub(lanes.splat(&[0; 5]), t));
        Self { minus, plus, z: lanes.splat(&ONE), t: lanes.select(negative, t, minus_t) }
    }

    /// self plus affine points, those in the lanes of `negative` subtracted.
    #[inline(always)]
    pub(crate) fn add_affine(self, lanes: L, row: &[L::Element; 3], negative: u8) -> Parts<L> {
        let [a, b, c] = self.products(lanes, [row[0], row[1], row[2]], negative);
        Parts::of_sum(lanes, a, b, lanes.twice_minus(self.z, c), lanes.twice_plus(self.z, c), negative)
    }

    /// self plus points in the form of [`cached`](Self::cached), those in the lanes of `negative` subtracted.
    #[inline(always)]
    pub(crate) fn add_extended(self, lanes: L, row: &[L::Element; 4], negative: u8) -> Parts<L> {
        let [a, b, c] = self.products(lanes, [row[0], row[1], row[3]], negative);
        let d = lanes.mul_term(lanes.factor(self.z), row[2]);
        Parts::of_sum(lanes, a, b, lanes.sub(d, c), lanes.add(d, c), negative)
    }

    /// (Y1 − X1)(y2 − x2), (Y1 + X1)(y2 + x2) and T1 · 2dT2.
    #[inline(always)]
    fn products(self, lanes: L, [plus, minus, t]: [L::Element; 3], negative: u8) -> [L::Element; 3] {
        // −(x, y) = (−x, y): y + x and y − x change places. T changes its sign too, which `of_sum` takes care of.
        let (plus, minus) = swapped(lanes, negative, plus, minus);
        [lanes.mul_term(self.minus, minus), lanes.mul_term(self.plus, plus), lanes.mul_term(self.t, t)]
    }

    /// Y + X, Y − X, 2Z and 2dT, tight, as additions want their second operand.
    #[inline(always)]
    pub(crate) fn cached(self, lanes: L) -> [L::Element; 4] {
        [
            lanes.tight(self.plus),
            lanes.tight(self.minus),
            lanes.tight(lanes.add(self.z, self.z)),
            lanes.mul(self.t, lanes.splat(&TWICE_D)),
        ]
    }

    /// The same point by its coordinates.
    #[inline(always)]
    pub(crate) fn point(self, lanes: L) -> Point<L> {
        // All of them twice, since the first two are.
        Point {
            x: lanes.tight(lanes.sub(self.plus, lanes.tight(self.minus))),
            y: lanes.tight(lanes.add(self.plus, self.minus)),
            z: lanes.tight(lanes.add(self.z, self.z)),
            t: lanes.tight(lanes.add(self.t, self.t)),
        }
    }
}

impl<L: Lanes> Parts<L> {
    /// The neutral point in every lane.
    #[inline(always)]
    pub(crate) fn identity(lanes: L) -> Self {
        let (zero, one) = (lanes.splat(&[0; 5]), lanes.splat(&ONE));
        Self { e: zero, f: one, g: one, h: one }
    }

    /// The end of an addition, with f = 2·Z1·Z2 − c and g = 2·Z1·Z2 + c, which are exchanged where c has the wrong sign.
    #[inline(always)]
    fn of_sum(lanes: L, a: L::Element, b: L::Element, f: L::Element, g: L::Element, negative: u8) -> Self {
        let (f, g) = swapped(lanes, negative, f, g);
        Self {
            e: lanes.tight(lanes.sub(b, a)),
            f: lanes.factor(f),
            g: lanes.tight(g),
            h: lanes.factor(lanes.add(b, a)),
        }
    }

    /// As an addition wants it.
    #[inline(always)]
    pub(crate) fn sum(self, lanes: L) -> Sum<L> {
        let x = lanes.mul_term(self.e, self.f);
        let y = lanes.mul_term(self.g, self.h);
        Sum {
            minus: lanes.factor(lanes.sub(y, x)),
            plus: lanes.factor(lanes.add(y, x)),
            z: lanes.mul_term(self.f, self.g),
            t: lanes.mul(self.e, self.h),
        }
    }

    /// By its coordinates.
    #[inline(always)]
    pub(crate) fn point(self, lanes: L) -> Point<L> {
        Point {
            x: lanes.mul(self.e, self.f),
            y: lanes.mul(self.g, self.h),
            z: lanes.mul(self.f, self.g),
            t: lanes.mul(self.e, self.h),
        }
    }

    /// Twice the point. Of what it is by its coordinates, T is not needed.
    #[inline(always)]
    pub(crate) fn double(self, lanes: L) -> Self {
        let (x, y) = (lanes.mul(self.e, self.f), lanes.mul(self.g, self.h));
        let a = lanes.square_term(x);
        let b = lanes.square_term(y);
        let z = lanes.square_term(lanes.mul(self.f, self.g));
        let both = lanes.square_term(lanes.tight(lanes.add(x, y)));
        let h = lanes.tight(lanes.add(a, b));
        let difference = lanes.sub(a, b);
        Self {
            e: lanes.factor(lanes.sub(h, both)),
            f: lanes.tight(lanes.twice_plus(z, difference)),
            g: lanes.factor(difference),
            h,
        }
    }

    /// The lanes whose point times the cofactor 8 is neutral.
    #[inline(always)]
    pub(crate) fn is_small_order(self, lanes: L) -> u8 {
        let Point { x, y, z, .. } = self.double(lanes).double(lanes).double(lanes).point(lanes);
        lanes.is_zero(x) & lanes.is_zero(lanes.sub(y, z))
    }

    /// The sum of the points of all lanes, in every lane.
    #[inline(always)]
    pub(crate) fn folded(self, lanes: L) -> Self {
        let rows: [ExtendedRow; LANES_MAX] = lanes.extended_rows(&self.sum(lanes).cached(lanes));
        let mut sum = Self::identity(lanes);
        for lane in 0..L::COUNT {
            sum = sum.sum(lanes).add_extended(
                lanes,
                &lanes.gather_extended(&rows, &[lane as u32; LANES_MAX]),
                0,
            );
        }
        sum
    }
}

/// (b, a) in the lanes of the mask, else (a, b).
#[inline(always)]
fn swapped<L: Lanes>(lanes: L, mask: u8, a: L::Element, b: L::Element) -> (L::Element, L::Element) {
    (lanes.select(mask, a, b), lanes.select(mask, b, a))
}

const ONE: Limbs = [1, 0, 0, 0, 0];
/// d = −121665/121666.
const D: Limbs = [
    929_955_233_495_203,
    466_365_720_129_213,
    1_662_059_464_998_953,
    2_033_849_074_728_123,
    1_442_794_654_840_575,
];
pub(crate) const TWICE_D: Limbs = [
    1_859_910_466_990_425,
    932_731_440_258_426,
    1_072_319_116_312_658,
    1_815_898_335_770_999,
    633_789_495_995_903,
];
const TWICE_D_INVERSE: Limbs = [
    133_296_036_314_136,
    426_780_519_490_142,
    971_550_796_200_877,
    1_003_625_501_967_667,
    1_693_814_684_165_806,
];

#[cfg(test)]
pub(crate) mod tests;
