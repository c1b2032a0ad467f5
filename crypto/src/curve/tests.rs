//! The constants, the group law on points of all kinds, and decoding beside zebra's.

use super::{
    decoding::{decode, decode_by},
    *,
};
use crate::{
    backend::{Backend, with_lanes},
    lanes::{
        AffineRow, all_lanes,
        portable::{Portable, reduced},
    },
};

#[test]
fn constants_are_what_they_say() {
    let lanes = Portable;
    let small = |value| lanes.splat(&[value, 0, 0, 0, 0]);
    let is_zero = |a| lanes.is_zero(a) == 1;
    // 121666·d = −121665.
    assert!(is_zero(lanes.add(lanes.mul(D, small(121_666)), small(121_665))));
    assert!(is_zero(lanes.sub(lanes.add(D, D), TWICE_D)));
    assert!(is_zero(lanes.sub(lanes.mul(TWICE_D, TWICE_D_INVERSE), ONE)));
}

/// The encoding of Σ scalar · point over encoded points, for making unusual keys and signatures; term by term and bit by
/// bit. All of them must be points.
pub(crate) fn combination(terms: &[([u64; 4], [u8; 32])]) -> [u8; 32] {
    let lanes = Portable;
    let mut sum = Parts::identity(lanes);
    for (scalar, encoding) in terms {
        let mut row = None;
        decode(lanes, &[*encoding], |decoded| row = decoded.copied());
        let row = lanes.gather_affine(&[row.expect("a point")], &[0; LANES_MAX]);
        let mut product = Parts::identity(lanes);
        for bit in (0..256).rev() {
            product = product.double(lanes);
            if scalar[bit / 64] >> (bit % 64) & 1 == 1 {
                product = product.sum(lanes).add_affine(lanes, &row, 0);
            }
        }
        sum = sum.sum(lanes).add_extended(lanes, &product.sum(lanes).cached(lanes), 0);
    }
    encoded(sum.point(lanes))
}

fn encoded(point: Point<Portable>) -> [u8; 32] {
    let lanes = Portable;
    // 1/Z = Z^(p − 2): all bits of p − 2 = 2^255 − 21 are one but those of 4 and 16.
    let mut inverse = ONE;
    for bit in (0..255).rev() {
        inverse = lanes.square(inverse);
        if bit != 2 && bit != 4 {
            inverse = lanes.mul(inverse, point.z);
        }
    }
    assert_eq!(lanes.is_zero(lanes.sub(lanes.mul(inverse, point.z), ONE)), 1);
    let y = reduced(lanes.mul(point.y, inverse));
    let mut bytes = [0; 32];
    for bit in 0..255 {
        bytes[bit / 8] |= ((y[bit / 51] >> (bit % 51) & 1) as u8) << (bit % 8);
    }
    bytes[31] |= lanes.is_odd(lanes.mul(point.x, inverse)) << 7;
    bytes
}

/// Points of every kind, as rows: neutral, of small order, of the large group, and sums of both.
pub(crate) fn rows<L: Lanes>(lanes: L) -> Vec<AffineRow> {
    let mut encodings: Vec<[u8; 32]> =
        (0..9_u8).map(|secret| crate::SigningKey::from_bytes(&[secret; 32]).public()).collect();
    let mut seed = [0; 32];
    for first in 0..60 {
        seed[0] = first;
        encodings.push(seed);
    }
    let mut rows = Vec::new();
    decode(lanes, &encodings, |row| rows.push(row.copied()));
    assert_eq!(rows.len(), encodings.len());
    for (encoding, row) in encodings.iter().zip(&rows) {
        assert_eq!(row.is_some(), ed25519_zebra::VerificationKey::try_from(*encoding).is_ok());
    }
    rows.into_iter().flatten().collect()
}

fn same<L: Lanes>(lanes: L, a: Point<L>, b: Point<L>) -> bool {
    let cross = |p: L::Element, z: L::Element, q: L::Element, w: L::Element| {
        lanes.is_zero(lanes.sub(lanes.mul(p, w), lanes.mul(q, z))) == all_lanes::<L>()
    };
    cross(a.x, a.z, b.x, b.z) && cross(a.y, a.z, b.y, b.z) && cross(a.t, a.z, b.t, b.z)
}

/// Not inlined, as are the next ones: each is long, and they are called often below.
#[inline(never)]
fn agree<L: Lanes>(lanes: L, a: Parts<L>, b: Parts<L>) -> bool {
    same(lanes, a.point(lanes), b.point(lanes))
}

#[inline(never)]
fn plus<L: Lanes>(lanes: L, sum: Sum<L>, row: &[L::Element; 3], negative: u8) -> Parts<L> {
    sum.add_affine(lanes, row, negative)
}

#[inline(never)]
fn plus_sum<L: Lanes>(lanes: L, sum: Sum<L>, other: Sum<L>, negative: u8) -> Parts<L> {
    sum.add_extended(lanes, &other.cached(lanes), negative)
}

#[inline(never)]
fn sum<L: Lanes>(lanes: L, parts: Parts<L>) -> Sum<L> {
    parts.sum(lanes)
}

