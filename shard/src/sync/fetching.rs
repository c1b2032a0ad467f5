//! Getting a state: the order is kept as it comes, peers are asked what they offer, the offer that the order certifies and
//! that most of them have is fetched from all who have it.
//!
//! Whoever gives a piece that is not what was certified is asked no more; whoever does not answer, only after the others.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use fresnel_types::{
    AuthorityIndex, BlockIndex, Order, RecordDigest, ShardId, Shards, Timestamp,
    commit::Certified,
    snapshot::{Published, SnapshotOffer, SnapshotPiece, SyncEntry},
};

use super::{place::Place, target::Target};
use crate::limits::{
    CLAIMS_MAX, GATHERING_MICROS, OFFERS_INTERVAL, PIECE_TIMEOUT, PIECES_PER_PEER_MAX, STRIKES_MAX,
};

/// A worker on its way to a state.
#[derive(Debug)]
pub(crate) struct Fetching {
    shards: Shards,
    shard: ShardId,
    /// Since the beginning, or since the place where what is fetched goes on.
    orders: VecDeque<Order>,
    /// What these orders said of own records.
    claims: BTreeMap<BlockIndex, RecordDigest>,
    offers: BTreeMap<AuthorityIndex, Offered>,
    /// Those that gave what is not so.
    refused: BTreeSet<AuthorityIndex>,
    /// Until when further offers are awaited.
    gathering: Option<Timestamp>,
    /// That is over: from now on whatever comes may decide.
    gathered: bool,
    /// When to ask all peers what they offer.
    ask_at: Timestamp,
    target: Option<(Target, Place)>,
}

#[derive(Debug)]
struct Offered {
    offer: SnapshotOffer,
    digest: RecordDigest,
    /// How often in a row it did not answer.
    strikes: u32,
}

impl Fetching {
    pub(crate) fn new(
        shards: Shards,
        shard: ShardId,
        refused: BTreeSet<AuthorityIndex>,
        now: Timestamp,
    ) -> Self {
        Self {
            shards,
            shard,
            orders: VecDeque::new(),
            claims: BTreeMap::new(),
            offers: BTreeMap::new(),
            refused,
            gathering: None,
            gathered: false,
            ask_at: now,
            target: None,
        }
    }

    /// The next order, which is in the log.
    pub(crate) fn take_order(&mut self, order: Order) {
        let Certified { block, record } = order.certified[self.shard.index()];
        if block > BlockIndex(0) {
            self.claims.insert(block, record);
        }
        while self.claims.len() > CLAIMS_MAX {
            self.claims.pop_first();
        }
        self.orders.push_back(order);
    }

    /// What a peer offers; nothing may be one that is gone.
    pub(crate) fn offered(&mut self, now: Timestamp, peer: AuthorityIndex, offer: Option<SnapshotOffer>) {
        let is_heard = |offer: &SnapshotOffer| {
            offer.published.record.shard == self.shard && !self.refused.contains(&peer)
        };
        let Some(offer) = offer.filter(is_heard) else {
            return drop(self.offers.remove(&peer));
        };
        let digest = offer.published.record.digest();
        self.offers.insert(peer, Offered { offer, digest, strikes: 0 });
        self.gathering.get_or_insert(now.plus(GATHERING_MICROS));
    }

    /// A piece from a peer; whether it was lacking and is right, and so belongs into the log.
    pub(crate) fn piece(
        &mut self,
        peer: AuthorityIndex,
        record: &RecordDigest,
        piece: SnapshotPiece,
        bytes: Option<&[u8]>,
    ) -> bool {
        let Some((target, _)) = &mut self.target else { return false };
        if target.digest != *record || !target.lacks(piece) || self.refused.contains(&peer) {
            return false;
        }
        if matches!(piece, SnapshotPiece::Part(_)) && peer != target.parts_from {
            return false;
        }
        let Some(offered) = self.offers.get_mut(&peer) else { return false };
        let Some(bytes) = bytes else {
            target.forget(peer);
            self.offers.remove(&peer);
            return false;
        };
        offered.strikes = 0;
        let right = target.accept(piece, bytes);
        if !right {
            self.refuse(peer);
        }
        right
    }

    /// A peer said what is not so.
    pub(crate) fn refuse(&mut self, peer: AuthorityIndex) {
        self.offers.remove(&peer);
        self.refused.insert(peer);
        if let Some((target, _)) = &mut self.target {
            target.forget(peer);
        }
    }

    /// Those that said what is not so.
    pub(crate) fn refused(&self) -> &BTreeSet<AuthorityIndex> {
        &self.refused
    }

    /// What is in the log already.
    pub(crate) fn replay(&mut self, entry: SyncEntry) {
        match entry {
            SyncEntry::Begin(_) => {}
            SyncEntry::Target(published, from) => self.fetch(*published, from),
            SyncEntry::Piece(piece, bytes) => {
                if let Some((target, _)) = &mut self.target {
                    target.accept(piece, &bytes);
                }
            }
        }
    }

