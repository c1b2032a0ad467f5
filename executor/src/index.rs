//! Finding a place by its key: open addressing over pairs of 32 hash bits and a place, 8 bytes each.
//!
//! The key itself stands in the slot of the place and is compared in full, so that the hash bits decide only how long
//! the search takes. Searches for many keys overlap: while one key is compared, the slots of the next and the buckets of those after
//! them are on their way, which hides most of the memory's latency.

use std::hash::{BuildHasher, RandomState};

use fresnel_crypto::{large_pages, prefetch};
use fresnel_types::StateKey;

use crate::slots::{Place, Slots, UNKNOWN};

/// From key to place.
pub(crate) struct Index {
    secrets: [u64; 2],
    /// The hash in the high half, the place plus one in the low half; zero is empty. Their number is a power of two.
    buckets: Vec<u64>,
    len: usize,
}

impl Default for Index {
    /// Keys are hashes already, but whoever makes addresses can choose among many, so that an index that takes their
    /// bits as they are could be filled along one chain. A secret of the process, which no result depends on, prevents
    /// that.
    fn default() -> Self {
        let random = RandomState::new();
        Self::with_secrets([random.hash_one(0), random.hash_one(1)])
    }
}

impl Index {
    /// An index whose order of search `secrets` decide.
    pub(crate) fn with_secrets(secrets: [u64; 2]) -> Self {
        Self { secrets, buckets: vec![0; BUCKETS_MIN], len: 0 }
    }

    /// The place of `key`, if it has one.
    pub(crate) fn find(&self, slots: &Slots, key: &StateKey) -> Option<Place> {
        let hash = self.hash(key);
        self.search(slots, key, hash, self.home(hash))
    }

    /// The places of `keys`, in order; [`UNKNOWN`] for those that have none.
    pub(crate) fn find_all(&self, slots: &Slots, keys: &[StateKey], places: &mut Vec<Place>) {
        let hashes: Vec<u32> = keys.iter().map(|key| self.hash(key)).collect();
        let load_bucket = |at: usize| {
            if let Some(hash) = hashes.get(at) {
                prefetch(&self.buckets[self.home(*hash)]);
            }
        };
        // Where the search of each key goes on once its slot is loaded.
        let mut candidates = [0; AHEAD];
        let mut load_slot = |at: usize| {
            let earlier = candidates[at % AHEAD];
            if let Some(hash) = hashes.get(at) {
                let candidate = self.candidate(*hash, self.home(*hash));
                self.place_at(candidate).into_iter().for_each(|place| prefetch(slots.get(place)));
                candidates[at % AHEAD] = candidate;
            }
            earlier
        };
        (0..2 * AHEAD).for_each(load_bucket);
        (0..AHEAD).for_each(|at| _ = load_slot(at));
        places.reserve(keys.len());
        for (at, key) in keys.iter().enumerate() {
            load_bucket(at + 2 * AHEAD);
            let candidate = load_slot(at + AHEAD);
            places.push(self.search(slots, key, hashes[at], candidate).unwrap_or(UNKNOWN));
        }
    }

    /// Adds a key that is not there, whose slot is `place`.
    pub(crate) fn insert(&mut self, key: &StateKey, place: Place) {
        if self.len * 10 >= self.buckets.len() * LOAD_TENTHS_MAX {
            self.grow();
        }
        self.len += 1;
        let hash = self.hash(key);
        self.put(u64::from(hash) << 32 | u64::from(place + 1));
    }

    /// Forgets all keys and keeps the memory.
    pub(crate) fn clear(&mut self) {
        if self.len > 0 {
            self.buckets.fill(0);
            self.len = 0;
        }
    }

    /// Takes 16 bytes of a key behind the owner's prefix: enough to part all keys, since they are hashes.
    fn hash(&self, key: &StateKey) -> u32 {
        let word =
            |at: usize| u64::from_le_bytes(key.0[at..at + 8].try_into().expect("a state key has 32 bytes"));
        let product = u128::from(word(4) ^ self.secrets[0]) * u128::from(word(12) ^ self.secrets[1]);
        let folded = (product as u64) ^ ((product >> 64) as u64);
        (folded ^ folded >> 32) as u32
    }

    /// The bucket at which the search for a hash begins: its highest bits, so that growing keeps the order.
    fn home(&self, hash: u32) -> usize {
        ((u64::from(hash) * self.buckets.len() as u64) >> 32) as usize
    }

    fn search(&self, slots: &Slots, key: &StateKey, hash: u32, home: usize) -> Option<Place> {
        let mut at = home;
        loop {
            at = self.candidate(hash, at);
            let place = self.place_at(at)?;
            if slots.get(place).has_key(key) {
                return Some(place);
            }
            at = self.after(at);
        }
    }

    /// The first bucket from `at` on that has a hash, or is empty.
    #[inline]
    fn candidate(&self, hash: u32, mut at: usize) -> usize {
        while self.buckets[at] != 0 && (self.buckets[at] >> 32) as u32 != hash {
            at = self.after(at);
        }
        at
    }

    /// The place in a bucket, if it is not empty.
    #[inline]
    fn place_at(&self, at: usize) -> Option<Place> {
        (self.buckets[at] as Place).checked_sub(1)
    }

    #[inline]
    fn after(&self, at: usize) -> usize {
        (at + 1) & (self.buckets.len() - 1)
    }

    fn put(&mut self, bucket: u64) {
        let mut at = self.home((bucket >> 32) as u32);
        while self.buckets[at] != 0 {
            at = self.after(at);
        }
        self.buckets[at] = bucket;
    }

    /// Doubles the buckets. The hash bits that stand in them place them anew, so no slot is read.
    fn grow(&mut self) {
        let double = vec![0; self.buckets.len() * 2];
        large_pages(&double);
        for bucket in std::mem::replace(&mut self.buckets, double) {
            if bucket != 0 {
                self.put(bucket);
            }
        }
    }
}

const BUCKETS_MIN: usize = 16;

/// Above this load, searches for keys that are not there get long.
const LOAD_TENTHS_MAX: usize = 7;

/// How many keys ahead slots are loaded, and as many again buckets: together what a core of today keeps waiting for at once, or a
/// little more.
const AHEAD: usize = 16;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The index against a map, with secrets that make many keys share a hash, and growth in between.
        #[test]
        fn finds_what_was_inserted_and_nothing_else(
            secrets in any::<[u64; 2]>(),
            numbers in prop::collection::vec(0_u64..300, 1..400),
        ) {
            let key = |number: u64| {
                let mut bytes = [0; 32];
                // Of the hashed bytes only few differ, so that chains are long and the full key decides.
                bytes[4] = (number % 5) as u8;
                bytes[24..].copy_from_slice(&number.to_be_bytes());
                StateKey(bytes)
            };
            let mut slots = Slots::default();
            let mut index = Index::with_secrets(secrets);
            let mut model = BTreeMap::new();
            for number in &numbers {
                prop_assert_eq!(index.find(&slots, &key(*number)), model.get(number).copied());
                if !model.contains_key(number) {
                    let place = model.len() as Place;
                    if slots.capacity() == model.len() {
                        slots = slots.grown();
                    }
                    slots.get(place).set_key(&key(*number));
                    index.insert(&key(*number), place);
                    model.insert(*number, place);
                }
            }
            let (keys, expected): (Vec<_>, Vec<_>) =
                (0..300).map(|number| (key(number), model.get(&number).copied().unwrap_or(UNKNOWN))).unzip();
            let mut places = vec![];
            index.find_all(&slots, &keys, &mut places);
            prop_assert_eq!(places, expected);
        }
    }
}
