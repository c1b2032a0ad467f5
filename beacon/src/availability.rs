//! Which batches the own workers said they hold durably: what a vote promises besides the vertex itself.
//!
//! A worker drops a batch that nobody named once the floor passes the round it knew when the batch came. So what it said
//! is believed until then and no longer: else an author could spread a batch, wait until all dropped it, and have it
//! ordered with nobody but itself to give it (A5).

use std::collections::{BTreeMap, BTreeSet};

use fresnel_types::{BatchRef, Round, ShardId, Shards, SignedVertex};

use crate::limits::BATCH_IDS_STORED;

/// Batches stored at home, per shard. What it forgets is asked for again and answered at once.
#[derive(Debug)]
pub(crate) struct Availability {
    shards: Vec<Stored>,
}

#[derive(Debug, Default)]
struct Stored {
    /// Each with the floor up to which the worker keeps it at least.
    until: BTreeMap<BatchRef, Round>,
    by_round: BTreeSet<(Round, BatchRef)>,
}

impl Availability {
    pub(crate) fn new(shards: Shards) -> Self {
        Self { shards: shards.iter().map(|_| Stored::default()).collect() }
    }

    /// The own worker of `shard` holds these, at least until the floor passes `until`. They are believed until the next
    /// [`Availability::prune`] in any case, so that a worker far behind in the order can still answer.
    pub(crate) fn stored(
        &mut self,
        shard: ShardId,
        batches: impl IntoIterator<Item = BatchRef>,
        until: Round,
    ) {
        let Some(stored) = self.shards.get_mut(shard.index()) else { return };
        for batch in batches {
            if let Some(earlier) = stored.until.insert(batch, until) {
                stored.by_round.remove(&(earlier, batch));
            }
            stored.by_round.insert((until, batch));
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
            while let Some((until, batch)) = stored.by_round.first().copied()
                && until < floor
            {
                stored.by_round.pop_first();
                stored.until.remove(&batch);
            }
        }
    }

    /// Whether the own worker of `shard` holds it, and it is what this name says: limits go by the count and the length
    /// in headers, so a false one must not pass.
    pub(crate) fn is_stored(&self, shard: ShardId, batch: &BatchRef) -> bool {
        self.shards.get(shard.index()).is_some_and(|stored| stored.until.contains_key(batch))
    }

    /// What the vertex names and no own worker holds yet, by shard.
    pub(crate) fn missing(&self, vertex: &SignedVertex) -> Vec<(ShardId, Vec<BatchRef>)> {
        let headers = vertex.vertex.headers.iter();
        headers
            .map(|header| {
                let missing = header.batches.iter().filter(|batch| !self.is_stored(header.shard, batch));
                (header.shard, missing.copied().collect::<Vec<_>>())
            })
            .filter(|(_, missing)| !missing.is_empty())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use fresnel_types::BatchId;

    use super::*;

    #[test]
    fn what_a_worker_may_have_dropped_is_not_believed_and_the_number_is_bounded() {
        let batch = |n: usize| BatchRef { id: BatchId::of(&n.to_le_bytes()), count: 1, bytes: 100 };
        let mut availability = Availability::new(Shards::new(1).expect("one"));
        let shard = ShardId(0);
        availability.stored(shard, [batch(1), batch(2)], Round(5));
        availability.stored(shard, [batch(2)], Round(9));
        availability.prune(Round(5));
        assert!(availability.is_stored(shard, &batch(1)));
        let false_name = BatchRef { count: 2, ..batch(1) };
        assert!(!availability.is_stored(shard, &false_name));
        availability.prune(Round(6));
        assert!(!availability.is_stored(shard, &batch(1)));
        assert!(availability.is_stored(shard, &batch(2)), "it was said again later");
        availability.stored(shard, (0..2 * BATCH_IDS_STORED).map(batch), Round(20));
        assert_eq!(availability.shards[0].until.len(), BATCH_IDS_STORED);
        assert_eq!(availability.shards[0].by_round.len(), BATCH_IDS_STORED);
    }
}
