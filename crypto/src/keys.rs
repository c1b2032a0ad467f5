//! Decoded public keys, kept for the next signature by the same key.
//!
//! A table with one slot per place: a key goes where its bytes, times a secret odd number, say, and takes the place of
//! whoever was there. So memory is bounded, a look-up touches one slot, and nobody can choose keys that keep hitting the
//! place of another.

use crate::{lanes::AffineRow, prefetch};

/// The table.
#[derive(Debug)]
pub(crate) struct Keys {
    slots: Vec<Slot>,
    /// Logarithm of the number of slots; none are kept before the first use.
    bits: u32,
    multiplier: u64,
    /// Number of the batch at hand, from 1 on.
    batch: u64,
}

#[derive(Clone, Debug)]
struct Slot {
    key: [u8; 32],
    row: AffineRow,
    is_decoded: bool,
    /// The last batch in which the key occurred, and its row there.
    batch: u64,
    place: u32,
}

/// What is known of a key.
#[derive(Debug)]
pub(crate) enum Known<'a> {
    /// It has this row in the batch at hand already.
    Here(u32),
    /// It was decoded for an earlier batch, to this.
    Before(&'a AffineRow),
    /// Nothing.
    No,
}

impl Keys {
    /// Room for at least `capacity` keys, at most 2^32. `secret` places them.
    pub(crate) fn new(capacity: usize, secret: u64) -> Self {
        let bits = capacity.next_power_of_two().ilog2().clamp(1, 32);
        Self { slots: Vec::new(), bits, multiplier: secret | 1, batch: 0 }
    }

    /// Begins a batch.
    pub(crate) fn begin(&mut self) {
        if self.slots.is_empty() {
            let empty =
                Slot { key: [0; 32], row: AffineRow::IDENTITY, is_decoded: false, batch: 0, place: 0 };
            self.slots.resize(1 << self.bits, empty);
        }
        self.batch += 1;
    }

    /// Says that `key` will be looked for soon: its slot is likely far away in memory.
    pub(crate) fn expect(&mut self, key: &[u8; 32]) {
        let slot = self.slot(key);
        prefetch(&slot.key);
        prefetch(&slot.row.0[0]);
        prefetch(&slot.row.0[8]);
    }

    /// What is known of `key`, which from now on has row `place` in this batch unless it has one already.
    pub(crate) fn find(&mut self, key: &[u8; 32], place: u32) -> Known<'_> {
        let batch = self.batch;
        let slot = self.slot(key);
        let is_same = slot.key == *key;
        if is_same && slot.batch == batch {
            return Known::Here(slot.place);
        }
        (slot.batch, slot.place) = (batch, place);
        if is_same && slot.is_decoded {
            return Known::Before(&slot.row);
        }
        (slot.key, slot.is_decoded) = (*key, false);
        Known::No
    }

    /// Keeps the row of a key, unless another has taken its slot since.
    pub(crate) fn keep(&mut self, key: &[u8; 32], row: &AffineRow) {
        let slot = self.slot(key);
        if slot.key == *key {
            (slot.row, slot.is_decoded) = (*row, true);
        }
    }

    fn slot(&mut self, key: &[u8; 32]) -> &mut Slot {
        let (words, _) = key.as_chunks::<8>();
        let place = u64::from_le_bytes(words[0]).wrapping_mul(self.multiplier) >> (64 - self.bits);
        &mut self.slots[place as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(number: u64) -> AffineRow {
        AffineRow([number; 16])
    }

    #[test]
    fn a_key_is_known_within_a_batch_and_after_it_was_kept() {
        let mut keys = Keys::new(8, 77);
        let key = [5; 32];
        keys.begin();
        assert!(matches!(keys.find(&key, 2), Known::No));
        assert!(matches!(keys.find(&key, 3), Known::Here(2)));
        keys.begin();
        // It was never kept, as if its bytes were no point.
        assert!(matches!(keys.find(&key, 4), Known::No));
        keys.keep(&key, &row(9));
        assert!(matches!(keys.find(&key, 5), Known::Here(4)));
        keys.begin();
        assert!(matches!(keys.find(&key, 6), Known::Before(kept) if kept.0 == row(9).0));
        assert!(matches!(keys.find(&key, 7), Known::Here(6)));
    }

    /// More keys than slots: whoever is found has its own row, whatever stood in the slot in between.
    #[test]
    fn keys_that_share_a_slot_never_share_a_row() {
        let mut keys = Keys::new(4, 0x9e37_79b9_7f4a_7c15);
        for round in 0..50_u32 {
            keys.begin();
            for number in (0..40_u8).filter(|&number| (u32::from(number) * 7 + round) % 3 > 0) {
                let mut key = [number; 32];
                // Keys that differ only behind the bytes that place them.
                key[..8].fill(number % 5);
                match keys.find(&key, u32::from(number)) {
                    Known::Here(place) => assert_eq!(place, u32::from(number)),
                    Known::Before(kept) => assert_eq!(kept.0, row(u64::from(number)).0),
                    Known::No => {}
                }
                if round % 2 == 0 {
                    keys.keep(&key, &row(u64::from(number)));
                }
            }
        }
    }
}
