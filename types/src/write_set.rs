//! State keys, and the sorted changes that a block makes.

use serde::{Deserialize, Serialize};

use crate::{
    Address, ShardId, Shards,
    hash::{Domain, hash, hex_bytes},
};

hex_bytes! {
    /// A place in the state tree: the first 4 bytes of the owner's address, then 28 bytes of a hash of owner and local
    /// name. So a shard is a prefix of the tree, and can be split later; collisions cost 2^112.
    StateKey, 32
}

impl StateKey {
    /// The place of `name` among what `owner` has.
    pub fn of(owner: &Address, name: &[u8]) -> Self {
        Self::within(owner, hash(Domain::StateKey, &[&owner.0, name]))
    }

    /// The place of which `hash` is that of owner and name.
    pub(crate) fn within(owner: &Address, mut hash: [u8; 32]) -> Self {
        hash[..4].copy_from_slice(&owner.prefix());
        Self(hash)
    }

    /// The shard that holds it.
    pub fn shard(&self, shards: Shards) -> ShardId {
        shards.of_prefix([self.0[0], self.0[1], self.0[2], self.0[3]])
    }
}

/// The changes of a block: ascending by key, each key once, `None` deletes. Values stand in one buffer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteSet {
    keys: Vec<StateKey>,
    /// Where the value of each key ends in `bytes`, and whether there is one.
    ends: Vec<(usize, bool)>,
    bytes: Vec<u8>,
}

impl WriteSet {
    /// Appends a change. Keys ascend strictly.
    pub fn push(&mut self, key: StateKey, value: Option<&[u8]>) {
        assert!(self.keys.last().is_none_or(|last| *last < key), "a write set ascends strictly by key");
        self.keys.push(key);
        self.bytes.extend(value.unwrap_or_default());
        self.ends.push((self.bytes.len(), value.is_some()));
    }

    /// How many keys change.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The changes, ascending.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&StateKey, Option<&[u8]>)> {
        self.keys.iter().enumerate().map(|(place, key)| {
            let start = if place == 0 { 0 } else { self.ends[place - 1].0 };
            let (end, present) = self.ends[place];
            (key, present.then(|| &self.bytes[start..end]))
        })
    }
}

impl<'a> FromIterator<(StateKey, Option<&'a [u8]>)> for WriteSet {
    fn from_iter<I: IntoIterator<Item = (StateKey, Option<&'a [u8]>)>>(changes: I) -> Self {
        let mut set = Self::default();
        for (key, value) in changes {
            set.push(key, value);
        }
        set
    }
}
