//! A map from hashes, for where there are too many entries for a tree and each is touched several times.
//!
//! It has no order and nobody can go through it, so nothing that replicas agree on can depend on how it lies in memory.

#[expect(
    clippy::disallowed_types,
    reason = "with a stated hasher, and never iterated: the type below has no way to"
)]
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};

/// A map whose keys are hashes of at least 16 bytes: ids, addresses.
#[derive(Clone, Debug)]
#[expect(clippy::disallowed_types, reason = "as above")]
pub struct IdMap<K, V>(HashMap<K, V, Secrets>);

impl<K, V> Default for IdMap<K, V> {
    fn default() -> Self {
        Self(Default::default())
    }
}

impl<K: Eq + Hash, V> IdMap<K, V> {
    /// What `key` has.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.0.get(key)
    }

    /// The same, to change it.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.0.get_mut(key)
    }

    /// What `key` has; where there is nothing, what `make` gives.
    pub fn get_or_insert_with(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        self.0.entry(key).or_insert_with(make)
    }

    /// Whether `key` has anything.
    pub fn contains(&self, key: &K) -> bool {
        self.0.contains_key(key)
    }

    /// Sets what `key` has; gives what it had before.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.0.insert(key, value)
    }

    /// Removes `key`; gives what it had.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.0.remove(key)
    }

    /// How many keys have anything.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none has.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Keys are hashes already, but whoever makes them can choose among many, so that a map which takes their bits as they are
/// could be filled along one chain. Secrets of the process prevent that.
#[derive(Clone, Debug)]
struct Secrets([u64; 2]);

impl Default for Secrets {
    fn default() -> Self {
        let random = RandomState::new();
        Self([random.hash_one(0), random.hash_one(1)])
    }
}

impl BuildHasher for Secrets {
    type Hasher = Fold;

    fn build_hasher(&self) -> Fold {
        Fold { secrets: self.0, word: 0 }
    }
}

/// Takes 16 bytes of a hash: enough to part all keys. The product of two words, each with its secret, folded.
struct Fold {
    secrets: [u64; 2],
    word: u64,
}

impl Hasher for Fold {
    fn write(&mut self, bytes: &[u8]) {
        let (words, _) = bytes.as_chunks::<8>();
        let [first, second, ..] = words else { panic!("a key of an `IdMap` is a hash of 16 bytes or more") };
        let product = u128::from(u64::from_le_bytes(*first) ^ self.secrets[0])
            * u128::from(u64::from_le_bytes(*second) ^ self.secrets[1]);
        self.word ^= (product as u64) ^ ((product >> 64) as u64);
    }

    /// All keys of a map are equally long.
    fn write_usize(&mut self, _length: usize) {}

    fn finish(&self) -> u64 {
        self.word
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::TransactionId;

    proptest! {
        /// Against a tree, with keys of which many share the hashed bytes.
        #[test]
        fn it_holds_what_a_tree_holds(steps in prop::collection::vec((0_u8..40, any::<Option<u16>>()), 0..300)) {
            let (mut map, mut model) = (IdMap::default(), BTreeMap::new());
            for (number, value) in steps {
                let mut key = TransactionId::default();
                (key.0[0], key.0[31]) = (number % 3, number);
                match value {
                    Some(value) => prop_assert_eq!(map.insert(key, value), model.insert(key, value)),
                    None => prop_assert_eq!(map.remove(&key), model.remove(&key)),
                }
                prop_assert_eq!(map.get(&key), model.get(&key));
                prop_assert_eq!(map.len(), model.len());
            }
            for (key, value) in &model {
                prop_assert_eq!(map.get(key), Some(value));
            }
        }
    }
}
