//! From 32 bytes to points (RFC 8032, section 5.1.3, without its two refusals, as ZIP-215 wants it: y of p and above,
//! and a sign bit on x = 0, are accepted).

use super::{D, ONE, TWICE_D};
use crate::{
    lanes::{AffineRow, LANES_MAX, LIMB_MASK, Lanes, Limbs},
    scalar::limbs_of,
};

/// Groups of lanes that are decoded together: the chain of squarings is long, and a second one fills its pauses.
const GROUPS: usize = 2;

/// Decodes `encodings` into `rows`, one each; says for each whether it is a point. Rows of those that are none are
/// unspecified.
pub(crate) fn decode<L: Lanes>(lanes: L, encodings: &[[u8; 32]], rows: &mut [AffineRow], valid: &mut [bool]) {
    assert!(
        encodings.len() == rows.len() && rows.len() == valid.len(),
        "one row and one verdict per encoding"
    );
    let step = GROUPS * L::COUNT;
    for ((encodings, rows), valid) in
        encodings.chunks(step).zip(rows.chunks_mut(step)).zip(valid.chunks_mut(step))
    {
        let mut y = [[[0; LANES_MAX]; 5]; GROUPS];
        let mut signs = [0; GROUPS];
        for (place, encoding) in encodings.iter().enumerate() {
            let (group, lane) = (place / L::COUNT, place % L::COUNT);
            for (limb, value) in y_limbs(encoding).into_iter().enumerate() {
                y[group][limb][lane] = value;
            }
            signs[group] |= (encoding[31] >> 7) << lane;
        }
        let (decoded, points) = decode_groups(lanes, &y, signs);
        for (group, (decoded, points)) in decoded.iter().zip(points).enumerate() {
            for lane in 0..L::COUNT {
                if let Some(row) = rows.get_mut(group * L::COUNT + lane) {
                    *row = decoded[lane];
                    valid[group * L::COUNT + lane] = points >> lane & 1 == 1;
                }
            }
        }
    }
}

/// The limbs of y: all bits but the sign of x.
fn y_limbs(encoding: &[u8; 32]) -> Limbs {
    let [a, b, c, d] = limbs_of(encoding);
    [
        a & LIMB_MASK,
        (a >> 51 | b << 13) & LIMB_MASK,
        (b >> 38 | c << 26) & LIMB_MASK,
        (c >> 25 | d << 39) & LIMB_MASK,
        d >> 12 & LIMB_MASK,
    ]
}

/// The rows and, as a mask, which are of points.
fn decode_groups<L: Lanes>(
    lanes: L,
    y: &[[[u64; LANES_MAX]; 5]; GROUPS],
    signs: [u8; GROUPS],
) -> ([[AffineRow; LANES_MAX]; GROUPS], [u8; GROUPS]) {
    lanes.run(
        #[inline(always)]
        || {
            let one = lanes.splat(&ONE);
            let y = [lanes.element(&y[0]), lanes.element(&y[1])];
            let (mut u, mut v, mut uv3, mut uv7) = (y, y, y, y);
            for group in 0..GROUPS {
                // x² = u/v = (y² − 1)/(dy² + 1).
                let yy = lanes.square(y[group]);
                u[group] = lanes.sub(yy, one);
                v[group] = lanes.add(lanes.mul(yy, lanes.splat(&D)), one);
                let v3 = lanes.mul(lanes.square(v[group]), v[group]);
                uv3[group] = lanes.mul(u[group], v3);
                uv7[group] = lanes.mul(lanes.mul(lanes.square(v3), v[group]), u[group]);
            }
            let root = to_the_root_power(lanes, uv7);
            let mut rows = [[AffineRow::IDENTITY; LANES_MAX]; GROUPS];
            let mut valid = [0; GROUPS];
            for group in 0..GROUPS {
                let (y, u, v) = (y[group], u[group], v[group]);
                // x = uv³(uv⁷)^((p−5)/8) is a root of u/v, or of −u/v and then √−1·x is one of u/v, or there is none.
                let x = lanes.mul(uv3[group], root[group]);
                let vxx = lanes.mul(lanes.square(x), v);
                let is_root = lanes.is_zero(lanes.sub(vxx, u));
                let is_root_of_negative = lanes.is_zero(lanes.add(vxx, u));
                let other = lanes.mul(x, lanes.splat(&ROOT_OF_MINUS_ONE));
                let x = lanes.select(is_root, other, x);
                let minus_x = lanes.sub(lanes.splat(&[0; 5]), x);
                let x = lanes.select(lanes.is_odd(x) ^ signs[group], x, minus_x);
                let dxy = lanes.mul(lanes.mul(x, y), lanes.splat(&TWICE_D));
                rows[group] = lanes.affine_rows(&[lanes.add(y, x), lanes.sub(y, x), dxy]);
                valid[group] = is_root | is_root_of_negative;
            }
            (rows, valid)
        },
    )
}

/// a^(2^252 − 3), the power (p − 5)/8, in each group: 251 squarings and 11 products.
#[inline(always)]
fn to_the_root_power<L: Lanes>(lanes: L, a: [L::Element; GROUPS]) -> [L::Element; GROUPS] {
    // The names say the exponent: `ones_n` is a^(2^n − 1).
    let a2 = squared(lanes, a, 1);
    let a8 = squared(lanes, a2, 2);
    let a9 = product(lanes, a8, a);
    let a11 = product(lanes, a9, a2);
    let a22 = squared(lanes, a11, 1);
    let ones_5 = product(lanes, a22, a9);
    let ones_10 = product(lanes, squared(lanes, ones_5, 5), ones_5);
    let ones_20 = product(lanes, squared(lanes, ones_10, 10), ones_10);
    let ones_40 = product(lanes, squared(lanes, ones_20, 20), ones_20);
    let ones_50 = product(lanes, squared(lanes, ones_40, 10), ones_10);
    let ones_100 = product(lanes, squared(lanes, ones_50, 50), ones_50);
    let ones_200 = product(lanes, squared(lanes, ones_100, 100), ones_100);
    let ones_250 = product(lanes, squared(lanes, ones_200, 50), ones_50);
    product(lanes, squared(lanes, ones_250, 2), a)
}

/// a·b in each group.
#[inline(always)]
fn product<L: Lanes>(lanes: L, a: [L::Element; GROUPS], b: [L::Element; GROUPS]) -> [L::Element; GROUPS] {
    [lanes.mul(a[0], b[0]), lanes.mul(a[1], b[1])]
}

/// a^(2^`times`) in each group. Not inlined, since ten copies of it would not leave room for anything else in the
/// instruction cache.
#[inline(never)]
fn squared<L: Lanes>(lanes: L, a: [L::Element; GROUPS], times: usize) -> [L::Element; GROUPS] {
    lanes.run(
        #[inline(always)]
        || {
            let [mut first, mut second] = a;
            for _ in 0..times {
                (first, second) = (lanes.square(first), lanes.square(second));
            }
            [first, second]
        },
    )
}

/// A square root of −1, 2^((p−1)/4).
const ROOT_OF_MINUS_ONE: Limbs = [
    1_718_705_420_411_056,
    234_908_883_556_509,
    2_233_514_472_574_048,
    2_117_202_627_021_982,
    765_476_049_583_133,
];
