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
//! node. `leaf` and `node` are those of [`fresnel_crypto::hash`].
//!
//! The root of a shard is the subtree at depth log2 of the number of shards whose prefix is the shard. Nothing in the
//! definition depends on history: equal leaves have equal roots.

#![forbid(unsafe_code)]

pub mod checkpoint;
pub mod leaf;
pub mod proof;
pub mod tree;

pub use checkpoint::CheckpointStore;
pub use proof::{End, Proof};
pub use tree::Tree;
