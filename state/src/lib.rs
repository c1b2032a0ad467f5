//! The authenticated state of a shard: tree, root, proofs.
//!
//! # The tree
//! Keys have 256 bits, taken from the most significant bit of the first byte on. A subtree is all leaves whose keys
//! share their first `depth` bits. Its hash is
//! - [`EMPTY`](fresnel_crypto::hash::EMPTY) (32 zero bytes) when it has no leaf,
//! - the hash of the leaf when it has exactly one,
//! - otherwise `node(left, right)` of the two subtrees one bit deeper, bit 0 left. One of them may be empty.
//!
//! The hash of a leaf is `leaf(key ‖ value ‖ zeros ‖ length of value as u64, little-endian)` with as few zeros as make
//! the input a multiple of 64 bytes and at least 128: whole BLAKE3 blocks, and never as short as the 64 bytes of a
//! node. `leaf` and `node` are those of [`fresnel_crypto::hash`]: `leaf(x)` is the 32-byte BLAKE3 hash of `x` with the
//! lowest bit of its first byte set; `node(l, r)` is that of `l ‖ r` with this bit cleared.
//!
//! The root of a shard is the subtree at depth log2 of the number of shards whose prefix is the shard. Nothing in the
//! definition depends on history or on how a tree is kept in memory: equal leaves have equal roots.
//!
//! # Proofs
//! A [`Proof`] says what stands where the way from the root towards a key ends, and gives the hashes beside the way, from
//! the deepest upwards. To check it, start with the hash of its end: of the leaf `(key, value)` when the key is said to hold
//! `value`; else [`EMPTY`](fresnel_crypto::hash::EMPTY), or the hash of another leaf, whose key must differ from the one
//! asked for and share with it as many bits as the end is deep. The end is as deep as the root plus the number of
//! siblings, at most 256. Then, for each sibling, one bit of the key back towards the root, make `node(hash, sibling)` when
//! the bit is 0 and `node(sibling, hash)` when it is 1. The result must be the root.
//!
//! A [`MultiProof`] says the same of several keys, which ascend, and gives what their ways share once. To check it, make the
//! hash of the root's subtree, to which all keys lead, by the next of its steps. `End` is as above, with at most one of the
//! keys that lead there said to hold something. `On` parts these keys by the next bit; the hash is `node(left, right)`, and
//! each half is made the same way, left before right, when keys lead there, and is the next of its siblings when none does.
//! No step and no sibling may be left over.

#![forbid(unsafe_code)]

pub mod checkpoint;
pub mod leaf;
pub mod multi;
pub mod proof;
pub mod snapshot;
pub mod tree;

pub use checkpoint::CheckpointStore;
pub use multi::MultiProof;
pub use proof::{End, Proof};
pub use tree::Tree;
