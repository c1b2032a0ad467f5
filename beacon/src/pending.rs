//! What the own workers want ordered: not yet in an own vertex, or in one that is not ordered yet.
//!
//! What an own vertex carries stays outstanding until a commit orders the vertex. When the vertex falls to the floor
//! unordered, its content goes back to the front and into the next one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use fresnel_types::{
    Attestation, AuthorityIndex, BatchId, BatchRef, BlockIndex, Order, OrderEvent, Parameters, Round,
    ShardHeader, Shards, limits::ATTESTATIONS_PER_HEADER_MAX, message::Offer,
};
use wincode::{SchemaRead, SchemaWrite};

use crate::{
    generations::Generations,
    limits::{ORDERED_ATTESTATIONS, PENDING_ATTESTATIONS, PENDING_BATCHES},
};

/// The payload of coming and open own vertices.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Pending {
    me: AuthorityIndex,
    shards: Vec<Shard>,
    /// Headers of own vertices that no commit ordered yet.
    outstanding: BTreeMap<Round, Vec<ShardHeader>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Shard {
    batches: VecDeque<BatchRef>,
    /// Ids in `batches` or outstanding.
    known: BTreeSet<BatchId>,
    attestations: BTreeMap<BlockIndex, Attestation>,
    /// Blocks with an outstanding attestation.
    attesting: BTreeSet<BlockIndex>,
    /// Whether `past.held` says more than the last own vertex did.
    held_is_news: bool,
    waits: bool,
    past: Past,
}

/// What past commits and vertices left of a shard: a checkpoint holds it. All else the log above the floor tells, or
/// the worker, who offers again whatever no commit showed it.
#[derive(Clone, Debug, Default, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub(crate) struct Past {
    /// Own batches that took effect.
    effective: Generations,
    /// Blocks with an ordered own attestation.
    attested: BTreeSet<BlockIndex>,
    /// Per source, what the worker said that it holds.
    held: Vec<BlockIndex>,
}

impl Pending {
    pub(crate) fn new(me: AuthorityIndex, shards: Shards) -> Self {
        let past = Past { held: vec![BlockIndex(0); shards.count()], ..Past::default() };
        let shard = Shard { past, ..Shard::default() };
        Self { me, shards: vec![shard; shards.count()], outstanding: BTreeMap::new() }
    }

    /// What is past, per shard.
    pub(crate) fn past(&self) -> impl Iterator<Item = &Past> {
        self.shards.iter().map(|shard| &shard.past)
    }

    /// Goes on from what was past, one per shard.
    pub(crate) fn restore(&mut self, past: Vec<Past>) {
        for (shard, past) in self.shards.iter_mut().zip(past) {
            shard.past = past;
        }
    }

    /// Adds what a worker offers; what is known by its id is not added twice.
    pub(crate) fn offer(&mut self, offer: Offer) {
        let count = self.shards.len();
        let Some(shard) = self.shards.get_mut(offer.shard.index()) else { return };
        for batch in offer.batches {
            let fresh = !shard.past.effective.contains(&batch.id) && shard.batches.len() < PENDING_BATCHES;
            if fresh && shard.known.insert(batch.id) {
                shard.batches.push_back(batch);
            }
        }
        for attestation in offer.attestations {
            let block = attestation.block;
            let fresh = !shard.attesting.contains(&block) && !shard.past.attested.contains(&block);
            if attestation.shard == offer.shard && fresh && shard.attestations.len() < PENDING_ATTESTATIONS {
                shard.attestations.entry(block).or_insert(attestation);
            }
        }
        let held = &mut shard.past.held;
        if offer.held.len() == count && offer.held != *held {
            // Never falls, whatever order messages come in.
            let risen: Vec<BlockIndex> =
                held.iter().zip(&offer.held).map(|(old, new)| *old.max(new)).collect();
            shard.held_is_news |= risen != *held;
            *held = risen;
        }
        shard.waits = offer.pending;
    }

    /// Whether something is in no vertex yet.
    pub(crate) fn has_unproposed(&self) -> bool {
        self.shards.iter().any(|shard| !shard.batches.is_empty() || !shard.attestations.is_empty())
    }

    /// Whether a worker waits for the order to go on.
    pub(crate) fn waits(&self) -> bool {
        self.shards.iter().any(|shard| shard.waits)
    }

