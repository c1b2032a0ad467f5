//! Random signatures, some damaged, some of lengths around the block bounds, beside ed25519-zebra (S2).

use proptest::prelude::*;

use super::{Signed, items};
use crate::{Backend, SigningKey, Verifier};

/// What happens to an honest signature.
#[derive(Clone, Copy, Debug)]
enum Damage {
    None,
    Key(usize),
    Message,
    Signature(usize),
    RandomKey([u8; 32]),
    RandomR([u8; 32]),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        12 => Just(Damage::None),
        1 => (0..256_usize).prop_map(Damage::Key),
        1 => Just(Damage::Message),
        1 => (0..512_usize).prop_map(Damage::Signature),
        1 => any::<[u8; 32]>().prop_map(Damage::RandomKey),
        1 => any::<[u8; 32]>().prop_map(Damage::RandomR),
    ]
}

fn one() -> impl Strategy<Value = Signed> {
    (any::<u8>(), 0..300_usize, damage()).prop_map(|(secret, length, damage)| {
        let key = SigningKey::from_bytes(&[secret; 32]);
        let mut message = vec![secret; length];
        let mut signature = key.sign(&message);
        let mut key = key.public();
        match damage {
            Damage::None => {}
            Damage::Key(bit) => key[bit / 8] ^= 1 << (bit % 8),
            Damage::Message => message.push(0),
            Damage::Signature(bit) => signature[bit / 8] ^= 1 << (bit % 8),
            Damage::RandomKey(bytes) => key = bytes,
            Damage::RandomR(bytes) => signature[..32].copy_from_slice(&bytes),
        }
        Signed { key, message, signature }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn verdicts_are_zebras(all in prop::collection::vec(one(), 1..140), seed in any::<[u8; 32]>()) {
        let expected: Vec<usize> = (0..all.len()).filter(|&index| !super::vectors::judged(&all[index])).collect();
        for backend in Backend::all() {
            let mut verifier = Verifier::with_seed(seed).on(backend);
            prop_assert_eq!(verifier.verify(&items(&all)), expected.clone());
            // The same again, with the scratch memory and the keys of before and other coefficients.
            prop_assert_eq!(verifier.verify(&items(&all)), expected.clone());
            let mut verifier = verifier.keeping(2);
            prop_assert_eq!(verifier.verify(&items(&all)), expected.clone());
            prop_assert_eq!(verifier.verify(&items(&all)), expected.clone());
        }
    }
}
