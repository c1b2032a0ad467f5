//! The accounts of a shard: found by state key, numbered for good, with a list of those that the open block changed.
//!
//! Keys that no account has yet get a place for the block that mentions them. When the block is over, those whose
//! account was opened keep it; the others give it back, so that nobody fills memory by paying to accounts that are
//! never opened.

use std::sync::{Arc, PoisonError, RwLock};

use fresnel_crypto::prefetch;
use fresnel_types::{StateKey, leaves::Account};

use crate::{
    index::Index,
    slots::{Place, Slot, Slots, UNKNOWN, Value, exists, load, store},
    sync::atomic::Ordering::Relaxed,
};

/// All accounts of a shard.
pub struct Table {
    slots: Slots,
    directory: Arc<Directory>,
    /// Keys that got a place in the open block.
    fresh: Index,
    fresh_places: Vec<Place>,
    /// Places below `next` that no key has.
    free: Vec<Place>,
    next: Place,
    /// The epoch that marks of changed slots carry.
    epoch: u32,
    changed: Vec<Place>,
}

/// The permanent keys. Whoever shares it may look keys up while a block executes; it changes between blocks only.
#[derive(Default)]
pub(crate) struct Directory {
    known: RwLock<Known>,
}

#[derive(Default)]
struct Known {
    index: Index,
    slots: Slots,
}

