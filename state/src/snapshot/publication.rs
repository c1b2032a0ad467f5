//! A checkpoint cut into pieces for peers: chunks of the state, and parts with the rest.

use fresnel_crypto::hash;
use fresnel_types::{
    Record, ShardId, Shards, checkpoint::Restored, codec, snapshot::Published, snapshot::SnapshotPiece,
};

use super::{
    chunk::{Piece, cut},
    manifest::{ListedChunk, Part, Sequence},
};

/// What a worker publishes for its peers.
#[derive(Debug)]
pub struct Publication {
    /// What it consists of.
    pub published: Published,
    restored: Restored,
    chunks: Vec<Piece>,
    parts: Vec<Part>,
}

impl Publication {
    /// Of a checkpoint without what concerns its authority alone, in chunks and parts of about so many bytes. Those of a
    /// chunk must be the same everywhere, for peers to have the same chunks. None when the checkpoint is not what its last
    /// record says.
    pub fn new(
        mut restored: Restored,
        shards: Shards,
        shard: ShardId,
        [chunk_bytes, part_bytes]: [usize; 2],
    ) -> Option<Self> {
        let record: Record = codec::decode(restored.records.last()?).ok()?;
        let (chunks, root) = cut(&restored.leaves, shards, shard, chunk_bytes);
        if root != record.state {
            return None;
        }
        let listed = chunks.iter().map(|piece| {
            let bytes = piece.chunk(&restored.leaves).to_bytes();
            ListedChunk { prefix: piece.prefix, leaves: piece.range.len() as u64, hash: hash::leaf(&bytes) }
        });
        let listing = codec::encode(&listed.collect::<Vec<_>>());
        let sequences = [
            (Sequence::Records, std::mem::take(&mut restored.records)),
            (Sequence::Outcomes, std::mem::take(&mut restored.outcomes)),
            (Sequence::InHand, std::mem::take(&mut restored.in_hand)),
        ];
        let parts = sequences.into_iter().flat_map(|(sequence, items)| {
            groups(items, part_bytes).into_iter().map(move |items| Part { sequence, items })
        });
        let parts: Vec<Part> = parts.collect();
        let count = u32::try_from(parts.len()).ok()?;
        let published = Published { record, chunks: listing, parts: count };
        Some(Self { published, restored, chunks, parts })
    }

    /// The pieces with their bytes, made one by one.
    pub fn pieces(&self) -> impl Iterator<Item = (SnapshotPiece, Vec<u8>)> {
        let chunks = self.chunks.iter().map(|piece| piece.chunk(&self.restored.leaves).to_bytes());
        let parts = self.parts.iter().map(Part::to_bytes);
        let chunks = (0..).map(SnapshotPiece::Chunk).zip(chunks);
        chunks.chain((0..).map(SnapshotPiece::Part).zip(parts))
    }
}

/// Items in groups of about so many bytes.
pub fn groups(items: Vec<Vec<u8>>, bytes_max: usize) -> Vec<Vec<Vec<u8>>> {
    let mut groups: Vec<Vec<Vec<u8>>> = Vec::new();
    let mut bytes = 0;
    for item in items {
        bytes += item.len() + LENGTH_BYTES;
        match groups.last_mut() {
            Some(group) if bytes <= bytes_max => group.push(item),
            _ => {
                bytes = item.len() + LENGTH_BYTES;
                groups.push(vec![item]);
            }
        }
    }
    groups
}

/// Of an item, before it.
const LENGTH_BYTES: usize = 8;

/// About the bytes of a chunk and of a part: little is lost when one does not arrive, and asking costs nothing beside it.
pub const PIECE_BYTES: [usize; 2] = [1 << 20; 2];
