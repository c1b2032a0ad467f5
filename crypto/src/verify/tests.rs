//! Batches name exactly the bad signatures, whatever their place, and agree with single verification (S2).

mod differential;
mod vectors;

use super::*;
use crate::SigningKey;

#[derive(Clone, Debug)]
struct Signed {
    key: [u8; 32],
    message: Vec<u8>,
    signature: [u8; 64],
}

fn signed(count: usize) -> Vec<Signed> {
    (0..count)
        .map(|i| {
            let key = SigningKey::from_bytes(&[(i % 255) as u8 + 1; 32]);
            let message = format!("message {i}").into_bytes();
            Signed { key: key.public(), signature: key.sign(&message), message }
        })
        .collect()
}

fn items(signed: &[Signed]) -> Vec<Item<'_>> {
    signed.iter().map(|s| Item { key: &s.key, message: &s.message, signature: &s.signature }).collect()
}

#[test]
fn bad_ones_are_named_exactly() {
    for bad in [vec![], vec![0], vec![63], vec![5, 6, 40], (0..64).collect::<Vec<_>>()] {
        let mut all = signed(64);
        for &index in &bad {
            all[index].signature[7] ^= 1;
        }
        let mut verifier = Verifier::with_seed([3; 32]);
        assert_eq!(verifier.verify(&items(&all)), bad);
        for (index, one) in items(&all).iter().enumerate() {
            assert_eq!(verifier.verify(&[*one]).is_empty(), !bad.contains(&index));
        }
    }
}

/// The same answer on one thread, on three, and on more threads than there are parts.
#[test]
fn a_pool_gives_the_same_answer() {
    for threads in [1, 3, 8] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        let mut verifier = Verifier::with_seed([8; 32]).across(Arc::new(pool));
        for size in [0, 1, PART_MIN, 2 * PART_MIN - 1, 2 * PART_MIN, 3 * PART_MIN + 1] {
            let mut all = signed(size);
            let bad: Vec<usize> = (0..size).filter(|index| index % 577 == 5).collect();
            for &index in &bad {
                all[index].signature[7] ^= 1;
            }
            assert_eq!(verifier.verify(&items(&all)), bad, "{size} on {threads}");
            assert_eq!(verifier.verify(&items(&all)), bad, "{size} on {threads} again");
        }
    }
}

#[test]
fn memory_is_bounded_and_never_remembers_a_bad_one() {
    let mut all = signed(16);
    all[3].signature[0] ^= 1;
    let mut verifier = Verifier::with_seed([0; 32]).remembering(8);
    for _ in 0..3 {
        assert_eq!(verifier.verify(&items(&all)), vec![3]);
    }
    let memory = verifier.memory.expect("asked for above");
    assert_eq!(memory.known.len(), 8);
    assert_eq!(memory.order.len(), 8);
}

/// ZIP-215's corner: key and R of small order, encoded canonically or not, all verify with s = 0 for any message.
#[test]
fn small_order_points_verify_alone_and_in_batches_alike() {
    let encodings: [[u8; 32]; 3] = {
        let mut identity = [0; 32];
        identity[0] = 1;
        let mut identity_with_sign = identity;
        identity_with_sign[31] = 0x80;
        let order_four = [0; 32];
        [identity, identity_with_sign, order_four]
    };
    let mut all = signed(5);
    for key in encodings {
        for r in encodings {
            let mut signature = [0; 64];
            signature[..32].copy_from_slice(&r);
            all.push(Signed { key, message: b"Zcash".to_vec(), signature });
        }
        assert!(is_small_order(&key));
    }
    let mut verifier = Verifier::with_seed([1; 32]);
    assert_eq!(verifier.verify(&items(&all)), Vec::<usize>::new());
    for one in items(&all) {
        assert!(verifier.verify(&[one]).is_empty());
    }
    assert!(!is_small_order(&all[0].key));
}

/// The table holds exactly the small-order encodings that the curve's decoder accepts.
#[test]
fn the_table_of_small_order_is_the_decoders() {
    for y in SMALL_ORDER {
        for sign in [0, 0x80] {
            let mut key = y;
            key[31] |= sign;
            let decoded = ed25519_dalek::VerifyingKey::from_bytes(&key).expect("a point");
            assert!(decoded.is_weak() && is_small_order(&key));
        }
    }
    let weak_among_small = (0_u8..=255).filter(|&byte| {
        let key = with_ends(byte, 0xff, 0x7f);
        ed25519_dalek::VerifyingKey::from_bytes(&key).is_ok_and(|key| key.is_weak()) != is_small_order(&key)
    });
    assert_eq!(weak_among_small.count(), 0);
    for honest in signed(50) {
        assert!(!is_small_order(&honest.key));
    }
}
