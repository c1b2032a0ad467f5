//! Snapshots: the state of a shard after a certified record, cut into chunks that anybody can check alone.
//!
//! Nothing here touches a disk or a network: `node` writes snapshots as files for operators, and whoever fetches chunks
//! from several peers feeds them to an [`Assembly`] in whatever order they come.
//!
//! # Format
//! Bytes are in the layout of [`codec`](fresnel_types::codec): little-endian integers of fixed width, lists with a u64
//! count before them, options and variants with a tag. Hashes of the tree are those of the [crate](crate#the-tree).
//!
//! A *prefix* names a subtree: a key and a depth, the bits of the key from the depth on being zero. A *[chunk]* is a prefix,
//! the hashes beside the way from its subtree to the root of the shard, from the deepest upwards, and all leaves of the
//! subtree, ascending by key. A *[manifest]* is the record, what certifies it, and the list of the chunks. Both begin with a
//! line that says what they are, with the version of the format.
//!
//! # Checking a chunk
//! 1. The depth is at least that of the root of the shard, log2 of the number of shards, and at most 256. The first bits of
//!    the prefix are those of the shard. There are as many hashes as the depth exceeds that of the root.
//! 2. The keys of the leaves are strictly ascending and begin with the bits of the prefix.
//! 3. `hash` is that of the subtree at this depth with exactly these leaves. For each of the hashes beside the way, one bit
//!    of the prefix back towards the root, `hash` becomes `node(hash, beside)` when the bit is 0 and `node(beside, hash)`
//!    when it is 1. In no step may the two be of at most one leaf together: one zero, the other zero or the hash of a leaf,
//!    which has the lowest bit of its first byte set. (A subtree with one leaf has the hash of the leaf at every depth, so
//!    such a step would not bind the leaf to a side, and both halves could be passed off as empty. A subtree with at most
//!    one leaf is never cut.)
//! 4. The result is the state root of the record.
//!
//! So a chunk that passes has all leaves of its prefix and no other, whoever gave it.
//!
//! # Checking a snapshot
//! 1. The chain is that of the genesis, and the record is certified: see [`fresnel_types::proof`].
//! 2. The prefixes of the chunks, in the order of the list, divide the keys of the shard without gap or overlap: the first
//!    begins where the shard does, each other where the one before ends, and the last ends where the shard does.
//! 3. Each chunk passes, has the prefix that the list says, and hashes to what it says: `leaf` of its bytes.
//!
//! The *parts* in the manifest are what the worker kept besides its leaves, for a worker of the same authority to go on from.
//! They hash to what the manifest says, and the last record among them is the certified one; nobody attests the rest.

pub mod chunk;
pub mod listing;
pub mod manifest;
pub mod publication;

pub use chunk::{Chunk, ChunkError, Leaf, Prefix, cut};
pub use listing::Listing;
pub use manifest::{Assembly, ListedChunk, ListedPart, Manifest, ManifestError, Part, Sequence};
pub use publication::{PIECE_BYTES, Publication, groups};

#[cfg(test)]
mod tests;
