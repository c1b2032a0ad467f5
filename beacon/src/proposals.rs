//! Proposals of others that wait for something before the own vote: a link, a batch, or the time they claim.

use std::{collections::BTreeMap, sync::Arc};

use fresnel_types::{AuthorityIndex, BatchRef, Round, ShardId, SignedVertex, Timestamp, VertexRef};

/// Proposals without an own vote, at most one per slot.
#[derive(Debug, Default)]
pub(crate) struct Proposals {
    waiting: BTreeMap<(Round, AuthorityIndex), Waiting>,
}

/// A proposal and what it was last found to wait for.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) reference: VertexRef,
    pub(crate) vertex: Arc<SignedVertex>,
    pub(crate) blocker: Blocker,
}

/// Why there is no vote yet.
#[derive(Debug)]
pub(crate) enum Blocker {
    /// Not looked at.
    Unknown,
    /// Its time is ahead of the clock and the order.
    Time,
    /// This link is not in the DAG.
    Link(VertexRef),
    /// These batches are not stored at home; the own workers are asked again at `again`. Once they are late, the word of
    /// f + 1 others will do.
    Payload { missing: Vec<(ShardId, Vec<BatchRef>)>, again: Timestamp, wait: u64, is_late: bool },
}

impl Proposals {
    /// Lets a proposal wait; the first of a slot stays.
    pub(crate) fn add(&mut self, reference: VertexRef, vertex: Arc<SignedVertex>) {
        self.waiting.entry((reference.round, reference.author)).or_insert(Waiting {
            reference,
            vertex,
            blocker: Blocker::Unknown,
        });
    }

    /// The slots in which something waits, ascending.
    pub(crate) fn slots(&self) -> Vec<(Round, AuthorityIndex)> {
        self.waiting.keys().copied().collect()
    }

    pub(crate) fn get_mut(&mut self, slot: (Round, AuthorityIndex)) -> Option<&mut Waiting> {
        self.waiting.get_mut(&slot)
    }

    pub(crate) fn remove(&mut self, round: Round, author: AuthorityIndex) -> Option<Waiting> {
        self.waiting.remove(&(round, author))
    }

    /// Forgets what is at or below the floor.
    pub(crate) fn prune(&mut self, floor: Round) {
        self.waiting = self.waiting.split_off(&(floor.next(), AuthorityIndex(0)));
    }

    /// When something must be looked at again without any message.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        let times = self.waiting.values().filter_map(|waiting| match &waiting.blocker {
            Blocker::Time => Some(waiting.vertex.vertex.head.time),
            Blocker::Payload { again, .. } => Some(*again),
            Blocker::Unknown | Blocker::Link(_) => None,
        });
        times.min()
    }
}
