//! Every implementation beside arithmetic on 320-bit integers, with limbs at their bounds, and beside the portable one.

use proptest::prelude::*;

use super::{portable::Portable, *};
use crate::backend::{Backend, with_lanes};

/// The most that a limb of an element may be.
const LIMB_MAX: u64 = (1 << 51) + (1 << 40);
/// p in four 64-bit words.
const P: [u64; 5] = [u64::MAX - 18, u64::MAX, u64::MAX, u64::MAX >> 1, 0];

/// The value of limbs modulo p as 64-bit words, bit by bit from the top: double, add, subtract p.
fn value(limbs: &Limbs) -> [u64; 5] {
    let mut sum = [0; 5];
    for &limb in limbs.iter().rev() {
        for _ in 0..51 {
            sum = plus(&sum, &sum);
        }
        sum = plus(&sum, &[limb, 0, 0, 0, 0]);
    }
    sum
}

/// a + b modulo p, for a and b below p.
fn plus(a: &[u64; 5], b: &[u64; 5]) -> [u64; 5] {
    let (mut sum, mut carry) = ([0; 5], false);
    for i in 0..5 {
        (sum[i], carry) = a[i].carrying_add(b[i], carry);
    }
    if sum.iter().rev().lt(P.iter().rev()) { sum } else { minus(&sum, &P) }
}

/// a − b modulo 2^320.
fn minus(a: &[u64; 5], b: &[u64; 5]) -> [u64; 5] {
    let (mut difference, mut borrow) = ([0; 5], false);
    for i in 0..5 {
        (difference[i], borrow) = a[i].borrowing_sub(b[i], borrow);
    }
    difference
}

fn negative(a: &[u64; 5]) -> [u64; 5] {
    if *a == [0; 5] { *a } else { minus(&P, a) }
}

/// a · b modulo p.
fn times(a: &[u64; 5], b: &[u64; 5]) -> [u64; 5] {
    let mut product = [0; 5];
    for bit in (0..256).rev() {
        product = plus(&product, &product);
        if a[bit / 64] >> (bit % 64) & 1 == 1 {
            product = plus(&product, b);
        }
    }
    product
}

fn limb() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => 0..=LIMB_MAX,
        1 => Just(0),
        1 => Just(LIMB_MAX),
        1 => Just(LIMB_MASK),
        1 => Just(LIMB_MASK - 18),
        // Where limbs with a sign are rounded up or down.
        1 => Just(1 << 50),
        1 => LIMB_MASK - 20..=LIMB_MAX,
    ]
}

fn element() -> impl Strategy<Value = [[u64; LANES_MAX]; 5]> {
    let p = [LIMB_MASK - 18, LIMB_MASK, LIMB_MASK, LIMB_MASK, LIMB_MASK];
    let of_lane = prop_oneof![
        8 => prop::array::uniform5(limb()),
        1 => Just(p),
        1 => Just([LIMB_MASK - 17, LIMB_MASK, LIMB_MASK, LIMB_MASK, LIMB_MASK]),
        1 => Just([0; 5]),
        1 => Just([LIMB_MAX; 5]),
    ];
    prop::array::uniform8(of_lane).prop_map(|lanes| {
        let mut limbs = [[0; LANES_MAX]; 5];
        for (lane, of_lane) in lanes.iter().enumerate() {
            for (place, limb) in of_lane.iter().enumerate() {
                limbs[place][lane] = *limb;
            }
        }
        limbs
    })
}

fn lane_of(limbs: &[[u64; LANES_MAX]; 5], lane: usize) -> Limbs {
    limbs.map(|lanes| lanes[lane])
}

