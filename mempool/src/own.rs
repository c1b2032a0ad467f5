//! Own batches: the open one, and the sealed ones until they are ordered.
//!
//! A sealed batch goes to every peer at once and again to those that do not acknowledge it; the wait follows the peer's
//! own latency and doubles while it says nothing. The quorum's last acknowledgement makes it an offer; a void event
//! makes it one again.

use std::collections::{BTreeMap, BTreeSet};

use fresnel_types::{
    AuthorityIndex, AuthoritySet, BatchId, BatchRef, Committee, SignedTransaction, Timestamp,
};

use crate::{
    admission::Member,
    limits::{RESEND_BATCHES_MAX, RESEND_MAX, RESEND_MIN, RESEND_UNKNOWN},
};

/// Transactions not sealed yet.
#[derive(Debug, Default)]
pub(crate) struct Open {
    pub(crate) transactions: Vec<SignedTransaction>,
    pub(crate) members: Vec<Member>,
    bytes: usize,
    /// When the first one came.
    pub(crate) since: Timestamp,
}

impl Open {
    /// Whether a transaction of so many bytes still fits into a batch of `bytes_max`.
    pub(crate) fn fits(&self, bytes: usize, bytes_max: usize) -> bool {
        HEAD_BYTES + self.bytes + bytes <= bytes_max
    }

    pub(crate) fn push(
        &mut self,
        now: Timestamp,
        transaction: SignedTransaction,
        bytes: usize,
        member: Member,
    ) {
        if self.transactions.is_empty() {
            self.since = now;
        }
        self.bytes += bytes;
        self.transactions.push(transaction);
        self.members.push(member);
    }
}

/// Encoded bytes of a batch without transactions: author, shard, length.
const HEAD_BYTES: usize = 2 + 2 + 8;

#[derive(Debug)]
struct Sealed {
    name: BatchRef,
    members: Vec<Member>,
    acknowledged: AuthoritySet,
    offered: bool,
    sent: Timestamp,
    /// Sent more than once: an acknowledgement says nothing about latency.
    resent: bool,
}

/// What is known of a peer's worker.
#[derive(Clone, Copy, Debug)]
struct Peer {
    /// Smoothed microseconds from sending a batch to its acknowledgement.
    latency: Option<u64>,
    /// Fruitless repetitions since the last acknowledgement.
    silent: u32,
    /// When to look for what it has not acknowledged.
    next: Option<Timestamp>,
}

impl Peer {
    fn wait(&self) -> u64 {
        let wait = self.latency.map_or(RESEND_UNKNOWN, |latency| latency.saturating_mul(4));
        wait.clamp(RESEND_MIN, RESEND_MAX).saturating_mul(1 << self.silent.min(6)).min(RESEND_MAX)
    }
}

/// The sealed and not ordered batches of this worker, by the order of their sealing.
#[derive(Debug)]
pub(crate) struct OwnBatches {
    authority: AuthorityIndex,
    sealed: BTreeMap<u64, Sealed>,
    places: BTreeMap<BatchId, u64>,
    next: u64,
    /// Acknowledged by a quorum and to be offered.
    ready: BTreeSet<u64>,
    /// One per authority; the own one is never due.
    peers: Vec<Peer>,
}

