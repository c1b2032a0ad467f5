//! The list of the chunks of a state, which depends on the state alone, and the check of each chunk by it.

use fresnel_crypto::hash;
use fresnel_types::{ShardId, Shards, StateRoot, codec};

use super::{
    chunk::{Chunk, ChunkError, Prefix},
    manifest::ListedChunk,
};

/// The chunks that a state consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    shards: Shards,
    shard: ShardId,
    root: StateRoot,
    chunks: Vec<ListedChunk>,
}

impl Listing {
    /// Of the state with `root`; the number of the first chunk that is not the one which follows, when they do not divide
    /// the keys of the shard without gap or overlap.
    ///
    /// # Errors
    /// That number, which may be the one after the last.
    pub fn new(
        shards: Shards,
        shard: ShardId,
        root: StateRoot,
        chunks: Vec<ListedChunk>,
    ) -> Result<Self, usize> {
        let whole = Prefix::of_shard(shards, shard);
        let mut next = Some(whole.key);
        for (number, chunk) in chunks.iter().enumerate() {
            let within = chunk.prefix.is_whole()
                && chunk.prefix.depth >= whole.depth
                && whole.contains(&chunk.prefix.key);
            if Some(chunk.prefix.key) != next || !within {
                return Err(number);
            }
            next = chunk.prefix.end();
        }
        if chunks.is_empty() || next != whole.end() {
            return Err(chunks.len());
        }
        Ok(Self { shards, shard, root, chunks })
    }

    /// From the bytes that [`Self::to_bytes`] gave, which may be anything.
    pub fn from_bytes(shards: Shards, shard: ShardId, root: StateRoot, bytes: &[u8]) -> Option<Self> {
        Self::new(shards, shard, root, codec::decode(bytes).ok()?).ok()
    }

    /// The bytes of the list.
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(&self.chunks)
    }

    /// The chunks, ascending by prefix.
    pub fn chunks(&self) -> &[ListedChunk] {
        &self.chunks
    }

    /// Takes `bytes` for chunk `number`.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn check(&self, number: usize, bytes: &[u8]) -> Result<Chunk, ChunkError> {
        let listed = self.chunks.get(number).ok_or(ChunkError::Place)?;
        let chunk = Chunk::from_bytes(bytes)?;
        if chunk.prefix != listed.prefix
            || chunk.leaves.len() as u64 != listed.leaves
            || hash::leaf(bytes) != listed.hash
        {
            return Err(ChunkError::Place);
        }
        chunk.verify(self.shards, self.shard, &self.root)?;
        Ok(chunk)
    }
}
