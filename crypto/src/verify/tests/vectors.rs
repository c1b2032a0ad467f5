//! Signatures that verifiers disagree about, judged by ed25519-zebra, whose rule is ours (S2).
//!
//! Each is checked on every backend alone, in every lane, and among others in batches of sizes around each switch of
//! algorithm.

use super::{Signed, items, signed};
use crate::{
    Backend, Verifier,
    curve::tests::combination,
    scalar::{Challenge, Coefficient, Scalar},
    sha512::{self, Pieces},
    verify::SMALL_ORDER,
};

/// Sizes on both sides of every switch between equations apart, Straus and each width of buckets.
const SIZES: [usize; 26] = [
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 16, 17, 44, 45, 64, 65, 109, 110, 150, 151, 199, 200, 799, 800, 6_000,
];

pub(super) fn judged(signed: &Signed) -> bool {
    ed25519_zebra::VerificationKey::try_from(signed.key)
        .and_then(|key| key.verify(&signed.signature.into(), &signed.message))
        .is_ok()
}

/// All encodings of points of small order: seven y, each with both signs.
fn small_order() -> Vec<[u8; 32]> {
    let with_sign = |y: [u8; 32], sign: u8| {
        let mut bytes = y;
        bytes[31] |= sign;
        bytes
    };
    SMALL_ORDER.iter().flat_map(|&y| [with_sign(y, 0), with_sign(y, 0x80)]).collect()
}

fn signature(r: [u8; 32], s: [u64; 4]) -> [u8; 64] {
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(&r);
    for (place, limb) in s.iter().enumerate() {
        bytes[32 + 8 * place..][..8].copy_from_slice(&limb.to_le_bytes());
    }
    bytes
}

/// The 196 cases of ZIP-215 and the same with s = 1: small order on both sides.
fn small_order_pairs() -> Vec<Signed> {
    let points = small_order();
    let mut all = Vec::new();
    for key in &points {
        for r in &points {
            for s in [0, 1] {
                let signature = signature(*r, [s, 0, 0, 0]);
                all.push(Signed { key: *key, message: b"Zcash".to_vec(), signature });
            }
        }
    }
    all
}

/// What an encoding of a small-order point would be if it were the canonical one.
fn canonical(encoding: &[u8; 32]) -> [u8; 32] {
    combination(&[([1, 0, 0, 0], *encoding)])
}

/// Signatures whose key and R each are of small order, or of the large group, or a sum of both, in all combinations; and, where
/// an encoding is not canonical, with a challenge from the canonical one, as a verifier would that encodes anew. These are
/// the kinds of the 914 cases of C2SP/CCTV, `ed25519`, made here by its description.
fn mixed() -> Vec<Signed> {
    let base = crate::batch::BASE_ENCODING;
    let one = [1, 0, 0, 0];
    let secret = 0x1234_5678_9abc_def0_0fed_cba9_8765_4321_u128;
    let nonce = Challenge::from_hash(&[3, 1, 4, 1, 5, 9, 2, 6]).scalar();
    // The points with their part of the large group, as a multiple of the base point.
    let points = |multiple: Scalar| -> Vec<([u8; 32], Scalar)> {
        let shifted = small_order()[..10]
            .iter()
            .map(|shift| (combination(&[(multiple.limbs(), base), (one, *shift)]), multiple))
            .collect::<Vec<_>>();
        small_order().into_iter().map(|point| (point, Scalar::ZERO)).chain(shifted).collect()
    };
    let keys =
        points(Challenge::from_hash(&[secret as u64, (secret >> 64) as u64, 0, 0, 0, 0, 0, 0]).scalar());
    let mut all = Vec::new();
    for (key, of_key) in &keys {
        for (r, of_r) in &points(nonce) {
            for (hashed_key, hashed_r) in [(*key, *r), (canonical(key), canonical(r))] {
                let message = b"mixed".to_vec();
                let pieces = Pieces([&hashed_r, &hashed_key, &message]);
                let hash = sha512::hash(crate::lanes::portable::Portable, &[pieces], &mut Vec::new());
                let product = if *of_key == Scalar::ZERO {
                    Scalar::ZERO
                } else {
                    Challenge::from_hash(&hash[0])
                        .times(Coefficient { magnitude: secret, is_negative: false })
                };
                let signature = signature(*r, of_r.plus(product).limbs());
                all.push(Signed { key: *key, message, signature });
            }
        }
    }
    assert_eq!(all.len(), 2 * 24 * 24);
    assert!(all.iter().step_by(2).all(judged), "parts of small order vanish times eight");
    assert!(!all.iter().all(judged), "challenges from another encoding are others");
    all
}

