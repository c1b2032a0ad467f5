//! What stands in the leaves of a shard's state: accounts, what programs keep beside them, and the shard's own book-keeping
//! under a reserved owner.
//!
//! A block is a function of these leaves and the log alone, so whatever decides which receipt is delivered or which
//! window is full stands here, covered by the state root.

mod values;

use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

use crate::{
    Address, Amount, BlockIndex, Nonce, ShardId, Shards, StateKey, codec, limits::NONCE_WINDOW, record::Pair,
    record::Tally,
};

pub use values::{
    EXISTS, Holding, InWords, Savings, Token, VALUE_INLINE_MAX, Value, ValueHead, WORDS_BYTES, Words,
    inline_words, long_leaf, split_long_leaf, words_from_bytes, words_to_bytes,
};

/// An account. One with a used nonce is never deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
pub struct Account {
    /// What it owns.
    pub balance: Amount,
    /// The lowest nonce that was not used.
    pub nonce_base: u64,
    /// Bit `i` is set when nonce `nonce_base + i` was used; bit 0 never is.
    pub nonce_bits: u64,
}

impl Account {
    /// The local name of an account among what its owner has.
    pub const NAME: &[u8] = b"account";

    /// Where the account of `owner` stands.
    pub fn key(owner: &Address) -> StateKey {
        StateKey::of(owner, Self::NAME)
    }

    /// Whether `nonce` was not used and lies in the window.
    pub fn accepts(&self, nonce: Nonce) -> bool {
        nonce
            .0
            .checked_sub(self.nonce_base)
            .is_some_and(|place| place < NONCE_WINDOW && self.nonce_bits >> place & 1 == 0)
    }

    /// Uses `nonce`, which the account must accept.
    pub fn burn(&mut self, nonce: Nonce) {
        assert!(self.accepts(nonce), "nonce {nonce} is used or outside the window at {}", self.nonce_base);
        self.nonce_bits |= 1 << (nonce.0 - self.nonce_base);
        let used = self.nonce_bits.trailing_ones();
        self.nonce_base += u64::from(used);
        self.nonce_bits = self.nonce_bits.checked_shr(used).unwrap_or(0);
    }
}

/// A shard's accounts with one other shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
pub struct PairLeaf {
    /// This shard's side.
    pub own: Pair,
    /// The block of the other shard's usable record that `peer_consumed` and `peer_bounced` were copied from.
    pub peer_block: BlockIndex,
    /// Own requests that the other shard consumed.
    pub peer_consumed: Tally,
    /// Of these, the ones it bounced.
    pub peer_bounced: Tally,
}

impl PairLeaf {
    /// Where the leaf of `shard` about `other` stands.
    pub fn key(shards: Shards, shard: ShardId, other: ShardId) -> StateKey {
        let mut name = b"pair".to_vec();
        name.extend(other.0.to_be_bytes());
        StateKey::of(&reserved_owner(shards, shard), &name)
    }

    /// Own requests whose end this shard has not yet seen: neither applied over there nor back as a bounce. A window
    /// slot covers request and bounce, so that consuming never waits.
    pub fn outstanding(&self) -> u64 {
        self.own.sent.count - (self.peer_consumed.count - self.peer_bounced.count) - self.own.returned.count
    }
}

/// A shard's totals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
pub struct TotalsLeaf {
    /// Sum of all balances, savings included.
    pub supply: Amount,
    /// Burned since genesis: fees, and what leaves cost that are no accounts.
    pub burned: Amount,
    /// The source shard whose receipts are delivered first in the next block.
    pub next_source: ShardId,
}

impl TotalsLeaf {
    /// Where the leaf of `shard` stands.
    pub fn key(shards: Shards, shard: ShardId) -> StateKey {
        StateKey::of(&reserved_owner(shards, shard), b"totals")
    }
}

/// The address under which a shard keeps its own books: the lowest prefix of the shard, all ones behind. Nobody has a
/// key that hashes to it.
pub fn reserved_owner(shards: Shards, shard: ShardId) -> Address {
    let lowest = (u64::from(shard.0) << 32) / shards.count() as u64;
    let mut owner = [0xff; 32];
    owner[..4].copy_from_slice(&(lowest as u32).to_be_bytes());
    Address(owner)
}

macro_rules! leaf_bytes {
    ($($leaf:ty),*) => {$(
        impl $leaf {
            /// Its canonical bytes.
            pub fn to_bytes(&self) -> Vec<u8> {
                codec::encode(self)
            }

            /// Reads bytes that an executor wrote.
            pub fn from_bytes(bytes: &[u8]) -> Self {
                codec::decode(bytes).expect("state holds only what an executor of this version wrote under this key")
            }
        }
    )*};
}
leaf_bytes!(Account, PairLeaf, TotalsLeaf);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// E3: each nonce at most once, exactly those in the window, in any order.
        #[test]
        fn nonces_are_a_sliding_set(nonces in prop::collection::vec(0_u64..200, 0..400)) {
            let mut account = Account::default();
            let mut used = BTreeSet::new();
            for nonce in nonces {
                let base = (0..).find(|n| !used.contains(n)).expect("unbounded");
                let expected = !used.contains(&nonce) && nonce >= base && nonce < base + NONCE_WINDOW;
                prop_assert_eq!(account.accepts(Nonce(nonce)), expected);
                if expected {
                    account.burn(Nonce(nonce));
                    used.insert(nonce);
                }
                prop_assert_eq!(account.nonce_bits & 1, 0);
            }
        }
    }

    #[test]
    fn a_full_window_slides_at_once() {
        let mut account = Account::default();
        for nonce in (0..64).rev() {
            account.burn(Nonce(nonce));
        }
        assert_eq!((account.nonce_base, account.nonce_bits), (64, 0));
        assert!(!account.accepts(Nonce(u64::MAX)));
    }

    #[test]
    fn reserved_owners_live_in_their_shard() {
        for count in [1, 2, 4, 256] {
            let shards = Shards::new(count).expect("valid");
            for shard in shards.iter() {
                assert_eq!(PairLeaf::key(shards, shard, ShardId(0)).shard(shards), shard);
                assert_eq!(TotalsLeaf::key(shards, shard).shard(shards), shard);
            }
        }
    }
}
