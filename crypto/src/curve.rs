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

impl<L: Lanes> Point<L> {
    /// The neutral point in every lane.
    #[inline(always)]
    pub(crate) fn identity(lanes: L) -> Self {
        let (zero, one) = (lanes.splat(&[0; 5]), lanes.splat(&ONE));
        Self { x: zero, y: one, z: one, t: zero }
    }

    /// The affine points of rows, negated in the lanes of `negative`.
    #[inline(always)]
    pub(crate) fn from_affine(lanes: L, row: &[L::Element; 3], negative: u8) -> Self {
        // The row is y + x, y − x and 2dxy; with Z = 2 the coordinates are 2x, 2y and T = 2xy.
        let (plus, minus) = swapped(lanes, negative, row[0], row[1]);
        let t = lanes.mul(row[2], lanes.splat(&D_INVERSE));
        let minus_t = lanes.sub(lanes.splat(&[0; 5]), t);
        Self {
            x: lanes.tight(lanes.sub(plus, minus)),
            y: lanes.tight(lanes.add(plus, minus)),
            z: lanes.splat(&TWO),
            t: lanes.select(negative, t, lanes.tight(minus_t)),
        }
    }

    /// self plus affine points, those in the lanes of `negative` subtracted.
    #[inline(always)]
    pub(crate) fn add_affine(self, lanes: L, row: &[L::Element; 3], negative: u8) -> Self {
        let [a, b, c] = self.products(lanes, [row[0], row[1], row[2]], negative);
        sum(lanes, a, b, lanes.twice_minus(self.z, c), lanes.twice_plus(self.z, c), negative)
    }

    /// self plus points in the form of [`cached`](Self::cached), those in the lanes of `negative` subtracted.
    #[inline(always)]
    pub(crate) fn add_extended(self, lanes: L, row: &[L::Element; 4], negative: u8) -> Self {
        let [a, b, c] = self.products(lanes, [row[0], row[1], row[3]], negative);
        let d = lanes.mul_term(self.z, row[2]);
        sum(lanes, a, b, lanes.sub(d, c), lanes.add(d, c), negative)
    }

    /// (Y1 − X1)(y2 − x2), (Y1 + X1)(y2 + x2) and T1 · 2dT2.
    #[inline(always)]
    fn products(self, lanes: L, [plus, minus, t]: [L::Element; 3], negative: u8) -> [L::Element; 3] {
        // −(x, y) = (−x, y): y + x and y − x change places. T changes its sign too, which `sum` takes care of.
        let (plus, minus) = swapped(lanes, negative, plus, minus);
        [
            lanes.mul_term(lanes.factor(lanes.sub(self.y, self.x)), minus),
            lanes.mul_term(lanes.factor(lanes.add(self.y, self.x)), plus),
            lanes.mul_term(self.t, t),
        ]
    }

    /// 2·self.
    #[inline(always)]
    pub(crate) fn double(self, lanes: L) -> Self {
        let a = lanes.square_term(self.x);
        let b = lanes.square_term(self.y);
        let z = lanes.square_term(self.z);
        let both = lanes.square_term(lanes.tight(lanes.add(self.x, self.y)));
        let h = lanes.tight(lanes.add(a, b));
        let e = lanes.factor(lanes.sub(h, both));
        let difference = lanes.sub(a, b);
        let g = lanes.factor(difference);
        let f = lanes.tight(lanes.twice_plus(z, difference));
        Self { x: lanes.mul(e, f), y: lanes.mul(g, h), z: lanes.mul(f, g), t: lanes.mul(e, h) }
    }

    /// Y + X, Y − X, 2Z and 2dT, as additions want it.
    #[inline(always)]
    pub(crate) fn cached(self, lanes: L) -> [L::Element; 4] {
        [
            lanes.tight(lanes.add(self.y, self.x)),
            lanes.tight(lanes.sub(self.y, self.x)),
            lanes.tight(lanes.add(self.z, self.z)),
            lanes.mul(self.t, lanes.splat(&TWICE_D)),
        ]
    }

    /// X, Y, Z and T.
    #[inline(always)]
    pub(crate) fn coordinates(&self) -> [L::Element; 4] {
        [self.x, self.y, self.z, self.t]
    }

    /// The lanes whose point times the cofactor 8 is neutral.
    #[inline(always)]
    pub(crate) fn is_small_order(self, lanes: L) -> u8 {
        let eightfold = self.double(lanes).double(lanes).double(lanes);
        lanes.is_zero(eightfold.x) & lanes.is_zero(lanes.sub(eightfold.y, eightfold.z))
    }

    /// The sum of the points of all lanes, in every lane.
    #[inline(always)]
    pub(crate) fn folded(self, lanes: L) -> Self {
        let rows: [ExtendedRow; LANES_MAX] = lanes.extended_rows(&self.cached(lanes));
        let mut sum = Self::identity(lanes);
        for lane in 0..L::COUNT {
            sum = sum.add_extended(lanes, &lanes.gather_extended(&rows, &[lane as u32; LANES_MAX]), 0);
        }
        sum
    }
}

/// The end of an addition, with f = 2·Z1·Z2 − c and g = 2·Z1·Z2 + c, which are exchanged where c has the wrong sign.
#[inline(always)]
fn sum<L: Lanes>(
    lanes: L,
    a: L::Element,
    b: L::Element,
    f: L::Element,
    g: L::Element,
    negative: u8,
) -> Point<L> {
    let (e, h) = (lanes.tight(lanes.sub(b, a)), lanes.factor(lanes.add(b, a)));
    let (f, g) = swapped(lanes, negative, f, g);
    let (f, g) = (lanes.factor(f), lanes.tight(g));
    Point { x: lanes.mul(e, f), y: lanes.mul(g, h), z: lanes.mul(f, g), t: lanes.mul(e, h) }
}

/// (b, a) in the lanes of the mask, else (a, b).
#[inline(always)]
fn swapped<L: Lanes>(lanes: L, mask: u8, a: L::Element, b: L::Element) -> (L::Element, L::Element) {
    (lanes.select(mask, a, b), lanes.select(mask, b, a))
}

const ONE: Limbs = [1, 0, 0, 0, 0];
const TWO: Limbs = [2, 0, 0, 0, 0];
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
const D_INVERSE: Limbs = [
    266_592_072_628_291,
    853_561_038_980_284,
    1_943_101_592_401_754,
    2_007_251_003_935_334,
    1_135_829_554_646_364,
];

#[cfg(test)]
pub(crate) mod tests;
