//! Where accounts stand: one slot of one cache line each, numbered densely, in segments that never move.
//!
//! All words are atomics, which cost what plain words cost on the processors we know. So one thread can look keys up
//! while another executes, and several threads can execute one block. What keeps them from reading half-written
//! accounts is stated where they meet: keys are written once before anybody is told the place, accounts only by the
//! executor between blocks or by rules of the engine.

use std::sync::Arc;

use fresnel_types::{StateKey, leaves::InWords};

use crate::{
    segment::{SEGMENT, Segment},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// The number of a slot. That of an account stays the same for good.
pub type Place = u32;

/// The place of a key that has none.
pub(crate) const UNKNOWN: Place = Place::MAX;

/// What stands in a slot: the three words of a leaf, or what stands for a longer one. The lowest bit of the third, which no
/// leaf uses, says that it exists; what does not is zero.
pub type Value = [u64; 3];

/// The bit of the third word that says that something exists.
pub use fresnel_types::leaves::EXISTS;

/// Whether there is an account.
pub(crate) fn exists(value: &Value) -> bool {
    value[2] & EXISTS != 0
}

/// Whether two values are the same. Word by word: values come from three loads, and a comparison that the compiler makes
/// of wider ones waits until these are through.
#[inline]
pub(crate) fn same(one: &Value, other: &Value) -> bool {
    (one[0] ^ other[0]) | (one[1] ^ other[1]) | (one[2] ^ other[2]) == 0
}

/// What a leaf of three words is in a slot.
#[inline]
pub(crate) fn store(leaf: &impl InWords) -> Value {
    let [one, two, three] = leaf.to_words();
    debug_assert_eq!(three & EXISTS, 0, "no leaf sets the lowest bit of its third word");
    [one, two, three | EXISTS]
}

/// The leaf in a slot, if there is one of the kind.
#[inline]
pub(crate) fn load<Leaf: InWords>(value: &Value) -> Option<Leaf> {
    let [one, two, three] = *value;
    if exists(value) { Leaf::from_words([one, two, three & !EXISTS]) } else { None }
}

/// A key, its account, and a mark of the block that uses it.
#[repr(C, align(64))]
#[derive(Default)]
pub(crate) struct Slot {
    key: [AtomicU64; 4],
    value: [AtomicU64; 3],
    /// An epoch in the high half; one of an earlier epoch says nothing. In the low half, [`CHANGED`], and in the other
    /// bits the list of the engine, zero if none.
    pub(crate) head: AtomicU64,
}

#[cfg(not(any(feature = "loom", feature = "shuttle")))]
const _: () = assert!(size_of::<Slot>() == 64);

/// In the head of a slot that changed in the epoch.
pub(crate) const CHANGED: u64 = 1;

/// What the head of a slot said when a change was marked.
pub(crate) struct Mark {
    /// It was not marked in the epoch.
    pub(crate) is_first: bool,
    /// What the engine keeps of its list: the high bits of the low half.
    pub(crate) list: u32,
}

impl Slot {
    pub(crate) fn set_key(&self, key: &StateKey) {
        for (word, bytes) in self.key.iter().zip(key.0.as_chunks().0) {
            word.store(u64::from_be_bytes(*bytes), Relaxed);
        }
    }

    pub(crate) fn has_key(&self, key: &StateKey) -> bool {
        let mut differ = 0;
        for (word, bytes) in self.key.iter().zip(key.0.as_chunks().0) {
            differ |= word.load(Relaxed) ^ u64::from_be_bytes(*bytes);
        }
        differ == 0
    }

    pub(crate) fn key(&self) -> StateKey {
        let mut key = StateKey::default();
        for (word, bytes) in self.key.iter().zip(key.0.as_chunks_mut().0) {
            *bytes = word.load(Relaxed).to_be_bytes();
        }
        key
    }

    /// The first word of the key, by which keys are sorted first.
    pub(crate) fn prefix(&self) -> u64 {
        self.key[0].load(Relaxed)
    }

    pub(crate) fn value(&self) -> Value {
        [self.value[0].load(Relaxed), self.value[1].load(Relaxed), self.value[2].load(Relaxed)]
    }

    pub(crate) fn set_value(&self, value: &Value) {
        for (word, new) in self.value.iter().zip(value) {
            word.store(*new, Relaxed);
        }
    }

    /// Marks that the slot changed. Only one thread at a time does; others may enter in the list, which may lose the mark,
    /// so that the next is the first again.
    #[inline]
    pub(crate) fn mark_changed(&self, epoch: u32) -> Mark {
        let head = self.head.load(Relaxed);
        let list = if (head >> 32) as u32 == epoch { head } else { u64::from(epoch) << 32 };
        let is_first = list & CHANGED == 0;
        if is_first {
            self.head.store(list | CHANGED, Relaxed);
        }
        Mark { is_first, list: list as u32 & !(CHANGED as u32) }
    }
}

/// All slots of a table. Clones share them.
#[derive(Clone)]
pub(crate) struct Slots {
    segments: Arc<[Arc<Segment>]>,
}

impl Default for Slots {
    fn default() -> Self {
        Self { segments: [Segment::new()].into() }
    }
}

impl Slots {
    #[inline]
    pub(crate) fn get(&self, place: Place) -> &Slot {
        &self.segments[place as usize / SEGMENT][place as usize % SEGMENT]
    }

    /// How many slots there are.
    pub(crate) fn capacity(&self) -> usize {
        self.segments.len() * SEGMENT
    }

    /// More slots. Those that there are stay where they are, so that no table, however large, pauses to copy.
    pub(crate) fn grown(&self) -> Self {
        Self { segments: self.segments.iter().cloned().chain([Segment::new()]).collect() }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.segments.iter().flat_map(|segment| segment.iter())
    }
}
