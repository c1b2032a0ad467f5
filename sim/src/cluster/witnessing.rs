//! Who saw an authority propose two vertices of one round, and so must hold evidence against it when the run ends.

use std::collections::{BTreeMap, BTreeSet};

use fresnel_types::{AuthorityIndex, Message, Party, Round, SignedVertex, Timestamp, VertexId};

use super::Cluster;
use crate::invariants::{Broken, hold};

/// What the processes that run now saw; a restart forgets what it had not kept.
#[derive(Default)]
pub(super) struct Witnesses {
    hosts: BTreeMap<usize, Witness>,
}

#[derive(Default)]
struct Witness {
    incarnation: u64,
    /// Came in and waits for the next step.
    waiting: Vec<(AuthorityIndex, Round, VertexId)>,
    /// Was taken while its round was above the floor.
    taken: BTreeMap<(AuthorityIndex, Round), VertexId>,
    /// Who proposed two vertices of a round, and when the second was taken first.
    convicted: BTreeMap<AuthorityIndex, Timestamp>,
}

impl Cluster {
    /// A message came in for a beacon, which will look at it in its next step.
    pub(super) fn witness(&mut self, index: usize, message: &Message) {
        let Message::Proposal(SignedVertex { vertex, .. }) = message else { return };
        let host = &self.hosts[index];
        let Some(status) = host.machine().and_then(|machine| machine.beacon()) else { return };
        let head = &vertex.head;
        let is_near = head.round > status.floor && head.round.0 <= status.round.0 + ROUNDS_TAKEN;
        if is_near && head.time <= self.scheduler.now().plus(AHEAD_TAKEN) {
            let witness = self.witnesses.hosts.entry(index).or_default();
            if witness.incarnation != host.incarnation {
                *witness = Witness { incarnation: host.incarnation, ..Witness::default() };
            }
            witness.waiting.push((head.author, head.round, head.id()));
        }
    }

    /// The host took everything that waited.
    pub(super) fn witnessed(&mut self, index: usize) {
        let (now, host) = (self.scheduler.now(), &self.hosts[index]);
        let Some(witness) = self.witnesses.hosts.get_mut(&index) else { return };
        let Some(status) = host.machine().and_then(|machine| machine.beacon()) else { return };
        for (author, round, id) in std::mem::take(&mut witness.waiting) {
            if witness.incarnation == host.incarnation
                && round > status.floor
                && *witness.taken.entry((author, round)).or_insert(id) != id
            {
                witness.convicted.entry(author).or_insert(now);
            }
        }
    }

    /// Whoever saw two holds evidence. Gives the number of those who did.
    pub(super) fn check_witnesses(&self) -> Result<u64, Broken> {
        let mut seen = BTreeSet::new();
        for (&index, witness) in &self.witnesses.hosts {
            let host = &self.hosts[index];
            let Party::Beacon(authority) = host.party else { continue };
            if self.adversaries.contains(host.party) || witness.incarnation != host.incarnation {
                continue;
            }
            for (&author, &at) in &witness.convicted {
                let settled = at.plus(SETTLES) <= self.scheduler.now();
                hold!(
                    "evidence",
                    !settled || self.monitor.has_evidence(authority, author),
                    "{authority} saw two vertices of {author} for one round and holds no evidence"
                );
                seen.insert((authority, author));
            }
        }
        Ok(seen.len() as u64)
    }
}

/// Rounds past the own one of which proposals are looked at; beacons look a little further.
const ROUNDS_TAKEN: u64 = 6;

/// Microseconds that a proposal may be ahead and is looked at, whatever the clock of the host shows.
const AHEAD_TAKEN: u64 = 200_000;

/// Microseconds after which everything that a step kept is durable.
const SETTLES: u64 = 1_000_000;
