//! Verification of many signatures at once, by the rule stated in the crate's documentation.
//!
//! Whatever the number of signatures, they go through one way of checking, [`Batch`], and what is bad is named exactly.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};
use rayon::ThreadPool;

use crate::{
    backend::{Backend, with_lanes},
    batch::{BATCH_MAX, Batch},
    keys::Keys,
};

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

/// Checks slices of signatures, optionally on several threads, optionally remembering those it accepted.
///
/// It holds scratch memory and decoded keys, so keep it: after the first batches it allocates nothing for good ones.
pub struct Verifier {
    backend: Backend,
    random: ChaCha12Rng,
    /// One for each thread; the first is the only one without a pool.
    workers: Vec<Worker>,
    pool: Option<Arc<ThreadPool>>,
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
        let (backend, mut random) = (Backend::detect(), ChaCha12Rng::from_seed(seed));
        let workers = vec![Worker::new(backend, &mut random, KEYS_KEPT)];
        Self { backend, random, workers, pool: None, memory: None }
    }

    /// Uses `backend` instead of the fastest one, and forgets all keys. The answers are the same.
    pub fn on(mut self, backend: Backend) -> Self {
        self.backend = backend;
        self.keeping(KEYS_KEPT)
    }

    /// Keeps about `keys` decoded keys on each thread, 192 bytes each, in place of the usual number. Signatures under a kept
    /// key are checked faster; the answers are the same.
    pub fn keeping(mut self, keys: usize) -> Self {
        let count = self.workers.len();
        self.workers = (0..count).map(|_| Worker::new(self.backend, &mut self.random, keys)).collect();
        self
    }

    /// Uses the threads of `pool`, each for a part of the slice. The answers are the same; small slices stay on one thread.
    /// To be called from outside the pool, or else from where its other threads are free.
    pub fn across(mut self, pool: Arc<ThreadPool>) -> Self {
        let count = pool.current_num_threads();
        self.workers.resize_with(count, || Worker::new(self.backend, &mut self.random, KEYS_KEPT));
        self.pool = Some(pool);
        self
    }

    /// Remembers the last `capacity` accepted signatures and does not check them again.
    pub fn remembering(mut self, capacity: usize) -> Self {
        self.memory = Some(Memory { capacity, known: BTreeSet::new(), order: VecDeque::new() });
        self
    }

    /// The indices of the bad items, ascending; empty when all are good.
    pub fn verify(&mut self, items: &[Item<'_>]) -> Vec<usize> {
        let Some(memory) = &self.memory else {
            return self.bad_among(items, 0..items.len());
        };
        let names: Vec<[u8; 32]> = items.iter().map(Memory::name).collect();
        let unknown: Vec<usize> = (0..items.len()).filter(|&i| !memory.known.contains(&names[i])).collect();
        let bad = self.bad_among(items, unknown.iter().copied());
        if let Some(memory) = &mut self.memory {
            for index in unknown {
                if bad.binary_search(&index).is_err() {
                    memory.insert(names[index]);
                }
            }
        }
        bad
    }

    /// How many equations over several signatures have failed so far. Each was followed by a search, for which everybody
    /// else of the batch waited: bad signatures are best checked apart from those of others.
    pub fn failures(&self) -> u64 {
        self.workers.iter().map(|worker| worker.failures).sum()
    }

    fn bad_among(&mut self, items: &[Item<'_>], indices: impl ExactSizeIterator<Item = usize>) -> Vec<usize> {
        let Self { backend, workers, pool, .. } = self;
        let parts = (indices.len() / PART_MIN).clamp(1, workers.len());
        if let Some(pool) = pool.as_ref().filter(|_| parts > 1) {
            let indices: Vec<usize> = indices.collect();
            pool.scope(|scope| {
                for (worker, part) in workers.iter_mut().zip(indices.chunks(indices.len().div_ceil(parts))) {
                    scope.spawn(|_| worker.verify(*backend, items, part.iter().copied()));
                }
            });
        } else {
            workers[0].verify(*backend, items, indices);
        }
        let mut bad = Vec::new();
        workers.iter_mut().for_each(|worker| bad.append(&mut worker.bad));
        bad.sort_unstable();
        bad
    }
}

/// What one thread has.
struct Worker {
    random: ChaCha12Rng,
    batch: Batch,
    /// Indices of the bad ones found.
    bad: Vec<usize>,
    /// Equations that failed, of all batches.
    failures: u64,
}

impl Worker {
    fn new(backend: Backend, random: &mut ChaCha12Rng, keys: usize) -> Self {
        let keys = Keys::new(keys, random.next_u64());
        let batch = with_lanes!(backend, lanes => Batch::new(lanes, keys));
        Self { random: ChaCha12Rng::from_rng(random), batch, bad: Vec::new(), failures: 0 }
    }

    fn verify(&mut self, backend: Backend, items: &[Item<'_>], indices: impl Iterator<Item = usize>) {
        let Self { random, batch, bad, failures } = self;
        let mut indices = indices.peekable();
        while indices.peek().is_some() {
            let some = indices.by_ref().take(BATCH_MAX);
            let random = || u128::from(random.next_u64()) << 64 | u128::from(random.next_u64());
            with_lanes!(backend, lanes => batch.verify(lanes, items, some, random, bad));
            *failures += batch.failures() as u64;
        }
    }
}

/// Fewer signatures than this are not worth another thread: large batches cost less for each.
const PART_MIN: usize = 512;
/// Decoded keys that a verifier keeps unless told otherwise: 3 MiB.
const KEYS_KEPT: usize = 1 << 14;

/// Whether `key` encodes a point of small order: such a key signs everything, so a transaction that names one is
/// malformed. Checked beside the verifier, not in it. Bytes that are no point at all verify nothing and are not meant.
pub fn is_small_order(key: &[u8; 32]) -> bool {
    let mut y = *key;
    y[31] &= 0x7f;
    SMALL_ORDER.contains(&y)
}

/// The y coordinates of the eight points of small order, the sign bit cleared, as any decoder reads them: 0, 1, −1 and
/// the two of order eight, then the encodings of 0 and 1 that are not reduced modulo p (no other has room below 2^255).
const SMALL_ORDER: [[u8; 32]; 7] = [
    with_ends(0, 0, 0),
    with_ends(1, 0, 0),
    with_ends(0xec, 0xff, 0x7f),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5,
        0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a,
        0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
    with_ends(0xed, 0xff, 0x7f),
    with_ends(0xee, 0xff, 0x7f),
];

/// `first`, then 30 times `middle`, then `last`.
const fn with_ends(first: u8, middle: u8, last: u8) -> [u8; 32] {
    let mut bytes = [middle; 32];
    bytes[0] = first;
    bytes[31] = last;
    bytes
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