fn check<L: Lanes>(lanes: L, a: &[[u64; LANES_MAX]; 5], b: &[[u64; LANES_MAX]; 5], mask: u8) {
    let (x, y) = (lanes.element(a), lanes.element(b));
    let (sum, difference) = (lanes.add(x, y), lanes.sub(x, y));
    let (twice_plus, twice_minus) = (lanes.twice_plus(x, y), lanes.twice_minus(x, y));
    let term = lanes.sub(lanes.twice_plus(lanes.mul_term(x, y), lanes.square_term(x)), lanes.square_term(y));
    type Oracle = fn(&[u64; 5], &[u64; 5]) -> [u64; 5];
    // Factors with as many units as are allowed, besides tight ones.
    let results: [(&str, L::Element, Oracle); 13] = [
        ("mul", lanes.mul(x, y), |a, b| times(a, b)),
        ("square", lanes.square(x), |a, _| times(a, a)),
        ("add", lanes.tight(sum), |a, b| plus(a, b)),
        ("sub", lanes.tight(difference), |a, b| plus(a, &negative(b))),
        ("twice_plus", lanes.tight(twice_plus), |a, b| plus(&plus(a, a), b)),
        ("twice_minus", lanes.tight(twice_minus), |a, b| plus(&plus(a, a), &negative(b))),
        ("terms", lanes.tight(term), |a, b| {
            let (products, squares) = (plus(&times(a, b), &times(a, b)), times(a, a));
            plus(&plus(&products, &squares), &negative(&times(b, b)))
        }),
        ("mul of a sum", lanes.mul(lanes.factor(sum), y), |a, b| times(&plus(a, b), b)),
        ("mul of a difference", lanes.mul(lanes.factor(difference), y), |a, b| {
            times(&plus(a, &negative(b)), b)
        }),
        ("mul of three units", lanes.mul(lanes.factor(twice_plus), x), |a, b| {
            times(&plus(&plus(a, a), b), a)
        }),
        ("mul by three units", lanes.mul(y, lanes.factor(twice_minus)), |a, b| {
            times(b, &plus(&plus(a, a), &negative(b)))
        }),
        ("square of a sum", lanes.square(lanes.tight(sum)), |a, b| times(&plus(a, b), &plus(a, b))),
        ("negative", lanes.tight(lanes.sub(lanes.splat(&[0; 5]), x)), |a, _| negative(a)),
    ];
    for (name, result, oracle) in results {
        let (zero, odd) = (lanes.is_zero(result), lanes.is_odd(result));
        let limbs = lanes.limbs(result);
        for lane in 0..L::COUNT {
            let expected = oracle(&value(&lane_of(a, lane)), &value(&lane_of(b, lane)));
            let found = lane_of(&limbs, lane);
            assert!(found.iter().all(|&limb| limb <= LIMB_MAX), "{name}: {found:x?}");
            assert_eq!(value(&found), expected, "{name}");
            assert_eq!(zero >> lane & 1 == 1, expected == [0; 5], "{name}");
            assert_eq!(u64::from(odd >> lane & 1), expected[0] & 1, "{name}");
        }
    }
    let chosen = lanes.limbs(lanes.select(mask, x, y));
    for lane in 0..L::COUNT {
        let expected = value(&lane_of(if mask >> lane & 1 == 1 { b } else { a }, lane));
        assert_eq!(value(&lane_of(&chosen, lane)), expected);
    }
    assert_eq!(lanes.is_zero(difference), lanes.is_zero(lanes.tight(difference)));
    assert_eq!(lanes.is_zero(lanes.sub(x, x)), u8::MAX >> (LANES_MAX - L::COUNT));
}

proptest! {
    #[test]
    fn operations_are_those_of_the_field(a in element(), b in element(), mask in any::<u8>()) {
        for backend in Backend::all() {
            with_lanes!(backend, lanes => check(lanes, &a, &b, mask));
        }
    }
}

/// The powers for roots that every implementation takes, the sure one and its own, of elements no larger than a product.
fn check_powers<L: Lanes>(lanes: L, a: &[[u64; LANES_MAX]; 5]) {
    let reference = |lane| portable::reduced(Portable.root_power([lane_of(a, lane)])[0]);
    let expected: Vec<Limbs> = (0..L::COUNT).map(reference).collect();
    let element = lanes.element(a);
    let sure = power::for_roots(Exact(lanes), [element])[0];
    for power in [lanes.root_power([element])[0], lanes.root_power([element, element])[1], sure] {
        let found = lanes.limbs(power);
        for (lane, expected) in expected.iter().enumerate() {
            assert!(lane_of(&found, lane).iter().all(|&limb| limb <= LIMB_MAX));
            assert_eq!(portable::reduced(lane_of(&found, lane)), *expected);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(50))]
    #[test]
    fn powers_for_roots_are_those_of_the_reference(
        a in prop::array::uniform5(prop::array::uniform8(0..=LIMB_MASK)), edge in 0..6_u64,
    ) {
        // Some of the first lane's limbs at their bounds.
        let mut a = a;
        a[edge as usize % 5][0] = LIMB_MASK * (edge % 2);
        for backend in Backend::all() {
            with_lanes!(backend, lanes => check_powers(lanes, &a));
        }
    }
}

fn check_rows<L: Lanes>(lanes: L) {
    let mut number = 0;
    let mut next = || {
        number += 1;
        number
    };
    let affine: Vec<AffineRow> = (0..20).map(|_| AffineRow(std::array::from_fn(|_| next()))).collect();
    let extended: Vec<ExtendedRow> = (0..20).map(|_| ExtendedRow(std::array::from_fn(|_| next()))).collect();
    let at = [3, 19, 0, 7, 7, 12, 1, 18];
    let there_and_back = lanes.affine_rows(&lanes.gather_affine(&affine, &at));
    for lane in 0..L::COUNT {
        assert_eq!(there_and_back[lane].0[..15], affine[at[lane] as usize].0[..15]);
        let limbs = lanes.limbs(lanes.gather_affine(&affine, &at)[1]);
        assert_eq!(portable::reduced(lane_of(&limbs, lane)), affine[at[lane] as usize].0[5..10]);
    }
    let there_and_back = lanes.extended_rows(&lanes.gather_extended(&extended, &at));
    for lane in 0..L::COUNT {
        assert_eq!(there_and_back[lane].0[..20], extended[at[lane] as usize].0[..20]);
        let limbs = lanes.limbs(lanes.gather_extended(&extended, &at)[3]);
        assert_eq!(portable::reduced(lane_of(&limbs, lane)), extended[at[lane] as usize].0[15..20]);
    }
}

#[test]
fn every_lane_takes_its_own_row() {
    for backend in Backend::all() {
        with_lanes!(backend, lanes => check_rows(lanes));
    }
}

/// The token of the reference needs no proof, so it can stand in anywhere.
#[test]
fn the_reference_is_always_there() {
    assert_eq!(Portable::COUNT, 1);
    assert_eq!(Backend::all().last().map(|backend| backend.name()), Some("portable"));
}