    /// The headers of the own vertex of `round`, outstanding from now on. A shard without news has none.
    pub(crate) fn headers(
        &mut self,
        round: Round,
        shards: Shards,
        parameters: &Parameters,
    ) -> Vec<ShardHeader> {
        let mut headers = vec![];
        for (id, shard) in shards.iter().zip(&mut self.shards) {
            let header = ShardHeader {
                shard: id,
                author: self.me,
                batches: shard.take_batches(parameters),
                attestations: shard.take_attestations(),
                held: shard.past.held.clone(),
            };
            if !header.is_idle() || shard.held_is_news {
                shard.held_is_news = false;
                headers.push(header);
            }
        }
        self.carry(round, headers.clone());
        headers
    }

    /// Notes that the own vertex of `round` carries `headers`. After a restart the log tells it: what an earlier vertex
    /// gave back at its floor is then carried, and no longer waiting.
    pub(crate) fn carry(&mut self, round: Round, headers: Vec<ShardHeader>) {
        for header in &headers {
            let Some(shard) = self.shards.get_mut(header.shard.index()) else { continue };
            shard.batches.retain(|batch| !header.batches.contains(batch));
            shard.known.extend(header.batches.iter().map(|batch| batch.id));
            for attestation in &header.attestations {
                shard.attestations.remove(&attestation.block);
            }
            shard.attesting.extend(header.attestations.iter().map(|attestation| attestation.block));
            for (held, carried) in shard.past.held.iter_mut().zip(&header.held) {
                *held = (*held).max(*carried);
            }
        }
        if !headers.is_empty() {
            self.outstanding.insert(round, headers);
        }
    }

    /// A commit ordered the own vertex of `round`.
    pub(crate) fn ordered(&mut self, round: Round) {
        for header in self.outstanding.remove(&round).unwrap_or_default() {
            let Some(shard) = self.shards.get_mut(header.shard.index()) else { continue };
            for batch in &header.batches {
                shard.known.remove(&batch.id);
            }
            for attestation in &header.attestations {
                shard.attesting.remove(&attestation.block);
                shard.past.attested.insert(attestation.block);
            }
            while shard.past.attested.len() > ORDERED_ATTESTATIONS {
                shard.past.attested.pop_first();
            }
        }
    }

    /// Notes which own batches took effect; void ones did not, and may be offered again.
    pub(crate) fn took_effect(&mut self, orders: &[Order]) {
        for (shard, order) in self.shards.iter_mut().zip(orders) {
            for event in &order.events {
                if let OrderEvent::Batch(ordered) = event
                    && ordered.author == self.me
                {
                    shard.past.effective.insert(ordered.batch.id);
                }
            }
        }
    }

    /// Takes back what unordered own vertices at or below the floor carried; how many batches.
    pub(crate) fn take_back(&mut self, floor: Round) -> u64 {
        let kept = self.outstanding.split_off(&floor.next());
        let lost = std::mem::replace(&mut self.outstanding, kept);
        let mut returned = 0;
        for header in lost.into_values().rev().flatten() {
            let Some(shard) = self.shards.get_mut(header.shard.index()) else { continue };
            for batch in header.batches.into_iter().rev() {
                if shard.past.effective.contains(&batch.id) {
                    shard.known.remove(&batch.id);
                } else {
                    shard.batches.push_front(batch);
                    returned += 1;
                }
            }
            for attestation in header.attestations {
                shard.attesting.remove(&attestation.block);
                shard.attestations.insert(attestation.block, attestation);
            }
            shard.held_is_news = true;
        }
        returned
    }
}

impl Shard {
    fn take_batches(&mut self, parameters: &Parameters) -> Vec<BatchRef> {
        let (mut taken, mut bytes) = (vec![], 0);
        while let Some(batch) = self.batches.front() {
            bytes += u64::from(batch.bytes);
            if taken.len() as u64 >= parameters.header_batches_max || bytes > parameters.header_bytes_max {
                break;
            }
            taken.extend(self.batches.pop_front());
        }
        taken
    }

