//! A worker without a state to go on from gets one: the state after a certified record from the workers of its shard, and
//! the order from its own beacon.
//!
//! `fetching` takes the order while there is no state, chooses what to fetch by it, and gathers the pieces; `place` finds the
//! point of the order from which a state leads on; `target` is what is fetched, and checks its pieces; `serving` gives pieces
//! to peers that are in this need. What is fetched is in the log, piece by piece, so an interruption costs nothing.

mod fetching;
mod place;
mod serving;
mod target;

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use fresnel_types::{
    AuthorityIndex, BlockIndex, Close, CommitIndex, Effect, LogEntry, Message, Order, Party, RecordDigest,
    ShardId, Timestamp,
    checkpoint::Restored,
    snapshot::{SnapshotAnswer, SnapshotRequest, SyncEntry},
    verify::Rules,
};

use crate::limits::{OFFERS_INTERVAL, STUCK_MICROS};
use fetching::Fetching;
pub(crate) use serving::Serving;

/// Whether a worker has a state, and where getting one stands.
#[derive(Debug)]
pub(crate) struct Sync {
    shard: ShardId,
    rules: Arc<Rules>,
    peers: Vec<Party>,
    stage: Stage,
    /// The last block executed, and since when the next one waits although a later one is certified.
    stuck: Option<(BlockIndex, Timestamp)>,
    /// When peers are asked again because of that.
    ask_stuck_at: Option<Timestamp>,
    /// Who gave what the state root does not cover of the state that was taken over.
    adopted_from: Option<AuthorityIndex>,
    refused: BTreeSet<AuthorityIndex>,
}

#[derive(Debug)]
enum Stage {
    /// It has one.
    Complete,
    /// It is to give up what it has, and the order goes on with this commit; that is not in the log yet.
    Lost(CommitIndex),
    Fetching(Box<Fetching>),
    /// It has one, which is to be that at this close, if no block since then had input.
    Placing(Box<Close>),
}

/// A state that is complete.
pub(crate) struct Fetched {
    pub(crate) restored: Restored,
    /// Of its last record.
    pub(crate) record: RecordDigest,
    /// The order from there on; what led to the state is not in the first one.
    pub(crate) orders: VecDeque<Order>,
    /// The block at whose close it goes on.
    pub(crate) block: BlockIndex,
}

impl Sync {
    /// For a worker with a state.
    pub(crate) fn new(authority: AuthorityIndex, shard: ShardId, rules: Arc<Rules>) -> Self {
        let others = rules.committee.indices().filter(|other| *other != authority);
        let peers = others.map(|other| Party::Worker(other, shard)).collect();
        let refused = BTreeSet::new();
        Self {
            shard,
            rules,
            peers,
            stage: Stage::Complete,
            stuck: None,
            ask_stuck_at: None,
            adopted_from: None,
            refused,
        }
    }

    /// Whether nothing can be executed yet.
    pub(crate) fn is_under_way(&self) -> bool {
        !matches!(self.stage, Stage::Complete)
    }

    /// Whether there is no state at all.
    pub(crate) fn is_fetching(&self) -> bool {
        matches!(self.stage, Stage::Lost(_) | Stage::Fetching(_))
    }

    /// What is kept of the worker is not its state; the order goes on with `first`.
    pub(crate) fn lost(&mut self, first: CommitIndex) {
        self.stage = Stage::Lost(first);
    }

    /// Where the order goes on, when the state is lost and the log does not say so yet.
    pub(crate) fn is_lost(&self) -> Option<CommitIndex> {
        match self.stage {
            Stage::Lost(first) => Some(first),
            _ => None,
        }
    }

    /// A state is wanted from now on.
    pub(crate) fn begin(&mut self, now: Timestamp) {
        if let Stage::Fetching(fetching) = &self.stage {
            self.refused.extend(fetching.refused());
        }
        // Most peers are honest: who refused all of them was wrong about some.
        if self.refused.len() >= self.peers.len() {
            self.refused.clear();
        }
        let refused = self.refused.clone();
        self.stuck = None;
        let fetching = Fetching::new(self.rules.shards, self.shard, refused, now);
        self.stage = Stage::Fetching(Box::new(fetching));
    }

    /// What was taken over turned out to be wrong.
    pub(crate) fn refuse_adopted(&mut self) {
        self.refused.extend(self.adopted_from.take());
    }

    /// The next order; whether it is kept here, since there is no state to go with it.
    pub(crate) fn take_order(&mut self, order: &Order) -> bool {
        let Stage::Fetching(fetching) = &mut self.stage else { return false };
        fetching.take_order(order.clone());
        true
    }

