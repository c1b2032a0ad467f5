//! Verification of many signatures at once, by the rule stated in the crate's documentation.
//!
//! The backend is ed25519-zebra, whose rule is ZIP-215. A batch that fails is halved until the bad ones stand alone,
//! so `k` bad signatures among `n` cost about `2k·log2(n/k)` further batches and never change the verdict on the rest.

use std::collections::{BTreeSet, VecDeque};

use ed25519_zebra::{VerificationKey, VerificationKeyBytes, batch};
use rand_chacha::ChaCha12Rng;
use rand_core::SeedableRng;

/// One signature to check.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// Compressed public key.
    pub key: &'a [u8; 32],
    /// The signed bytes.
    pub message: &'a [u8],
    /// `R ‖ s`.
    pub signature: &'a [u8; 64],
}

/// Checks slices of signatures, optionally remembering those it accepted.
pub struct Verifier {
    random: ChaCha12Rng,
    memory: Option<Memory>,
}

impl Verifier {
    /// A verifier whose batch coefficients come from the operating system's randomness.
    ///
    /// # Errors
    /// When the operating system has no randomness to give.
    pub fn new() -> Result<Self, getrandom::Error> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)?;
        Ok(Self::with_seed(seed))
    }

    /// A verifier with known batch coefficients: for tests and simulation, where nobody forges against them.
    pub fn with_seed(seed: [u8; 32]) -> Self {
        Self { random: ChaCha12Rng::from_seed(seed), memory: None }
    }

    /// Remembers the last `capacity` accepted signatures and does not check them again.
    pub fn remembering(mut self, capacity: usize) -> Self {
        self.memory = Some(Memory { capacity, known: BTreeSet::new(), order: VecDeque::new() });
        self
    }

    /// The indices of the bad items, ascending; empty when all are good.
    pub fn verify(&mut self, items: &[Item<'_>]) -> Vec<usize> {
        let Some(memory) = &self.memory else {
            let all: Vec<usize> = (0..items.len()).collect();
            return bad_among(&mut self.random, items, &all);
        };
        let names: Vec<[u8; 32]> = items.iter().map(Memory::name).collect();
        let unknown: Vec<usize> = (0..items.len()).filter(|&i| !memory.known.contains(&names[i])).collect();
        let bad = bad_among(&mut self.random, items, &unknown);
        if let Some(memory) = &mut self.memory {
            for index in unknown {
                if bad.binary_search(&index).is_err() {
                    memory.insert(names[index]);
                }
            }
        }
        bad
    }
}

/// Whether `key` is a point of small order (or none at all): such a key signs everything, so a transaction that
/// names one is malformed. Checked beside the verifier, not in it.
pub fn is_small_order(key: &[u8; 32]) -> bool {
    ed25519_dalek::VerifyingKey::from_bytes(key).map_or(true, |key| key.is_weak())
}

/// Batches smaller than this are checked one by one, which is then the faster way.
const BATCH_MIN: usize = 4;

fn bad_among(random: &mut ChaCha12Rng, items: &[Item<'_>], indices: &[usize]) -> Vec<usize> {
    if indices.len() < BATCH_MIN {
        return indices.iter().copied().filter(|&index| !is_good(&items[index])).collect();
    }
    let mut batch = batch::Verifier::new();
    for &index in indices {
        let Item { key, message, signature } = items[index];
        batch.queue((VerificationKeyBytes::from(*key), signature_of(signature), message));
    }
    if batch.verify(&mut *random).is_ok() {
        return Vec::new();
    }
    let (left, right) = indices.split_at(indices.len() / 2);
    let mut bad = bad_among(random, items, left);
    bad.extend(bad_among(random, items, right));
    bad
}

fn is_good(item: &Item<'_>) -> bool {
    VerificationKey::try_from(*item.key)
        .and_then(|key| key.verify(&signature_of(item.signature), item.message))
        .is_ok()
}

fn signature_of(bytes: &[u8; 64]) -> ed25519_zebra::Signature {
    ed25519_zebra::Signature::from(*bytes)
}

/// A bounded, first-in-first-out set of accepted (key, message, signature) triples, named by their hash.
struct Memory {
    capacity: usize,
    known: BTreeSet<[u8; 32]>,
    order: VecDeque<[u8; 32]>,
}

impl Memory {
    fn name(item: &Item<'_>) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(item.key).update(item.signature).update(item.message);
        *hasher.finalize().as_bytes()
    }

    fn insert(&mut self, name: [u8; 32]) {
        if self.known.insert(name) {
            self.order.push_back(name);
        }
        while self.order.len() > self.capacity {
            if let Some(oldest) = self.order.pop_front() {
                self.known.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests;
