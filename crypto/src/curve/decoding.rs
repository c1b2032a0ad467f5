//! From 32 bytes to points (RFC 8032, section 5.1.3, without its two refusals, as ZIP-215 wants it: y of p and above,
//! and a sign bit on x = 0, are accepted).

use super::{D, ONE, TWICE_D};
use crate::{
    lanes::{AffineRow, Exact, LANES_MAX, LIMB_MASK, Lanes, Limbs, all_lanes},
    power,
    scalar::limbs_of,
};

/// Decodes `encodings` and hands the row of each, in order, to `take`; none for bytes that encode no point.
pub(crate) fn decode<L: Lanes>(lanes: L, encodings: &[[u8; 32]], mut take: impl FnMut(Option<&AffineRow>)) {
    // The chain of squarings is long and each waits for the one before; other groups of lanes fill its pauses. Four
    // keep any processor busy.
    let rest = decode_by::<L, 4>(lanes, encodings, root_power(lanes), &mut take);
    let rest = decode_by::<L, 2>(lanes, rest, root_power(lanes), &mut take);
    let rest = decode_by::<L, 1>(lanes, rest, root_power(lanes), &mut take);
    if let Some(last) = rest.last() {
        // Lanes left over decode whatever the last one does.
        let mut padded = [*last; LANES_MAX];
        padded[..rest.len()].copy_from_slice(rest);
        let mut given = 0;
        decode_by::<L, 1>(lanes, &padded[..L::COUNT], root_power(lanes), &mut |row| {
            given += 1;
            if given <= rest.len() {
                take(row);
            }
        });
    }
}

/// The power as the implementation takes it.
fn root_power<L: Lanes, const GROUPS: usize>(
    lanes: L,
) -> impl Fn([L::Element; GROUPS]) -> [L::Element; GROUPS] + Copy {
    #[inline(always)]
    move |a| lanes.root_power(a)
}

/// Decodes as many as fill whole steps of `GROUPS` groups; gives back those left.
pub(super) fn decode_by<'a, L: Lanes, const GROUPS: usize>(
    lanes: L,
    encodings: &'a [[u8; 32]],
    root_power: impl Fn([L::Element; GROUPS]) -> [L::Element; GROUPS] + Copy,
    take: &mut impl FnMut(Option<&AffineRow>),
) -> &'a [[u8; 32]] {
    let steps = encodings.chunks_exact(GROUPS * L::COUNT);
    let rest = steps.remainder();
    for encodings in steps {
        let (rows, points) = decode_groups(lanes, encodings, root_power);
        for ((rows, points), encodings) in rows.into_iter().zip(points).zip(encodings.chunks(L::COUNT)) {
            let (rows, points) = if L::HURRIES && points != all_lanes::<L>() {
                // Nothing is called no point because of a power taken in a hurry.
                decode_surely(lanes, encodings)
            } else {
                (rows, points)
            };
            for (lane, row) in rows.iter().enumerate().take(L::COUNT) {
                take((points >> lane & 1 == 1).then_some(row));
            }
        }
    }
    rest
}

/// The rows of one full group and, as a mask, which are of points.
#[cold]
fn decode_surely<L: Lanes>(lanes: L, encodings: &[[u8; 32]]) -> ([AffineRow; LANES_MAX], u8) {
    let ([rows], [points]) = decode_groups(
        lanes,
        encodings,
        #[inline(always)]
        |a| power::for_roots(Exact(lanes), a),
    );
    (rows, points)
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

/// The rows of `GROUPS` full groups and, as masks, which are of points. `root_power` gives a^((p − 5)/8); where it is wrong
/// there seems to be no point.
fn decode_groups<L: Lanes, const GROUPS: usize>(
    lanes: L,
    encodings: &[[u8; 32]],
    root_power: impl Fn([L::Element; GROUPS]) -> [L::Element; GROUPS],
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
            let root = root_power(uv7);
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

/// A square root of −1, 2^((p−1)/4).
const ROOT_OF_MINUS_ONE: Limbs = [
    1_718_705_420_411_056,
    234_908_883_556_509,
    2_233_514_472_574_048,
    2_117_202_627_021_982,
    765_476_049_583_133,
];