/// s around l, and a valid s plus l.
fn unreduced() -> Vec<Signed> {
    let order = Scalar::ORDER;
    let mut all = Vec::new();
    for s in [
        [order[0] - 1, order[1], order[2], order[3]],
        order,
        [order[0] + 1, order[1], order[2], order[3]],
        [u64::MAX; 4],
    ] {
        let mut one = signed(1).remove(0);
        let r = one.signature[..32].try_into().expect("half of 64");
        one.signature = signature(r, s);
        all.push(one);
    }
    let mut one = signed(1).remove(0);
    let s = crate::scalar::limbs_of(one.signature[32..].try_into().expect("half of 64"));
    let (mut sum, mut carry) = ([0; 4], false);
    for place in 0..4 {
        (sum[place], carry) = s[place].carrying_add(order[place], carry);
    }
    one.signature = signature(one.signature[..32].try_into().expect("half of 64"), sum);
    all.push(one);
    all
}

/// A valid signature with each single bit of it and of its key turned.
fn flipped() -> Vec<Signed> {
    let mut all = Vec::new();
    for bit in 0..768 {
        let mut one = signed(1).remove(0);
        let byte = if bit < 512 { &mut one.signature[bit / 8] } else { &mut one.key[bit / 8 - 64] };
        *byte ^= 1 << (bit % 8);
        all.push(one);
    }
    assert!(!all.iter().any(judged), "every bit counts");
    all
}

/// Keys and R that are no points, or whose y is not reduced.
fn odd_encodings() -> Vec<Signed> {
    let mut all = Vec::new();
    for last in 0xe0..=0xff_u8 {
        for top in [0x7f, 0xff] {
            let mut encoding = [0xff; 32];
            (encoding[0], encoding[31]) = (last, top);
            for (key, r) in [(encoding, SMALL_ORDER[1]), (SMALL_ORDER[1], encoding), (encoding, encoding)] {
                all.push(Signed { key, message: vec![last], signature: signature(r, [0; 4]) });
            }
        }
    }
    all
}

fn bytes(text: &str) -> Vec<u8> {
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("hex");
    text.as_bytes().chunks(2).map(pair).collect()
}

fn of_hex(key: &str, message: &str, signature: &str) -> Signed {
    Signed {
        key: bytes(key).try_into().expect("32 bytes"),
        message: if message == "-" { Vec::new() } else { bytes(message) },
        signature: bytes(signature).try_into().expect("64 bytes"),
    }
}

/// RFC 8032, section 7.1.
fn standard() -> Vec<Signed> {
    let all: Vec<Signed> =
        RFC_8032.iter().map(|[key, message, signature]| of_hex(key, message, signature)).collect();
    assert!(all.iter().all(judged), "the standard's own examples");
    all
}

fn lines(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().filter(|line| !line.starts_with('#')).map(|line| line.split(' ').collect())
}

/// Project Wycheproof's. What it calls valid is valid; of what it calls invalid only the last, where R is y = 1 with the sign
/// of x set, is not so by ZIP-215.
fn wycheproof() -> Vec<Signed> {
    let mut all = Vec::new();
    for line in lines(include_str!("vectors/wycheproof.txt")) {
        let [number, result, key, message, signature] = line[..] else { panic!("five fields: {line:?}") };
        let one = of_hex(key, message, signature);
        assert_eq!(judged(&one), result == "valid" || number == "151", "{number}");
        all.push(one);
    }
    assert_eq!(all.len(), 139);
    all
}

/// Those of "Taming the many EdDSAs".
fn speccheck() -> Vec<Signed> {
    let all: Vec<Signed> =
        lines(include_str!("vectors/speccheck.txt")).map(|line| of_hex(line[0], line[1], line[2])).collect();
    assert_eq!(all.len(), 17);
    all
}

fn hard() -> Vec<Signed> {
    let sets = [
        small_order_pairs(),
        mixed(),
        unreduced(),
        flipped(),
        odd_encodings(),
        standard(),
        wycheproof(),
        speccheck(),
    ];
    sets.into_iter().flatten().collect()
}

