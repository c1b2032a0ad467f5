//! Which batches the own workers said they hold durably: what a vote promises besides the vertex itself.
//!
//! A worker drops a batch that nobody named once the floor passes the round it knew when the batch came. So what it said
//! is believed until then and no longer: else an author could spread a batch, wait until all dropped it, and have it
//! ordered with nobody but itself to give it (A5).

use std::collections::{BTreeMap, BTreeSet};

use fresnel_types::{BatchId, BatchRef, Round, ShardId, Shards, SignedVertex};

use crate::limits::BATCH_IDS_STORED;

/// Batches stored at home, per shard. What it forgets is asked for again and answered at once.
#[derive(Debug)]
pub(crate) struct Availability {
    shards: Vec<Stored>,
}

#[derive(Debug, Default)]
struct Stored {
    /// Each with the floor up to which the worker keeps it at least.
    until: BTreeMap<BatchId, Round>,
    by_round: BTreeSet<(Round, BatchId)>,
}

impl Availability {
    pub(crate) fn new(shards: Shards) -> Self {
        Self { shards: shards.iter().map(|_| Stored::default()).collect() }
    }

    /// The own worker of `shard` holds these, at least until the floor passes `until`. They are believed until the next
    /// [`Availability::prune`] in any case, so that a worker far behind in the order can still answer.
    pub(crate) fn stored(&mut self, shard: ShardId, ids: impl IntoIterator<Item = BatchId>, until: Round) {
        let Some(stored) = self.shards.get_mut(shard.index()) else { return };
        for id in ids {
            if let Some(earlier) = stored.until.insert(id, until) {
                stored.by_round.remove(&(earlier, id));
            }
            stored.by_round.insert((until, id));
            if stored.until.len() > BATCH_IDS_STORED
                && let Some((_, oldest)) = stored.by_round.pop_first()
            {
                stored.until.remove(&oldest);
            }
        }
    }

    /// Forgets what the workers may have dropped at this floor.
    pub(crate) fn prune(&mut self, floor: Round) {
        for stored in &mut self.shards {
            while let Some((until, id)) = stored.by_round.first().copied()
                && until < floor
            {
                stored.by_round.pop_first();
                stored.until.remove(&id);
            }
        }
    }

    /// Whether the own worker of `shard` holds it.
    pub(crate) fn is_stored(&self, shard: ShardId, id: &BatchId) -> bool {
        self.shards.get(shard.index()).is_some_and(|stored| stored.until.contains_key(id))
    }

    /// What the vertex names and no own worker holds yet, by shard.
    pub(crate) fn missing(&self, vertex: &SignedVertex) -> Vec<(ShardId, Vec<BatchRef>)> {
        let headers = vertex.vertex.headers.iter();
        headers
            .map(|header| {
                let missing = header.batches.iter().filter(|batch| !self.is_stored(header.shard, &batch.id));
                (header.shard, missing.copied().collect::<Vec<_>>())
            })
            .filter(|(_, missing)| !missing.is_empty())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_worker_may_have_dropped_is_not_believed_and_the_number_is_bounded() {
        let id = |n: usize| BatchId::of(&n.to_le_bytes());
        let mut availability = Availability::new(Shards::new(1).expect("one"));
        let shard = ShardId(0);
        availability.stored(shard, [id(1), id(2)], Round(5));
        availability.stored(shard, [id(2)], Round(9));
        availability.prune(Round(5));
        assert!(availability.is_stored(shard, &id(1)));
        availability.prune(Round(6));
        assert!(!availability.is_stored(shard, &id(1)));
        assert!(availability.is_stored(shard, &id(2)), "it was said again later");
        availability.stored(shard, (0..2 * BATCH_IDS_STORED).map(id), Round(20));
        assert_eq!(availability.shards[0].until.len(), BATCH_IDS_STORED);
        assert_eq!(availability.shards[0].by_round.len(), BATCH_IDS_STORED);
    }
}
