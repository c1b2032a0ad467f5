//! The bytes of values that are too long for their slots: by place, from the end of the block that wrote them on.

use std::collections::BTreeMap;

use fresnel_types::{
    Action, Outcome, SignedTransaction,
    action::KvOperation,
    leaves::{ValueHead, WORDS_BYTES, long_leaf, split_long_leaf, words_to_bytes},
};

use crate::{
    programs::Calls,
    slots::{EXISTS, Place, Value},
};

/// Long values of a shard.
#[derive(Default)]
pub(crate) struct LongValues {
    by_place: BTreeMap<Place, Box<[u8]>>,
}

impl LongValues {
    /// Takes in what a block put: of every place, the bytes that the last transaction wrote which succeeded.
    pub(crate) fn take<'a>(
        &mut self,
        calls: &Calls,
        executed: impl Iterator<Item = (&'a SignedTransaction, Outcome)>,
        value_at: impl Fn(Place) -> Value,
    ) {
        let mut last = BTreeMap::new();
        for (number, (signed, outcome)) in executed.enumerate() {
            let Action::Kv(operations) = &signed.transaction.action else { continue };
            if outcome != Outcome::Success {
                continue;
            }
            for (operation, place) in operations.iter().zip(calls.puts(number)) {
                if let (KvOperation::Put { value, .. }, Some(place)) = (operation, place) {
                    last.insert(place, value);
                }
            }
        }
        for (place, bytes) in last {
            // A later addition to a short value leaves it short, and none succeeds on a long one.
            if ValueHead::from_word(value_at(place)[2]).is_inline() {
                self.by_place.remove(&place);
            } else {
                self.by_place.insert(place, bytes.0.as_slice().into());
            }
        }
    }

    /// Takes in a leaf that is not three words, and gives the words that stand for it in the slot of `place`.
    pub(crate) fn restore(&mut self, place: Place, leaf: &[u8]) -> Value {
        let (head, bytes) =
            split_long_leaf(leaf).expect("state holds only what an executor of this version wrote");
        self.by_place.insert(place, bytes.into());
        [0, 0, head.to_word() | EXISTS]
    }

    /// The bytes in the state of what stands at a place.
    pub(crate) fn leaf(&self, place: Place, value: &Value) -> Leaf {
        let [one, two, third] = *value;
        let third = third & !EXISTS;
        let head = ValueHead::from_word(third);
        // What is no value may have a third word like that of a long one, but has no bytes here.
        let long = if head.is_inline() { None } else { self.by_place.get(&place) };
        match long {
            Some(bytes) => Leaf::Long(long_leaf(head, bytes)),
            None => Leaf::Words(words_to_bytes(&[one, two, third])),
        }
    }
}

/// The bytes of a leaf.
pub(crate) enum Leaf {
    Words([u8; WORDS_BYTES]),
    Long(Vec<u8>),
}

impl std::ops::Deref for Leaf {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            Self::Words(bytes) => bytes,
            Self::Long(bytes) => bytes,
        }
    }
}
