//! What the fuzzer and the replay of its corpus share: bytes are read as a batch of signatures, honest ones that are then
//! damaged, and every backend must say of each of them what ed25519-zebra says, alone and together.

use ed25519_zebra::VerificationKey;
use fresnel_crypto::{Backend, Item, SigningKey, Verifier};

/// Signatures of one batch: beyond every small switch of algorithm, and still many batches a second.
const SIGNATURES_MAX: usize = 130;

struct Signed {
    key: [u8; 32],
    message: Vec<u8>,
    signature: [u8; 64],
}

/// Checks the batch that `bytes` stand for.
///
/// # Panics
/// When a backend and zebra disagree.
pub(crate) fn check(bytes: &[u8]) {
    let all = batch(bytes);
    let items: Vec<Item<'_>> = all
        .iter()
        .map(|one| Item { key: &one.key, message: &one.message, signature: &one.signature })
        .collect();
    let expected: Vec<usize> = (0..all.len()).filter(|&index| !is_good(&all[index])).collect();
    for backend in Backend::all() {
        let mut verifier = Verifier::with_seed([bytes.len() as u8; 32]).on(backend).keeping(16);
        assert_eq!(verifier.verify(&items), expected, "{}", backend.name());
        // Again with keys that are known, and a few of them alone.
        assert_eq!(verifier.verify(&items), expected, "{} again", backend.name());
        for (index, item) in items.iter().enumerate().take(3) {
            assert_eq!(
                verifier.verify(&[*item]).is_empty(),
                !expected.contains(&index),
                "{}",
                backend.name()
            );
        }
    }
}

fn is_good(one: &Signed) -> bool {
    VerificationKey::try_from(one.key).and_then(|key| key.verify(&one.signature.into(), &one.message)).is_ok()
}

/// A signature takes three bytes, signer, length of its message and damage, and what the damage needs.
fn batch(bytes: &[u8]) -> Vec<Signed> {
    let mut rest = bytes.iter().copied();
    let mut all = Vec::new();
    while all.len() < SIGNATURES_MAX
        && let (Some(signer), Some(length), Some(damage)) = (rest.next(), rest.next(), rest.next())
    {
        let secret = SigningKey::from_bytes(&[signer; 32]);
        let mut message = vec![signer; usize::from(length) * 2];
        let mut one = Signed { key: secret.public(), signature: secret.sign(&message), message: Vec::new() };
        let mut next = || rest.next().unwrap_or(0);
        match damage % 10 {
            1 => flip(&mut one.key, next()),
            2 => flip(&mut one.signature[..32], next()),
            3 => flip(&mut one.signature[32..], next()),
            4 => message.push(next()),
            5 => one.key = small(next()),
            6 => one.signature[..32].copy_from_slice(&small(next())),
            7 => {
                // Both of small order: good if s is zero.
                (one.key, one.signature) = (small(next()), [0; 64]);
                one.signature[..32].copy_from_slice(&small(next()));
                one.signature[32] = next() & 1;
            }
            8 => one.key = std::array::from_fn(|_| next()),
            9 => one.signature[usize::from(next() & 32)..][..32].fill_with(next),
            _ => {}
        }
        one.message = message;
        all.push(one);
    }
    all
}

fn flip(bytes: &mut [u8], bit: u8) {
    bytes[usize::from(bit / 8) % 32] ^= 1 << (bit % 8);
}

/// Encodings near 0 and near p with either sign, among them all of small order but those of order eight.
fn small(choice: u8) -> [u8; 32] {
    let mut bytes = if choice & 2 == 0 { [0; 32] } else { [0xff; 32] };
    bytes[0] = if choice & 2 == 0 { choice >> 2 & 3 } else { 0xe8 + (choice >> 2 & 15) };
    bytes[31] = bytes[31] & 0x7f | choice << 7;
    bytes
}