    /// An answer of a peer. Whether a running worker is to look for a state, since this peer is further and nothing moves here.
    pub(crate) fn answer(
        &mut self,
        now: Timestamp,
        peer: AuthorityIndex,
        answer: SnapshotAnswer,
        effects: &mut Vec<Effect>,
    ) -> bool {
        match (&mut self.stage, answer) {
            (Stage::Fetching(fetching), SnapshotAnswer::Offer(offer)) => {
                fetching.offered(now, peer, offer.map(|offer| *offer));
            }
            (Stage::Fetching(fetching), SnapshotAnswer::Piece { record, piece, bytes }) => {
                if fetching.piece(peer, &record, piece, bytes.as_deref())
                    && let Some(bytes) = bytes
                {
                    effects.push(Effect::Persist(LogEntry::Sync(SyncEntry::Piece(piece, bytes))));
                }
            }
            (Stage::Complete, SnapshotAnswer::Offer(Some(offer))) => {
                let further = |(executed, since): (BlockIndex, Timestamp)| {
                    now.since(since) >= STUCK_MICROS && offer.published.record.block > executed
                };
                return self.stuck.is_some_and(further);
            }
            _ => {}
        }
        false
    }

    /// What the log holds of the way to a state.
    pub(crate) fn replay(&mut self, entry: SyncEntry) {
        if let Stage::Fetching(fetching) = &mut self.stage {
            fetching.replay(entry);
        }
    }

    /// Does what is due. `executed` is the last block executed, `waits` whether the next one waits and is certified.
    pub(crate) fn advance(
        &mut self,
        now: Timestamp,
        executed: BlockIndex,
        waits: bool,
        effects: &mut Vec<Effect>,
    ) {
        match &mut self.stage {
            Stage::Fetching(fetching) => {
                if fetching.asks(now) {
                    ask(self.peers.clone(), SnapshotRequest::Offer, effects);
                }
                let (entry, wanted) = fetching.advance(now);
                effects.extend(entry.map(|entry| Effect::Persist(LogEntry::Sync(entry))));
                let Some(record) = fetching.record() else { return };
                for (peer, piece) in wanted {
                    let to = vec![Party::Worker(peer, self.shard)];
                    ask(to, SnapshotRequest::Piece { record, piece }, effects);
                }
            }
            Stage::Complete if waits => {
                let stuck = self.stuck.filter(|(block, _)| *block == executed);
                let (_, since) = *self.stuck.insert(stuck.unwrap_or((executed, now)));
                let asked = self.ask_stuck_at.is_some_and(|at| at > now);
                if now.since(since) >= STUCK_MICROS && !asked {
                    self.ask_stuck_at = Some(now.plus(OFFERS_INTERVAL));
                    ask(self.peers.clone(), SnapshotRequest::Offer, effects);
                }
            }
            Stage::Complete | Stage::Lost(_) | Stage::Placing(_) => self.stuck = None,
        }
    }

    /// When [`Self::advance`] has something to do without any message.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        match &self.stage {
            Stage::Fetching(fetching) => fetching.deadline(),
            Stage::Complete => {
                let (_, since) = self.stuck?;
                Some(self.ask_stuck_at.unwrap_or_default().max(since.plus(STUCK_MICROS)))
            }
            Stage::Lost(_) => Some(Timestamp(0)),
            Stage::Placing(_) => None,
        }
    }

    /// The state, once all of it is here. From now on it is to be taken over, and blocks are executed once it is settled
    /// that none had input between it and its place in the order.
    pub(crate) fn take_complete(&mut self) -> Option<Fetched> {
        if !matches!(&self.stage, Stage::Fetching(fetching) if fetching.is_complete()) {
            return None;
        }
        let Stage::Fetching(fetching) = std::mem::replace(&mut self.stage, Stage::Complete) else {
            return None;
        };
        let (target, place, orders, refused) = fetching.into_parts()?;
        self.refused.extend(refused);
        self.adopted_from = Some(target.parts_from);
        let (record, block) = (target.digest, place.close.block);
        if place.rested {
            self.stage = Stage::Placing(Box::new(place.close));
        }
        Some(Fetched { restored: target.restored(), record, orders, block })
    }

    /// The close at which the state was taken over, as long as it is not settled that it is right there.
    pub(crate) fn placing(&self) -> Option<&Close> {
        match &self.stage {
            Stage::Placing(close) => Some(close),
            _ => None,
        }
    }

    /// It is.
    pub(crate) fn placed(&mut self) {
        self.stage = Stage::Complete;
    }
}

fn ask(to: Vec<Party>, request: SnapshotRequest, effects: &mut Vec<Effect>) {
    if !to.is_empty() {
        effects.push(Effect::Send { to, message: Message::SnapshotRequest(request) });
    }
}
