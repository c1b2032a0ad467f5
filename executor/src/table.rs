//! The accounts of a shard: dense, found by state key, with a list of those that the open block changed.

use std::hash::{BuildHasher, Hasher, RandomState};

use fresnel_types::{StateKey, leaves::Account};

/// All accounts of a shard.
#[derive(Default)]
pub(crate) struct Table {
    places: Places,
    keys: Vec<StateKey>,
    accounts: Vec<Account>,
    /// Per account, whether it is in `changed`.
    marks: Vec<bool>,
    changed: Vec<Place>,
}

/// Where an account stands; stays the same for good.
pub(crate) type Place = u32;

impl Table {
    pub(crate) fn find(&self, key: &StateKey) -> Option<Place> {
        self.places.get(key).copied()
    }

    pub(crate) fn get(&self, place: Place) -> &Account {
        &self.accounts[place as usize]
    }

    /// An account to be changed.
    pub(crate) fn change(&mut self, place: Place) -> &mut Account {
        if !std::mem::replace(&mut self.marks[place as usize], true) {
            self.changed.push(place);
        }
        &mut self.accounts[place as usize]
    }

    /// Adds an account that does not exist. It does not count as changed.
    pub(crate) fn open(&mut self, key: StateKey, account: Account) -> Place {
        let place = Place::try_from(self.accounts.len()).expect("a shard has fewer than 2^32 accounts");
        let before = self.places.insert(key, place);
        assert!(before.is_none(), "account {key} was opened twice");
        self.keys.push(key);
        self.accounts.push(account);
        self.marks.push(false);
        place
    }

    /// Takes the accounts changed since the last call, ascending by key.
    pub(crate) fn take_changed(&mut self) -> impl Iterator<Item = (StateKey, Account)> {
        let mut changed: Vec<(StateKey, Place)> =
            self.changed.drain(..).map(|place| (self.keys[place as usize], place)).collect();
        changed.sort_unstable();
        for (_, place) in &changed {
            self.marks[*place as usize] = false;
        }
        changed.into_iter().map(|(key, place)| (key, self.accounts[place as usize]))
    }
}

#[expect(
    clippy::disallowed_types,
    reason = "a lookup per account is the cost of execution; this map is never iterated, so its order shows nowhere"
)]
type Places = std::collections::HashMap<StateKey, Place, KeyHashing>;

/// Keys are hashes already, but whoever makes addresses can choose among many, so that a map that takes their bits as
/// they are could be filled along one chain. A secret of the process, which no result depends on, prevents that.
#[derive(Clone)]
struct KeyHashing {
    secrets: [u64; 2],
}

impl Default for KeyHashing {
    fn default() -> Self {
        let random = RandomState::new();
        Self { secrets: [random.hash_one(0), random.hash_one(1)] }
    }
}

impl BuildHasher for KeyHashing {
    type Hasher = KeyHasher;

    fn build_hasher(&self) -> KeyHasher {
        KeyHasher { secrets: self.secrets, hash: 0 }
    }
}

struct KeyHasher {
    secrets: [u64; 2],
    hash: u64,
}

impl Hasher for KeyHasher {
    /// Takes 16 bytes of a key behind the owner's prefix: enough to part all keys, since they are hashes.
    fn write(&mut self, bytes: &[u8]) {
        let word =
            |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("a state key has 32 bytes"));
        let product = u128::from(word(4) ^ self.secrets[0]) * u128::from(word(12) ^ self.secrets[1]);
        self.hash = (product as u64) ^ ((product >> 64) as u64);
    }

    /// The length that precedes the bytes of an array: the same for every key.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.hash
    }
}