    /// Does what is due: what is to be written into the log, and which pieces to ask whom for.
    pub(crate) fn advance(
        &mut self,
        now: Timestamp,
    ) -> (Option<SyncEntry>, Vec<(AuthorityIndex, SnapshotPiece)>) {
        let late = self.target.as_mut().map(|(target, _)| target.overdue(now)).unwrap_or_default();
        for peer in late {
            if let Some(offered) = self.offers.get_mut(&peer) {
                offered.strikes += 1;
                if offered.strikes >= STRIKES_MAX {
                    self.offers.remove(&peer);
                }
            }
        }
        let chosen = self.choose(now);
        if let Some(SyncEntry::Target(published, from)) = &chosen {
            self.fetch((**published).clone(), *from);
        }
        let sources = self.sources();
        let Some((target, _)) = &mut self.target else { return (chosen, Vec::new()) };
        (chosen, target.ask(&sources, PIECES_PER_PEER_MAX, now.plus(PIECE_TIMEOUT)))
    }

    /// Whether peers are to be asked now what they offer.
    pub(crate) fn asks(&mut self, now: Timestamp) -> bool {
        let due = self.ask_at <= now;
        if due {
            self.ask_at = now.plus(OFFERS_INTERVAL);
        }
        due
    }

    /// When [`Self::advance`] and [`Self::asks`] have something to do without any message.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        let pieces = self.target.as_ref().and_then(|(target, _)| target.deadline());
        let gathering = self.gathering.filter(|_| !self.gathered);
        [Some(self.ask_at), pieces, gathering].into_iter().flatten().min()
    }

    /// Everything, once it is complete: what was fetched, where it goes on, and the order from there.
    pub(crate) fn is_complete(&self) -> bool {
        self.target.as_ref().is_some_and(|(target, _)| target.is_complete())
    }

    /// The same, taken apart.
    pub(crate) fn into_parts(self) -> Option<(Target, Place, VecDeque<Order>, BTreeSet<AuthorityIndex>)> {
        let (target, place) = self.target?;
        Some((target, place, self.orders, self.refused))
    }

    /// Begins to fetch this, or goes on with it from other peers.
    fn fetch(&mut self, published: Published, from: AuthorityIndex) {
        let digest = published.record.digest();
        if let Some((target, _)) = &mut self.target
            && target.is_of(&digest, &published)
        {
            return target.take_parts_from(from, published);
        }
        let place = self.place(&published, digest);
        let target = Target::new(published, from, self.shards, self.shard);
        self.target = target.zip(place);
        if let Some((_, place)) = &self.target {
            place.cut(&mut self.orders);
        }
    }

    fn place(&self, published: &Published, record: RecordDigest) -> Option<Place> {
        let certified = Certified { block: published.record.block, record };
        Place::find(&self.orders, &published.record, certified)
    }

    /// What is to be fetched from now on, if that changes: nothing was chosen, or nobody offers it or its parts any more.
    fn choose(&mut self, now: Timestamp) -> Option<SyncEntry> {
        if let Some((target, _)) = &self.target {
            let sources = self.sources();
            if sources.contains(&target.parts_from) || target.is_complete() {
                return None;
            }
            let next = sources.first().and_then(|peer| Some((*peer, self.offers.get(peer)?)));
            if let Some((peer, offered)) = next {
                return Some(SyncEntry::Target(Box::new(offered.offer.published.clone()), peer));
            }
        }
        self.gathered |= self.gathering? <= now;
        if !self.gathered {
            return None;
        }
        let mut groups: BTreeMap<(&RecordDigest, &[u8]), Vec<AuthorityIndex>> = BTreeMap::new();
        for (peer, offered) in &self.offers {
            let key = (&offered.digest, offered.offer.published.chunks.as_slice());
            groups.entry(key).or_default().push(*peer);
        }
        let fits = |peers: &Vec<AuthorityIndex>| {
            let offered = &self.offers[&peers[0]];
            let published = &offered.offer.published;
            self.is_certified(offered)
                && self.place(published, offered.digest).is_some()
                && Target::new(published.clone(), peers[0], self.shards, self.shard).is_some()
        };
        let peers = groups.into_values().filter(fits).max_by_key(Vec::len)?;
        let published = self.offers[&peers[0]].offer.published.clone();
        Some(SyncEntry::Target(Box::new(published), peers[0]))
    }

    /// Whether the own order certified the record, or the later one that commits to it.
    fn is_certified(&self, offered: &Offered) -> bool {
        let later = offered.offer.later.as_ref();
        let (block, digest) = match later {
            Some(later) => (later.record.block, later.record.digest()),
            None => (offered.offer.published.record.block, offered.digest),
        };
        self.claims.get(&block) == Some(&digest)
            || self.claims.get(&offered.offer.published.record.block) == Some(&offered.digest)
    }

    /// Who offers what is fetched.
    fn sources(&self) -> BTreeSet<AuthorityIndex> {
        let Some((target, _)) = &self.target else { return BTreeSet::new() };
        let same = |offered: &Offered| target.is_of(&offered.digest, &offered.offer.published);
        self.offers.iter().filter(|(_, offered)| same(offered)).map(|(peer, _)| *peer).collect()
    }

    /// The record after which the state is that is fetched.
    pub(crate) fn record(&self) -> Option<RecordDigest> {
        self.target.as_ref().map(|(target, _)| target.digest)
    }
}
