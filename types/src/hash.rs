//! Identities: BLAKE3 in `derive_key` mode, one context per kind, so that bytes of one kind never name another.

use std::sync::LazyLock;

use fresnel_crypto::hash::Context;
use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

/// What is being hashed. The context strings are part of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// The bytes of a genesis.
    Genesis,
    /// A public key, into an address.
    Address,
    /// An owner's address and a local name, into a state key.
    StateKey,
    /// Unsigned transaction bytes.
    Transaction,
    /// What a transaction's signature covers.
    TransactionSignature,
    /// The bytes of a batch.
    Batch,
    /// The head of a vertex.
    Vertex,
    /// What an author's signature on a vertex covers.
    VertexSignature,
    /// What a vote's signature covers.
    VoteSignature,
    /// A commit, chained.
    Commit,
    /// A prefix of the order, at the close of a block.
    Log,
    /// The canonical state of the beacon at a checkpoint.
    BeaconState,
    /// The body of an execution record.
    Record,
    /// The seed of the permutation of a round's slots.
    Slots,
}

const DOMAINS: usize = 14;

static CONTEXTS: LazyLock<[Context; DOMAINS]> = LazyLock::new(|| {
    [
        "fresnel 2026-11 genesis",
        "fresnel 2026-11 address",
        "fresnel 2026-11 state key",
        "fresnel 2026-11 transaction",
        "fresnel 2026-11 transaction signature",
        "fresnel 2026-11 batch",
        "fresnel 2026-11 vertex",
        "fresnel 2026-11 vertex signature",
        "fresnel 2026-11 vote signature",
        "fresnel 2026-11 commit",
        "fresnel 2026-11 log",
        "fresnel 2026-11 beacon state",
        "fresnel 2026-11 record",
        "fresnel 2026-11 slots",
    ]
    .map(Context::new)
});

/// Hashes the concatenation of `parts` in `domain`. All parts but the last have a fixed length in each domain, so
/// that two splits never share an input.
pub fn hash(domain: Domain, parts: &[&[u8]]) -> [u8; 32] {
    CONTEXTS[domain as usize].hash_parts(parts)
}

/// Hashes each of `inputs` in `domain`, as [`hash`] does one by one; side by side where the processor can.
pub fn hash_all(domain: Domain, inputs: &[&[u8]]) -> Vec<[u8; 32]> {
    let mut hashes = vec![[0; 32]; inputs.len()];
    CONTEXTS[domain as usize].hash_all(inputs, &mut hashes);
    hashes
}

/// Defines a 32- or 64-byte newtype that prints and reads as hex.
macro_rules! hex_bytes {
    ($(#[$doc:meta])* $name:ident, $length:literal) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, wincode::SchemaRead, wincode::SchemaWrite,
        )]
        pub struct $name(pub [u8; $length]);

        impl Default for $name {
            fn default() -> Self {
                Self([0; $length])
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&hex::encode(&self.0[..4]))
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                let mut bytes = [0; $length];
                hex::decode_to_slice(text, &mut bytes)
                    .map_err(|error| format!("{text:?} is not {} bytes of hex: {error}", $length))?;
                Ok(Self(bytes))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use hex_bytes;

hex_bytes! {
    /// Identity of a chain: the hash of its genesis. Bound into every signature and handshake.
    ChainId, 32
}
hex_bytes! {
    /// Identity of a transaction: the hash of its unsigned bytes.
    TransactionId, 32
}
hex_bytes! {
    /// Identity of a batch: the hash of its bytes.
    BatchId, 32
}
hex_bytes! {
    /// Identity of a vertex: the hash of its head.
    VertexId, 32
}
hex_bytes! {
    /// Chained hash of a commit and all before it.
    CommitDigest, 32
}
hex_bytes! {
    /// Hash of the order up to the close of a block.
    LogDigest, 32
}
hex_bytes! {
    /// Identity of an execution record.
    RecordDigest, 32
}
hex_bytes! {
    /// Root of a shard's state tree.
    StateRoot, 32
}

/// A root of a list tree or mountain range.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, SchemaRead, SchemaWrite,
)]
pub struct Root(pub [u8; 32]);