impl Directory {
    fn find(&self, key: &StateKey) -> Option<Place> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.index.find(&known.slots, key)
    }

    /// The places of `keys`, [`UNKNOWN`] where there is none.
    pub(crate) fn find_all(&self, keys: &[StateKey], places: &mut Vec<Place>) {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.index.find_all(&known.slots, keys, places);
    }

    fn change<T>(&self, change: impl FnOnce(&mut Known) -> T) -> T {
        change(&mut self.known.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Default for Table {
    fn default() -> Self {
        let directory = Arc::<Directory>::default();
        Self {
            slots: directory.change(|known| known.slots.clone()),
            directory,
            fresh: Index::default(),
            fresh_places: Vec::new(),
            free: Vec::new(),
            next: 0,
            epoch: 1,
            changed: Vec::new(),
        }
    }
}

impl Table {
    /// For those who look keys up ahead.
    pub(crate) fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// The place of `key` if it has one, be it for the open block only.
    pub fn find(&self, key: &StateKey) -> Option<Place> {
        self.directory.find(key).or_else(|| self.fresh.find(&self.slots, key))
    }

    /// The place of `key`, which gets one for the open block if it has none.
    pub fn place(&mut self, key: &StateKey) -> Place {
        self.find(key).unwrap_or_else(|| {
            let place = self.take_place(key);
            self.fresh.insert(key, place);
            self.fresh_places.push(place);
            place
        })
    }

    /// The account at `place`, if it was opened.
    pub(crate) fn get(&self, place: Place) -> Option<Account> {
        load(&self.value(place))
    }

    /// The words at `place`.
    pub fn value(&self, place: Place) -> Value {
        self.slots.get(place).value()
    }

    /// Writes the account at `place`, opening it if it was not.
    pub(crate) fn set(&mut self, place: Place, account: &Account) {
        self.set_value(place, &store(account));
    }

    /// Writes the words at `place`.
    pub fn set_value(&mut self, place: Place, value: &Value) {
        let slot = self.slots.get(place);
        slot.set_value(value);
        if slot.mark_changed(self.epoch).is_first {
            self.changed.push(place);
        }
    }

    /// Gives a key that has none a place for good. What stands there is to be written at once, and does not count as
    /// changed.
    pub(crate) fn open(&mut self, key: &StateKey) -> Place {
        assert!(self.find(key).is_none(), "leaf {key} was opened twice");
        let place = self.take_place(key);
        self.directory.change(|known| known.index.insert(key, place));
        place
    }

    /// The slots, for several threads to execute on.
    pub(crate) fn slots(&self) -> &Slots {
        &self.slots
    }

    /// What executing on the slots takes: the slots, the epoch, and where changed places go.
    pub(crate) fn parts(&mut self) -> (&Slots, u32, &mut Vec<Place>) {
        (&self.slots, self.epoch, &mut self.changed)
    }

    /// Notes places that were written through the slots, and empties the list.
    pub(crate) fn note_changed(&mut self, places: &mut Vec<Place>) {
        self.changed.append(places);
    }

    /// Ends a block: gives the places changed since the last call, ascending by key, and settles which new keys stay.
    pub fn take_changed(&mut self) -> Vec<Place> {
        self.settle();
        // Key prefixes above their places, since single numbers sort fastest; few prefixes are equal.
        let mut changed: Vec<u128> = self
            .loaded_ahead(&self.changed)
            .map(|(place, slot)| u128::from(slot.prefix()) << Place::BITS | u128::from(place))
            .collect();
        self.changed.clear();
        changed.sort_unstable();
        changed.dedup();
        let prefix = |one: &u128| one >> Place::BITS;
        for equal in
            changed.chunk_by_mut(|one, next| prefix(one) == prefix(next)).filter(|equal| equal.len() > 1)
        {
            equal.sort_unstable_by_key(|one| self.key(*one as Place));
        }
        self.next_epoch();
        changed.into_iter().map(|one| one as Place).collect()
    }

    /// The key that has a place.
    pub fn key(&self, place: Place) -> StateKey {
        self.slots.get(place).key()
    }

    /// The slots of many places, in order, each asked for some time before its turn.
    pub(crate) fn loaded_ahead<'a>(&'a self, places: &'a [Place]) -> impl Iterator<Item = (Place, &'a Slot)> {
        places.iter().enumerate().map(|(at, place)| {
            if let Some(later) = places.get(at + LOADED_AHEAD) {
                prefetch(self.slots.get(*later));
            }
            (*place, self.slots.get(*place))
        })
    }

    fn settle(&mut self) {
        let slots = &self.slots;
        let free = &mut self.free;
        let mut fresh = self.fresh_places.drain(..).peekable();
        if fresh.peek().is_some() {
            self.directory.change(|known| {
                for place in fresh {
                    let slot = slots.get(place);
                    if exists(&slot.value()) {
                        known.index.insert(&slot.key(), place);
                    } else {
                        free.push(place);
                    }
                }
            });
        }
        self.fresh.clear();
    }

    /// Makes all that heads of slots say void. Gives the new epoch.
    pub(crate) fn next_epoch(&mut self) -> u32 {
        if self.epoch == u32::MAX {
            self.slots.iter().for_each(|slot| slot.head.store(0, Relaxed));
            self.epoch = 0;
        }
        self.epoch += 1;
        self.epoch
    }

    /// A slot for `key`, without account.
    fn take_place(&mut self, key: &StateKey) -> Place {
        let place = self.free.pop().unwrap_or_else(|| {
            assert!(self.next < UNKNOWN - 1, "a shard has fewer than 2^32 - 2 accounts");
            if self.next as usize == self.slots.capacity() {
                self.slots = self.slots.grown();
                self.directory.change(|known| known.slots = self.slots.clone());
            }
            self.next += 1;
            self.next - 1
        });
        self.slots.get(place).set_key(key);
        place
    }
}

/// As many lines as a core of today waits for at once, or a little more.
const LOADED_AHEAD: usize = 32;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use fresnel_types::Amount;
    use proptest::prelude::*;

    use super::*;

    fn key(number: u64) -> StateKey {
        let mut bytes = [0; 32];
        // Few keys differ in their first word, so that sorting needs the others.
        bytes[0] = (number % 3) as u8;
        bytes[8..16].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        StateKey(bytes)
    }

    proptest! {
        /// Blocks of mentioned and opened accounts against a map: what was opened keeps its place, what was not gives
        /// it back, and each block says what it changed, ascending, once.
        #[test]
        fn keeps_what_was_opened(
            blocks in prop::collection::vec(prop::collection::vec((0_u64..400, any::<bool>()), 0..200), 1..8),
            epoch in prop::sample::select(vec![1, u32::MAX - 3]),
        ) {
            let mut table = Table { epoch, ..Table::default() };
            let mut model = BTreeMap::new();
            let mut places = BTreeMap::new();
            for block in &blocks {
                let mut changed = BTreeMap::new();
                for (number, write) in block {
                    let place = table.place(&key(*number));
                    prop_assert_eq!(table.place(&key(*number)), place);
                    prop_assert_eq!(table.get(place), model.get(number).copied());
                    if *write {
                        let account = model.entry(*number).or_insert_with(Account::default);
                        account.balance.0 += 1;
                        changed.insert(key(*number), *account);
                        table.set(place, account);
                        prop_assert_eq!(*places.entry(*number).or_insert(place), place);
                    }
                }
                let of_block = table.take_changed().into_iter();
                let of_block = of_block.map(|place| (table.key(place), table.get(place).expect("opened")));
                prop_assert_eq!(of_block.collect::<Vec<_>>(), changed.into_iter().collect::<Vec<_>>());
            }
            for number in 0..400 {
                prop_assert_eq!(table.find(&key(number)), places.get(&number).copied());
            }
            let mentioned: usize = blocks.iter().map(Vec::len).max().unwrap_or(0);
            prop_assert!(table.next as usize <= places.len() + mentioned, "places are given back");
        }
    }

    #[test]
    fn slots_stay_where_they_are_while_a_table_grows() {
        const ACCOUNTS: u64 = if cfg!(miri) { 50 } else { 70_000 };
        let mut table = Table::default();
        for number in 0..ACCOUNTS {
            let place = table.open(&key(number));
            let account = Account { balance: Amount(number), ..Account::default() };
            table.slots().get(place).set_value(&store(&account));
        }
        let keys: Vec<_> = (0..=ACCOUNTS).map(key).collect();
        let mut found = vec![];
        table.directory().find_all(&keys, &mut found);
        assert_eq!(found.pop(), Some(UNKNOWN));
        for (number, place) in (0..).zip(found) {
            assert_eq!(table.get(place).expect("opened").balance, Amount(number));
        }
        assert!(table.take_changed().is_empty());
    }
}
