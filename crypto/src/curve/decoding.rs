//! From 32 bytes to points (RFC 8032, section 5.1.3, without its two refusals, as ZIP-215 wants it: y of p and above,
//! and a sign bit on x = 0, are accepted).

use super::{D, ONE, TWICE_D};
use crate::{
    lanes::{AffineRow, LANES_MAX, LIMB_MASK, Lanes, Limbs},
    scalar::limbs_of,
};

/// Decodes `encodings` and hands the row of each, in order, to `take`; none for bytes that encode no point.
pub(crate) fn decode<L: Lanes>(lanes: L, encodings: &[[u8; 32]], mut take: impl FnMut(Option<&AffineRow>)) {
    // The chain of squarings is long and each waits for the one before; other groups of lanes fill its pauses. Four
    // keep any processor busy.
    let rest = decode_by::<L, 4>(lanes, encodings, &mut take);
    let rest = decode_by::<L, 2>(lanes, rest, &mut take);
    let rest = decode_by::<L, 1>(lanes, rest, &mut take);
    if let Some(last) = rest.last() {
        // Lanes left over decode whatever the last one does.
        let mut padded = [*last; LANES_MAX];
        padded[..rest.len()].copy_from_slice(rest);
        let mut given = 0;
        decode_by::<L, 1>(lanes, &padded[..L::COUNT], &mut |row| {
            given += 1;
            if given <= rest.len() {
                take(row);
            }
        });
    }
}

/// Decodes as many as fill whole steps of `GROUPS` groups; gives back those left.
fn decode_by<'a, L: Lanes, const GROUPS: usize>(
    lanes: L,
    encodings: &'a [[u8; 32]],
    take: &mut impl FnMut(Option<&AffineRow>),
) -> &'a [[u8; 32]] {
    let steps = encodings.chunks_exact(GROUPS * L::COUNT);
    let rest = steps.remainder();
    for encodings in steps {
        let (rows, points) = decode_groups::<L, GROUPS>(lanes, encodings);
        for (rows, points) in rows.iter().zip(points) {
            for (lane, row) in rows.iter().enumerate().take(L::COUNT) {
                take((points >> lane & 1 == 1).then_some(row));
            }
        }
    }
    rest
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

/// The rows of `GROUPS` full groups and, as masks, which are of points.
fn decode_groups<L: Lanes, const GROUPS: usize>(
    lanes: L,
    encodings: &[[u8; 32]],
) -> ([[AffineRow; LANES_MAX]; GROUPS], [u8; GROUPS]) {
    let mut limbs = [[[0; LANES_MAX]; 5]; GROUPS];
    let mut signs = [0; GROUPS];
    for (place, encoding) in encodings.iter().enumerate() {
        let (group, lane) = (place / L::COUNT, place % L::COUNT);
        for (limb, value) in y_limbs(encoding).into_iter().enumerate() {
            limbs[group][limb][lane] = value;
        }
        signs[group] |= (encoding[31] >> 7) << lane;
    }
    lanes.run(
        #[inline(always)]
        || {
            let one = lanes.splat(&ONE);
            let mut y = [one; GROUPS];
            let (mut u, mut v, mut uv3, mut uv7) = (y, y, y, y);
            for group in 0..GROUPS {
                // x² = u/v = (y² − 1)/(dy² + 1).
                y[group] = lanes.element(&limbs[group]);
                let yy = lanes.square(y[group]);
                u[group] = lanes.tight(lanes.sub(yy, one));
                v[group] = lanes.tight(lanes.add(lanes.mul(yy, lanes.splat(&D)), one));
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
                let minus_x = lanes.tight(lanes.sub(lanes.splat(&[0; 5]), x));
                let x = lanes.select(lanes.is_odd(x) ^ signs[group], x, minus_x);
                let dxy = lanes.mul(lanes.mul(x, y), lanes.splat(&TWICE_D));
                rows[group] =
                    lanes.affine_rows(&[lanes.tight(lanes.add(y, x)), lanes.tight(lanes.sub(y, x)), dxy]);
                valid[group] = is_root | is_root_of_negative;
            }
            (rows, valid)
        },
    )
}

/// a^(2^252 − 3), the power (p − 5)/8, in each group: 251 squarings and 11 products.
#[inline(always)]
fn to_the_root_power<L: Lanes, const GROUPS: usize>(
    lanes: L,
    a: [L::Element; GROUPS],
) -> [L::Element; GROUPS] {
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
fn product<L: Lanes, const GROUPS: usize>(
    lanes: L,
    a: [L::Element; GROUPS],
    b: [L::Element; GROUPS],
) -> [L::Element; GROUPS] {
    let mut products = a;
    for group in 0..GROUPS {
        products[group] = lanes.mul(a[group], b[group]);
    }
    products
}

/// a^(2^`times`) in each group. Not inlined, since ten copies of it would not leave room for anything else in the
/// instruction cache.
#[inline(never)]
fn squared<L: Lanes, const GROUPS: usize>(
    lanes: L,
    mut a: [L::Element; GROUPS],
    times: usize,
) -> [L::Element; GROUPS] {
    lanes.run(
        #[inline(always)]
        || {
            for _ in 0..times {
                for element in &mut a {
                    *element = lanes.square(*element);
                }
            }
            a
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
