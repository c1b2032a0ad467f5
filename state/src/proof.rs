//! Proofs that a shard's state holds a value under a key, or nothing.

use fresnel_crypto::hash::{self, EMPTY, Hash};
use fresnel_types::{Shards, StateKey, StateRoot};
use wincode::{SchemaRead, SchemaWrite};

use crate::leaf::{KEY_BITS, bit, leaf_hash, root_depth, shared_bits};

/// The way from the root towards a key, down to the first subtree with at most one leaf.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct Proof {
    /// What stands where the way ends.
    pub end: End,
    /// The subtrees beside the way, from the deepest upwards.
    pub siblings: Vec<Hash>,
}

/// What stands where the way to a key ends.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum End {
    /// The leaf of the key.
    Key,
    /// No leaf at all, so the key holds nothing.
    Empty,
    /// The only leaf of its subtree, and not the one looked for.
    Other {
        /// Its key.
        key: StateKey,
        /// Its value, without which its hash says nothing about its key.
        value: Vec<u8>,
    },
}

impl Proof {
    /// Whether this proves that `key` holds `value`, or nothing, in the state with `root`. The root must be that of
    /// the shard that `key` belongs to.
    pub fn verify(&self, shards: Shards, root: &StateRoot, key: &StateKey, value: Option<&[u8]>) -> bool {
        let top = root_depth(shards);
        let depth = top + self.siblings.len();
        if depth > KEY_BITS {
            return false;
        }
        let end = match (&self.end, value) {
            (End::Key, Some(value)) => leaf_hash(key, value),
            (End::Empty, None) => EMPTY,
            (End::Other { key: other, value }, None) if other != key && shared_bits(other, key) >= depth => {
                leaf_hash(other, value)
            }
            _ => return false,
        };
        let above = self.siblings.iter().zip((top..depth).rev()).fold(end, |below, (sibling, place)| {
            if bit(key, place) { hash::node(sibling, &below) } else { hash::node(&below, sibling) }
        });
        above == root.0
    }
}
