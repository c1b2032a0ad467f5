//! Numbers with a meaning, each its own type, so that a round is never taken for a commit index.

use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, SchemaRead,
            SchemaWrite,
        )]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}
pub(crate) use number;

number! {
    /// Position of an authority in the committee, from 0.
    AuthorityIndex(u16)
}
number! {
    /// A shard, from 0; below the genesis' number of shards.
    ShardId(u16)
}
number! {
    /// A period with one committee. Everything signed by an authority binds it.
    Epoch(u64)
}
number! {
    /// A layer of the DAG. Round 0 holds the genesis vertices.
    Round(u64)
}
number! {
    /// Position in the total order of commits, from 1; 0 stands for the genesis.
    CommitIndex(u64)
}
number! {
    /// Position of a block, common to all shards, from 1; 0 stands for the genesis.
    BlockIndex(u64)
}
number! {
    /// Position of a receipt on its ordered pair of shards, dense, from 0.
    Sequence(u64)
}
number! {
    /// A sender's own number for a transaction; each is used at most once.
    Nonce(u64)
}
number! {
    /// An amount of the native asset in its smallest unit. The genesis supply fits, so sums of balances do.
    Amount(u64)
}
number! {
    /// Microseconds since the Unix epoch.
    Timestamp(u64)
}
number! {
    /// A client connection of one process, never reused while the process lives.
    ClientId(u64)
}

impl Round {
    /// The round after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl CommitIndex {
    /// The commit after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl BlockIndex {
    /// The block after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl Timestamp {
    /// This instant plus `micros`.
    pub fn plus(self, micros: u64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// Microseconds from `earlier` to this instant, 0 if that is negative.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl AuthorityIndex {
    /// As an index into the committee's list.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl ShardId {
    /// As an index into a list with one entry per shard.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// The number of shards: a power of two from 1 to 256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(try_from = "u16", into = "u16")]
pub struct Shards(u16);

impl Shards {
    /// # Errors
    /// When `count` is no power of two from 1 to 256.
    pub fn new(count: u16) -> Result<Self, String> {
        if count.is_power_of_two() && count <= 256 {
            Ok(Self(count))
        } else {
            Err(format!("the number of shards is a power of two from 1 to 256, not {count}"))
        }
    }

    /// How many there are.
    pub fn count(self) -> usize {
        usize::from(self.0)
    }

    /// All of them, ascending.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = ShardId> + ExactSizeIterator {
        (0..self.0).map(ShardId)
    }

    /// Whether `shard` is one of them.
    pub fn contains(self, shard: ShardId) -> bool {
        shard.0 < self.0
    }

    /// The shard of a state key or address, given its first four bytes: their top `log2 S` bits.
    pub fn of_prefix(self, prefix: [u8; 4]) -> ShardId {
        let prefix = u32::from_be_bytes(prefix);
        let shard = (u64::from(prefix) * u64::from(self.0)) >> 32;
        ShardId(
            u16::try_from(shard)
                .expect("a 32-bit prefix times at most 256 has at most 40 bits, 8 after the shift"),
        )
    }
}

impl TryFrom<u16> for Shards {
    type Error = String;
    fn try_from(count: u16) -> Result<Self, String> {
        Self::new(count)
    }
}

impl From<Shards> for u16 {
    fn from(shards: Shards) -> u16 {
        shards.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shard_is_the_top_bits() {
        let of = |count, prefix| Shards::new(count).expect("valid").of_prefix(prefix).0;
        assert_eq!(of(1, [0xff; 4]), 0);
        assert_eq!(of(2, [0x7f, 0xff, 0xff, 0xff]), 0);
        assert_eq!(of(2, [0x80, 0, 0, 0]), 1);
        assert_eq!(of(256, [0xab, 0xcd, 0, 0]), 0xab);
        assert!(Shards::new(3).is_err());
        assert!(Shards::new(0).is_err());
        assert!(Shards::new(512).is_err());
    }
}