impl OwnBatches {
    pub(crate) fn new(authority: AuthorityIndex, committee: &Committee) -> Self {
        let peer = Peer { latency: None, silent: 0, next: None };
        Self {
            authority,
            sealed: BTreeMap::new(),
            places: BTreeMap::new(),
            next: 0,
            ready: BTreeSet::new(),
            peers: vec![peer; committee.size()],
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sealed.is_empty()
    }

    /// When the oldest of them was sealed, of those that were since the start.
    pub(crate) fn oldest(&self) -> Option<Timestamp> {
        self.sealed.values().map(|sealed| sealed.sent).find(|sent| *sent > Timestamp(0))
    }

    /// Adds a batch that is durable here. `sent` is none when it comes from the log: then it goes out as soon as a
    /// clock is known.
    pub(crate) fn seal(
        &mut self,
        committee: &Committee,
        sent: Option<Timestamp>,
        name: BatchRef,
        members: Vec<Member>,
    ) {
        let place = self.next;
        self.next += 1;
        let sealed = Sealed {
            name,
            members,
            acknowledged: AuthoritySet::default(),
            offered: false,
            sent: sent.unwrap_or_default(),
            resent: sent.is_none(),
        };
        self.sealed.insert(place, sealed);
        self.places.insert(name.id, place);
        for peer in committee.indices().filter(|peer| *peer != self.authority) {
            let peer = &mut self.peers[peer.index()];
            let due = sent.map_or(Timestamp(0), |sent| sent.plus(peer.wait()));
            peer.next = Some(peer.next.map_or(due, |next| next.min(due)));
        }
        self.acknowledge(committee, sent.unwrap_or_default(), self.authority, &name.id);
    }

    /// `authority` holds the batch durably.
    pub(crate) fn acknowledge(
        &mut self,
        committee: &Committee,
        now: Timestamp,
        authority: AuthorityIndex,
        batch: &BatchId,
    ) {
        let Some(place) = self.places.get(batch) else { return };
        let sealed = self.sealed.get_mut(place).expect("every place is of a sealed batch");
        if !sealed.acknowledged.insert(authority) {
            return;
        }
        if authority != self.authority {
            let peer = &mut self.peers[authority.index()];
            peer.silent = 0;
            if !sealed.resent {
                let sample = now.since(sealed.sent);
                peer.latency = Some(peer.latency.map_or(sample, |latency| (latency * 7 + sample) / 8));
            }
        }
        if !sealed.offered && committee.is_quorum(&sealed.acknowledged) {
            self.ready.insert(*place);
        }
    }

    /// What is to be offered now, in seal order.
    pub(crate) fn take_offers(&mut self) -> Vec<BatchRef> {
        std::mem::take(&mut self.ready)
            .into_iter()
            .map(|place| {
                let sealed = self.sealed.get_mut(&place).expect("what is ready is sealed");
                sealed.offered = true;
                sealed.name
            })
            .collect()
    }

    /// What was offered and is not ordered.
    pub(crate) fn outstanding(&self) -> Vec<BatchRef> {
        self.sealed.values().filter(|sealed| sealed.offered).map(|sealed| sealed.name).collect()
    }

    /// All of them, in seal order.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &BatchId> {
        self.sealed.values().map(|sealed| &sealed.name.id)
    }

    /// The batch is ordered: it is nobody's worry any more; its transactions.
    pub(crate) fn ordered(&mut self, batch: &BatchId) -> Vec<Member> {
        let Some(place) = self.places.remove(batch) else { return vec![] };
        self.ready.remove(&place);
        self.sealed.remove(&place).expect("every place is of a sealed batch").members
    }

    /// The batch was named in vain: it is to be offered again.
    pub(crate) fn void(&mut self, batch: &BatchId) {
        if let Some(place) = self.places.get(batch)
            && let Some(sealed) = self.sealed.get_mut(place)
            && sealed.offered
        {
            sealed.offered = false;
            self.ready.insert(*place);
        }
    }

    /// What goes to `peer` again, oldest first: after `wait`, or at once when its link is new.
    fn again(&mut self, now: Timestamp, peer: AuthorityIndex, wait: u64) -> Vec<BatchId> {
        let mut due = Vec::new();
        for sealed in self.sealed.values_mut() {
            if due.len() == RESEND_BATCHES_MAX {
                break;
            }
            if !sealed.acknowledged.contains(peer) && sealed.sent.plus(wait) <= now {
                sealed.resent = true;
                due.push(sealed.name.id);
            }
        }
        due
    }

    fn unacknowledged(&self, peer: AuthorityIndex) -> Option<&Sealed> {
        self.sealed.values().find(|sealed| !sealed.acknowledged.contains(peer))
    }

    /// The link to `peer` is new: everything it has not acknowledged may be lost.
    pub(crate) fn connected(&mut self, now: Timestamp, peer: AuthorityIndex) -> Vec<BatchId> {
        let again = self.again(now, peer, 0);
        let state = &mut self.peers[peer.index()];
        state.silent = 0;
        if !again.is_empty() {
            state.next = Some(now.plus(state.wait()));
        }
        again
    }

    /// For every peer that is due, what goes to it again.
    pub(crate) fn due(&mut self, now: Timestamp) -> Vec<(AuthorityIndex, Vec<BatchId>)> {
        let mut all = Vec::new();
        for index in 0..self.peers.len() {
            let authority = AuthorityIndex(index as u16);
            if self.peers[index].next.is_none_or(|next| next > now) {
                continue;
            }
            let again = self.again(now, authority, self.peers[index].wait());
            let oldest = self.unacknowledged(authority).map(|sealed| sealed.sent);
            let peer = &mut self.peers[index];
            if again.is_empty() {
                peer.next = oldest.map(|sent| sent.plus(peer.wait()));
            } else {
                peer.silent += 1;
                peer.next = Some(now.plus(peer.wait()));
                all.push((authority, again));
            }
        }
        all
    }

    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        self.peers.iter().filter_map(|peer| peer.next).min()
    }
}