#[test]
fn every_vector_alone_and_in_every_lane() {
    let all = hard();
    let valid = signed(8);
    for backend in Backend::all() {
        let mut verifier = Verifier::with_seed([2; 32]).on(backend);
        for (number, (one, item)) in all.iter().zip(items(&all)).enumerate() {
            let expected = if judged(one) { vec![] } else { vec![0] };
            assert_eq!(verifier.verify(&[item]), expected, "{} alone: {one:x?}", backend.name());
            let lane = number % 8;
            let mut batch = items(&valid);
            batch[lane] = item;
            let expected = if judged(one) { vec![] } else { vec![lane] };
            assert_eq!(verifier.verify(&batch), expected, "{} in lane {lane}: {one:x?}", backend.name());
        }
    }
}

/// Each vector among valid ones at a size of its own, in turn all the sizes around the switches of algorithm.
#[test]
fn every_vector_among_valid_ones_around_every_switch() {
    let (all, valid) = (hard(), signed(800));
    let small: Vec<usize> = SIZES.into_iter().filter(|&size| size <= 200).collect();
    let large: Vec<usize> = SIZES.into_iter().filter(|&size| (200..=800).contains(&size)).collect();
    for backend in Backend::all() {
        let mut verifier = Verifier::with_seed([7; 32]).on(backend);
        for (number, (one, item)) in all.iter().zip(items(&all)).enumerate() {
            let size =
                if number % 101 == 100 { large[number % large.len()] } else { small[number % small.len()] };
            let place = number * 31 % size;
            let mut batch = items(&valid[..size]);
            batch[place] = item;
            let expected = if judged(one) { vec![] } else { vec![place] };
            assert_eq!(verifier.verify(&batch), expected, "{}, {place} of {size}: {one:x?}", backend.name());
        }
    }
}

/// Those that are valid leave no equation failing, at any size: nothing falls back to a slower way.
#[test]
fn valid_vectors_pass_in_one_equation() {
    let mut all: Vec<Signed> = hard().into_iter().filter(judged).collect();
    all.extend(signed(150));
    for backend in Backend::all() {
        let mut verifier = Verifier::with_seed([4; 32]).on(backend);
        for size in SIZES {
            let some: Vec<_> = items(&all).into_iter().cycle().skip(size).take(size).collect();
            assert_eq!(verifier.verify(&some), Vec::<usize>::new(), "{} of {size}", backend.name());
            assert_eq!(verifier.failures(), 0, "{} of {size}", backend.name());
        }
    }
}

#[test]
fn vectors_of_all_kinds_in_one_batch_are_told_apart() {
    let all = hard();
    let verdicts: Vec<bool> = all.iter().map(judged).collect();
    for backend in Backend::all() {
        let mut verifier = Verifier::with_seed([5; 32]).on(backend);
        for size in SIZES.into_iter().filter(|&size| size < 1_000) {
            // A step without a common divisor visits all kinds, whatever the size.
            let chosen: Vec<usize> = (0..size).map(|place| (place * 617 + size) % all.len()).collect();
            let of_all = items(&all);
            let some: Vec<_> = chosen.iter().map(|&index| of_all[index]).collect();
            let expected: Vec<usize> = (0..size).filter(|&place| !verdicts[chosen[place]]).collect();
            assert_eq!(verifier.verify(&some), expected, "{} of {size}", backend.name());
        }
    }
}

/// However many are bad, the number of equations that fail is bounded.
#[test]
fn bad_ones_among_many_are_found_at_bounded_cost() {
    let mut all = signed(1_500);
    for step in [1_500, 700, 90, 7, 2, 1] {
        let bad: Vec<usize> = (0..all.len()).filter(|index| index % step == step / 2).collect();
        for &index in &bad {
            all[index].signature[40] ^= 4;
        }
        for backend in Backend::all() {
            let mut verifier = Verifier::with_seed([6; 32]).on(backend);
            assert_eq!(verifier.verify(&items(&all)), bad, "{}", backend.name());
            assert!((1..=16).contains(&verifier.failures()));
        }
        for &index in &bad {
            all[index].signature[40] ^= 4;
        }
    }
}

const RFC_8032: [[&str; 3]; 4] = [
    [
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "-",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ],
    [
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ],
    [
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ],
    [
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
    ],
];
