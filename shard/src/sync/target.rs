//! What is fetched: the pieces that are here, those that are under way, and the check of each.

use std::collections::{BTreeMap, BTreeSet};

use fresnel_state::snapshot::{Leaf, Listing, Part, Sequence};
use fresnel_types::{
    AuthorityIndex, EntryNumber, RecordDigest, ShardId, Shards, Timestamp,
    checkpoint::Restored,
    decode,
    snapshot::{Published, SnapshotPiece},
};

use crate::limits::{PARTS_BYTES_MAX, PARTS_MAX};

/// A state after a certified record, and the rest, as far as they are here.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) published: Published,
    pub(crate) digest: RecordDigest,
    /// Who is asked for the parts: those of another peer may be cut otherwise.
    pub(crate) parts_from: AuthorityIndex,
    listing: Listing,
    chunks: Vec<Option<Vec<Leaf>>>,
    parts: Vec<Option<Part>>,
    parts_bytes: usize,
    /// Asked for, of whom, and until when an answer counts as under way.
    asked: BTreeMap<SnapshotPiece, (AuthorityIndex, Timestamp)>,
}

impl Target {
    /// None when what is published is none of the shard.
    pub(crate) fn new(
        published: Published,
        parts_from: AuthorityIndex,
        shards: Shards,
        shard: ShardId,
    ) -> Option<Self> {
        let record = &published.record;
        let listing = Listing::from_bytes(shards, shard, record.state, &published.chunks)?;
        if record.shard != shard || published.parts as usize > PARTS_MAX {
            return None;
        }
        let (chunks, parts) = (vec![None; listing.chunks().len()], vec![None; published.parts as usize]);
        let digest = record.digest();
        Some(Self {
            published,
            digest,
            parts_from,
            listing,
            chunks,
            parts,
            parts_bytes: 0,
            asked: BTreeMap::new(),
        })
    }

    /// Whether chunks of what is published there are chunks of this.
    pub(crate) fn is_of(&self, digest: &RecordDigest, published: &Published) -> bool {
        self.digest == *digest && self.published.chunks == published.chunks
    }

    /// The parts are fetched from another peer.
    pub(crate) fn take_parts_from(&mut self, authority: AuthorityIndex, published: Published) {
        self.parts_from = authority;
        self.parts = vec![None; published.parts as usize];
        self.parts_bytes = 0;
        self.asked.retain(|piece, _| matches!(piece, SnapshotPiece::Chunk(_)));
        self.published = published;
    }

    /// Takes the bytes of a piece; false when they are not those of the piece.
    pub(crate) fn accept(&mut self, piece: SnapshotPiece, bytes: &[u8]) -> bool {
        self.asked.remove(&piece);
        match piece {
            SnapshotPiece::Chunk(number) => {
                let Ok(chunk) = self.listing.check(number as usize, bytes) else { return false };
                self.chunks[number as usize] = Some(chunk.leaves);
            }
            SnapshotPiece::Part(number) => {
                let part = decode::<Part>(bytes).ok();
                let place = self.parts.get_mut(number as usize);
                let (Some(part), Some(place)) = (part, place) else { return false };
                if place.is_none() {
                    self.parts_bytes += bytes.len();
                }
                *place = Some(part);
                return self.parts_bytes <= PARTS_BYTES_MAX;
            }
        }
        true
    }

    /// Whether a piece is still to come.
    pub(crate) fn lacks(&self, piece: SnapshotPiece) -> bool {
        match piece {
            SnapshotPiece::Chunk(number) => self.chunks.get(number as usize).is_some_and(Option::is_none),
            SnapshotPiece::Part(number) => self.parts.get(number as usize).is_some_and(Option::is_none),
        }
    }

    /// Whether everything is here.
    pub(crate) fn is_complete(&self) -> bool {
        self.chunks.iter().all(Option::is_some) && self.parts.iter().all(Option::is_some)
    }

    /// What to ask whom now, with at most so many pieces under way from each peer: parts first, since little can be done
    /// without them.
    pub(crate) fn ask(
        &mut self,
        sources: &BTreeSet<AuthorityIndex>,
        per_peer: usize,
        until: Timestamp,
    ) -> Vec<(AuthorityIndex, SnapshotPiece)> {
        let mut free: BTreeMap<AuthorityIndex, usize> =
            sources.iter().map(|peer| (*peer, per_peer)).collect();
        for (peer, _) in self.asked.values() {
            if let Some(free) = free.get_mut(peer) {
                *free = free.saturating_sub(1);
            }
        }
        let parts = (0..).zip(&self.parts).filter(|(_, part)| part.is_none());
        let chunks = (0..).zip(&self.chunks).filter(|(_, chunk)| chunk.is_none());
        let missing = parts.map(|(number, _)| SnapshotPiece::Part(number));
        let missing = missing.chain(chunks.map(|(number, _)| SnapshotPiece::Chunk(number)));
        let mut asked = Vec::new();
        for piece in missing.filter(|piece| !self.asked.contains_key(piece)) {
            let peer = match piece {
                SnapshotPiece::Part(_) => Some(self.parts_from),
                // Whoever has least to do.
                SnapshotPiece::Chunk(_) => free.iter().max_by_key(|(_, free)| **free).map(|(peer, _)| *peer),
            };
            let Some((peer, free)) = peer.and_then(|peer| Some((peer, free.get_mut(&peer)?))) else {
                continue;
            };
            if *free > 0 {
                *free -= 1;
                asked.push((peer, piece));
            } else if matches!(piece, SnapshotPiece::Chunk(_)) {
                break;
            }
        }
        self.asked.extend(asked.iter().map(|(peer, piece)| (*piece, (*peer, until))));
        asked
    }

    /// Who was asked for something and did not give it in time; it may be asked for again.
    pub(crate) fn overdue(&mut self, now: Timestamp) -> Vec<AuthorityIndex> {
        let late: Vec<_> =
            self.asked.iter().filter(|(_, (_, until))| *until <= now).map(|(piece, _)| *piece).collect();
        late.iter().filter_map(|piece| self.asked.remove(piece)).map(|(peer, _)| peer).collect()
    }

    /// Nothing more comes from this peer.
    pub(crate) fn forget(&mut self, peer: AuthorityIndex) {
        self.asked.retain(|_, (asked, _)| *asked != peer);
    }

    /// When the first answer is overdue.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        self.asked.values().map(|(_, until)| *until).min()
    }

    /// All of it, once it is complete.
    pub(crate) fn restored(self) -> Restored {
        let (mut records, mut outcomes, mut in_hand) = (Vec::new(), Vec::new(), Vec::new());
        for part in self.parts.into_iter().flatten() {
            match part.sequence {
                Sequence::Records => records.extend(part.items),
                Sequence::Outcomes => outcomes.extend(part.items),
                Sequence::InHand => in_hand.extend(part.items),
            }
        }
        Restored {
            block: self.published.record.block,
            entry: EntryNumber(0),
            leaves: self.chunks.into_iter().flatten().flatten().collect(),
            records,
            outcomes,
            in_hand,
        }
    }
}