fn check<L: Lanes>(lanes: L) {
    let rows = rows(lanes);
    let row = |place: usize| lanes.gather_affine(&rows, &[place as u32; LANES_MAX]);
    let neutral = Parts::identity(lanes);
    let all = u8::MAX;
    for p in 0..rows.len() {
        let (one, opposite) = (Sum::from_affine(lanes, &row(p), 0), Sum::from_affine(lanes, &row(p), all));
        let point = plus(lanes, sum(lanes, neutral), &row(p), 0);
        assert!(same(lanes, one.point(lanes), point.point(lanes)));
        let negative = plus(lanes, sum(lanes, neutral), &row(p), all);
        assert!(same(lanes, opposite.point(lanes), negative.point(lanes)));
        assert!(agree(lanes, neutral, plus(lanes, one, &row(p), all)));
        assert!(agree(lanes, point.double(lanes), plus(lanes, one, &row(p), 0)));
        assert!(agree(lanes, point.double(lanes), plus_sum(lanes, sum(lanes, point), one, 0)));
        for q in 0..rows.len() {
            let other = Sum::from_affine(lanes, &row(q), 0);
            let both = plus(lanes, one, &row(q), 0);
            assert!(agree(lanes, both, plus_sum(lanes, other, one, 0)));
            assert!(agree(lanes, point, plus_sum(lanes, sum(lanes, both), other, all)));
        }
        let mut multiple = neutral;
        for _ in 0..L::COUNT {
            multiple = plus(lanes, sum(lanes, multiple), &row(p), 0);
        }
        assert!(agree(lanes, multiple, point.folded(lanes)));
    }
}

#[test]
fn the_group_law_holds_for_points_of_every_kind() {
    for backend in Backend::all() {
        with_lanes!(backend, lanes => check(lanes));
    }
}

/// How many are decoded together depends on how many there are.
#[test]
fn any_number_of_encodings_decodes_in_order() {
    let mut encodings: Vec<[u8; 32]> =
        (0..70_u8).map(|secret| crate::SigningKey::from_bytes(&[secret; 32]).public()).collect();
    encodings.iter_mut().step_by(3).for_each(|encoding| encoding[0] ^= 1);
    let mut alone = Vec::new();
    for encoding in &encodings {
        decode(Portable, &[*encoding], |row| alone.push(row.map(|row| limbs(Portable, row))));
    }
    for backend in Backend::all() {
        for count in 0..encodings.len() {
            let mut together = Vec::new();
            with_lanes!(backend, lanes => {
                decode(lanes, &encodings[..count], |row| together.push(row.map(|row| limbs(lanes, row))));
            });
            assert_eq!(together, alone[..count]);
        }
    }
}

/// A power that is wrong does not make a point none: it is taken again, surely.
fn check_wrong_powers<L: Lanes>(lanes: L) {
    let points = (0..8_u8).map(|secret| crate::SigningKey::from_bytes(&[secret; 32]).public());
    let mut encodings: Vec<[u8; 32]> = points.collect();
    encodings[3][0] ^= 1;
    let (mut wrong, mut right) = (Vec::new(), Vec::new());
    decode(lanes, &encodings, |row| right.push(row.map(|row| limbs(lanes, row))));
    let take = &mut |row: Option<&AffineRow>| wrong.push(row.map(|row| limbs(lanes, row)));
    decode_by::<L, 1>(lanes, &encodings, |[a]| [lanes.square(a)], take);
    assert!(right.iter().filter(|row| row.is_some()).count() >= 7);
    if L::HURRIES {
        assert_eq!(wrong, right);
    } else {
        assert!(wrong.iter().all(Option::is_none));
    }
}

#[test]
fn a_wrong_power_is_taken_again() {
    for backend in Backend::all() {
        with_lanes!(backend, lanes => check_wrong_powers(lanes));
    }
}

/// The values of a row in 0..p.
fn limbs<L: Lanes>(lanes: L, row: &AffineRow) -> [Limbs; 3] {
    let values = lanes.gather_affine(&[*row], &[0; LANES_MAX]);
    values.map(|value| reduced(lanes.limbs(value).map(|of_lanes| of_lanes[0])))
}

/// The points whose order divides 8 are exactly those of the table.
#[test]
fn small_order_is_what_vanishes_times_eight() {
    let lanes = Portable;
    for row in rows(lanes) {
        let sum = Sum::from_affine(lanes, &lanes.gather_affine(&[row], &[0; LANES_MAX]), 0);
        let mut eightfold = Parts::identity(lanes);
        for _ in 0..8 {
            eightfold = eightfold.sum(lanes).add_extended(lanes, &sum.cached(lanes), 0);
        }
        let point = Parts::identity(lanes).sum(lanes).add_extended(lanes, &sum.cached(lanes), 0);
        let is_neutral = same(lanes, eightfold.point(lanes), Parts::identity(lanes).point(lanes));
        assert_eq!(point.is_small_order(lanes) == 1, is_neutral);
    }
}
