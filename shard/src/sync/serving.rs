//! Giving a state to peers that have none: the newest stored checkpoint is published when somebody asks, and stays so for
//! as long as it is read, since who fetches it needs all of its pieces.

use std::collections::{BTreeMap, BTreeSet};

use fresnel_types::{
    AuthorityIndex, BlockIndex, Effect, Message, Party, RecordDigest, ShardId, Timestamp,
    snapshot::{
        Published, SnapshotAnswer, SnapshotOffer, SnapshotPiece, SnapshotRequest, SnapshotResult,
        SnapshotTask,
    },
};

use crate::{
    chain::Chain,
    limits::{PIECES_READ_PER_PEER_MAX, PUBLISH_INTERVAL, PUBLISHED_UNREAD_MICROS},
};

/// What a worker publishes.
#[derive(Debug)]
pub(crate) struct Serving {
    shard: ShardId,
    /// The block of the newest stored checkpoint.
    stored: BlockIndex,
    published: Option<(Published, RecordDigest)>,
    /// Since when publishing is under way.
    publishing: Option<Timestamp>,
    /// When that was last begun.
    begun_at: Option<Timestamp>,
    /// When a piece was last asked for.
    read_at: Timestamp,
    /// Who waits for an offer.
    waiting: BTreeSet<AuthorityIndex>,
    /// Who waits for which piece.
    reading: BTreeMap<SnapshotPiece, BTreeSet<AuthorityIndex>>,
}

impl Serving {
    /// With a checkpoint of this block in the store; block 0 without one.
    pub(crate) fn new(shard: ShardId, stored: BlockIndex) -> Self {
        Self {
            shard,
            stored,
            published: None,
            publishing: None,
            begun_at: None,
            read_at: Timestamp(0),
            waiting: BTreeSet::new(),
            reading: BTreeMap::new(),
        }
    }

    /// The store has a newer checkpoint.
    pub(crate) fn stored(&mut self, block: BlockIndex) {
        self.stored = block;
    }

    /// A peer asks. A worker without a state of its own has nothing to offer.
    pub(crate) fn request(
        &mut self,
        now: Timestamp,
        peer: AuthorityIndex,
        request: SnapshotRequest,
        chain: Option<&Chain>,
        effects: &mut Vec<Effect>,
    ) {
        match (request, chain) {
            (SnapshotRequest::Offer, Some(chain)) => self.offer(now, peer, chain, effects),
            (SnapshotRequest::Offer, None) => self.answer(peer, SnapshotAnswer::Offer(None), effects),
            (SnapshotRequest::Piece { record, piece }, _) => {
                if self.published.as_ref().is_none_or(|(_, digest)| *digest != record) {
                    let answer = SnapshotAnswer::Piece { record, piece, bytes: None };
                    return self.answer(peer, answer, effects);
                }
                self.read_at = now;
                let under_way = self.reading.values().filter(|peers| peers.contains(&peer)).count();
                // Who asks for more at a time than anybody needs to gets no answer.
                if under_way >= PIECES_READ_PER_PEER_MAX {
                    return;
                }
                let readers = self.reading.entry(piece).or_default();
                if readers.is_empty() {
                    effects.push(Effect::Snapshot(SnapshotTask::Read(piece)));
                }
                readers.insert(peer);
            }
        }
    }

    fn offer(&mut self, now: Timestamp, peer: AuthorityIndex, chain: &Chain, effects: &mut Vec<Effect>) {
        let newest =
            self.published.as_ref().is_some_and(|(published, _)| published.record.block >= self.stored);
        let unread = now.since(self.read_at) >= PUBLISHED_UNREAD_MICROS;
        let rested = self.begun_at.is_none_or(|begun| now.since(begun) >= PUBLISH_INTERVAL);
        let may_publish = self.stored > BlockIndex(0) && unread && rested && self.reading.is_empty();
        if self.publishing.is_none() && !newest && may_publish {
            (self.publishing, self.begun_at) = (Some(now), Some(now));
            self.published = None;
            effects.push(Effect::Snapshot(SnapshotTask::Publish));
        }
        if self.publishing.is_some() {
            self.waiting.insert(peer);
        } else {
            let offer = self.offered(chain);
            self.answer(peer, SnapshotAnswer::Offer(offer), effects);
        }
    }

    /// What is published, with what ties its record to the last certified one.
    fn offered(&self, chain: &Chain) -> Option<Box<SnapshotOffer>> {
        let (published, _) = self.published.as_ref()?;
        let later = chain.later(&published.record).ok()?;
        Some(Box::new(SnapshotOffer { published: published.clone(), later }))
    }

    /// What came of what was asked of the store.
    pub(crate) fn result(
        &mut self,
        result: SnapshotResult,
        chain: Option<&Chain>,
        effects: &mut Vec<Effect>,
    ) {
        match result {
            SnapshotResult::Published(published) => {
                self.publishing = None;
                self.published = published.map(|published| {
                    let digest = published.record.digest();
                    (*published, digest)
                });
                for peer in std::mem::take(&mut self.waiting) {
                    let offer = chain.and_then(|chain| self.offered(chain));
                    self.answer(peer, SnapshotAnswer::Offer(offer), effects);
                }
            }
            SnapshotResult::Read(piece, bytes) => {
                let readers = self.reading.remove(&piece).unwrap_or_default();
                let Some((_, record)) = self.published.as_ref().filter(|_| !readers.is_empty()) else {
                    return;
                };
                let to = readers.into_iter().map(|peer| Party::Worker(peer, self.shard)).collect();
                let answer = SnapshotAnswer::Piece { record: *record, piece, bytes };
                effects.push(Effect::Send { to, message: Message::Snapshot(answer) });
            }
        }
    }

    fn answer(&self, peer: AuthorityIndex, answer: SnapshotAnswer, effects: &mut Vec<Effect>) {
        let to = vec![Party::Worker(peer, self.shard)];
        effects.push(Effect::Send { to, message: Message::Snapshot(answer) });
    }
}

#[cfg(test)]
mod tests;
