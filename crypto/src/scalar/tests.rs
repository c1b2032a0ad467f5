//! Against arithmetic bit by bit, over random values and those at the bounds.

use proptest::prelude::*;

use super::*;

fn doubled(a: [u64; 4]) -> [u64; 4] {
    Scalar(a).plus(Scalar(a)).0
}

/// a·b mod l by doubling and adding; `a` may have any number of limbs.
fn product(a: &[u64], b: Scalar) -> Scalar {
    let mut sum = Scalar::ZERO;
    for bit in (0..64 * a.len()).rev() {
        sum = Scalar(doubled(sum.0));
        if a[bit / 64] >> (bit % 64) & 1 == 1 {
            sum = sum.plus(b);
        }
    }
    sum
}

fn one() -> Scalar {
    Scalar([1, 0, 0, 0])
}

fn signed(z: Coefficient, b: Scalar) -> Scalar {
    let product = product(&[z.magnitude as u64, (z.magnitude >> 64) as u64], b);
    if z.is_negative { product.negated() } else { product }
}

fn limb() -> impl Strategy<Value = u64> {
    prop_oneof![any::<u64>(), Just(0), Just(1), Just(u64::MAX), Just(1 << 63), Just(ORDER[0]), Just(ORDER[3])]
}

fn coefficient() -> impl Strategy<Value = Coefficient> {
    (limb(), limb(), any::<bool>()).prop_map(|(low, high, is_negative)| Coefficient {
        magnitude: u128::from(high) << 64 | u128::from(low),
        is_negative,
    })
}

fn scalar() -> impl Strategy<Value = Scalar> {
    let largest = Scalar(difference(&ORDER, &[1, 0, 0, 0]));
    prop_oneof![
        Just(Scalar::ZERO),
        Just(largest),
        prop::array::uniform4(limb()).prop_map(|limbs| product(&limbs, one())),
    ]
}

proptest! {
    #[test]
    fn a_hash_is_reduced_and_multiplied(hash in prop::array::uniform8(limb()), z in coefficient()) {
        let k = product(&hash, one());
        let challenge = Challenge::from_hash(&hash);
        prop_assert_eq!(challenge.scalar(), k);
        prop_assert_eq!(challenge.times(z), signed(z, k));
    }

    #[test]
    fn a_sum_of_products_is_reduced(terms in prop::collection::vec((coefficient(), scalar()), 0..5)) {
        let (mut sum, mut expected) = (Sum::default(), Scalar::ZERO);
        for (z, s) in terms {
            sum.add(z, s);
            expected = expected.plus(signed(z, s));
        }
        prop_assert_eq!(sum.reduced(), expected);
    }

    #[test]
    fn a_scalar_is_a_fraction_of_halves(k in scalar()) {
        let (u, v) = k.halved();
        prop_assert!(u >> 127 == 0 && v.magnitude >> 127 == 0 && v.magnitude > 0);
        prop_assert_eq!(signed(v, k), product(&[u as u64, (u >> 64) as u64], one()));
        prop_assert_eq!(k.times(v), signed(v, k));
    }

    #[test]
    fn a_scalar_and_its_negative_are_zero(a in scalar()) {
        prop_assert_eq!(a.plus(a.negated()), Scalar::ZERO);
    }
}

#[test]
fn only_what_is_below_the_order_is_canonical() {
    let mut bytes = [0; 32];
    let mut set = |limbs: [u64; 4]| {
        for (place, limb) in limbs.iter().enumerate() {
            bytes[8 * place..][..8].copy_from_slice(&limb.to_le_bytes());
        }
        Scalar::canonical(&bytes)
    };
    let below = difference(&ORDER, &[1, 0, 0, 0]);
    assert_eq!(set(below), Some(Scalar(below)));
    assert_eq!(set(ORDER), None);
    assert_eq!(set([ORDER[0] + 1, ORDER[1], ORDER[2], ORDER[3]]), None);
    assert_eq!(set([u64::MAX; 4]), None);
    assert_eq!(set([0; 4]), Some(Scalar::ZERO));
}