    fn take_attestations(&mut self) -> Vec<Attestation> {
        let mut taken = vec![];
        while taken.len() < ATTESTATIONS_PER_HEADER_MAX
            && let Some((_, attestation)) = self.attestations.pop_first()
        {
            taken.push(attestation);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use fresnel_types::{CommitIndex, OrderedBatch, ShardId, Timestamp};

    use super::*;

    fn batch(n: u32) -> BatchRef {
        BatchRef { id: BatchId::of(&n.to_le_bytes()), count: 1, bytes: 400_000 }
    }

    fn offer(batches: &[u32]) -> Offer {
        Offer { batches: batches.iter().map(|&n| batch(n)).collect(), ..Offer::default() }
    }

    fn named(headers: &[ShardHeader]) -> Vec<BatchRef> {
        headers.iter().flat_map(|header| header.batches.clone()).collect()
    }

    fn pending() -> (Pending, Shards, Parameters) {
        let shards = Shards::new(1).expect("one");
        (Pending::new(AuthorityIndex(0), shards), shards, Parameters::default())
    }

    #[test]
    fn what_falls_below_the_floor_goes_first_into_the_next_vertex() {
        let (mut pending, shards, parameters) = pending();
        pending.offer(offer(&[1, 2]));
        assert_eq!(named(&pending.headers(Round(1), shards, &parameters)), [batch(1), batch(2)]);
        pending.offer(offer(&[1, 2, 3]));
        assert_eq!(named(&pending.headers(Round(2), shards, &parameters)), [batch(3)]);
        pending.offer(offer(&[4]));
        pending.ordered(Round(2));
        assert_eq!(pending.take_back(Round(2)), 2);
        let again = pending.headers(Round(3), shards, &parameters);
        assert_eq!(named(&again), [batch(1), batch(2), batch(4)]);
        assert_eq!(pending.take_back(Round(2)), 0);
    }

    #[test]
    fn what_a_later_vertex_of_the_log_carries_does_not_wait_for_another() {
        let (mut pending, shards, parameters) = pending();
        pending.offer(offer(&[1, 2]));
        let first = pending.headers(Round(1), shards, &parameters);
        pending.take_back(Round(1));
        let second = pending.headers(Round(2), shards, &parameters);

        let mut restarted = Pending::new(AuthorityIndex(0), shards);
        restarted.carry(Round(1), first);
        restarted.take_back(Round(1));
        restarted.carry(Round(2), second);
        assert!(!restarted.has_unproposed());
    }

    #[test]
    fn effective_batches_are_not_offered_twice_and_void_ones_may_be() {
        let (mut pending, shards, parameters) = pending();
        pending.offer(offer(&[1, 2]));
        pending.headers(Round(1), shards, &parameters);
        pending.ordered(Round(1));
        pending.took_effect(&[Order {
            shard: ShardId(0),
            commit: CommitIndex(1),
            time: Timestamp(0),
            floor: Round(0),
            events: vec![
                OrderEvent::Batch(OrderedBatch { author: AuthorityIndex(0), batch: batch(1) }),
                OrderEvent::Void(batch(2).id),
            ],
            certified: vec![],
            lag: 0,
        }]);
        pending.offer(offer(&[1, 2]));
        assert_eq!(named(&pending.headers(Round(2), shards, &parameters)), [batch(2)]);
    }

    #[test]
    fn headers_keep_within_the_bounds_of_the_genesis() {
        let (mut pending, shards, parameters) = pending();
        pending.offer(offer(&(0..30).collect::<Vec<_>>()));
        let first = pending.headers(Round(1), shards, &parameters);
        assert_eq!(first[0].batches.len(), 10, "4 MiB of 400 kB");
        assert!(pending.has_unproposed());
    }

    #[test]
    fn held_alone_is_told_once_and_never_falls() {
        let (mut pending, shards, parameters) = pending();
        assert!(pending.headers(Round(1), shards, &parameters).is_empty());
        pending.offer(Offer { held: vec![BlockIndex(5)], ..Offer::default() });
        assert_eq!(pending.headers(Round(2), shards, &parameters)[0].held, [BlockIndex(5)]);
        pending.offer(Offer { held: vec![BlockIndex(4)], ..Offer::default() });
        assert!(pending.headers(Round(3), shards, &parameters).is_empty());
        pending.take_back(Round(2));
        assert_eq!(pending.headers(Round(4), shards, &parameters)[0].held, [BlockIndex(5)]);
    }
}
