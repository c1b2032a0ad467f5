//! Which batches the own workers said they hold durably: what a vote promises besides the vertex itself.

use fresnel_types::{BatchId, BatchRef, ShardId, Shards, SignedVertex};

use crate::generations::Generations;

/// Batches stored at home, per shard. What it forgets is asked for again and answered at once.
#[derive(Debug)]
pub(crate) struct Availability {
    shards: Vec<Generations>,
}

impl Availability {
    pub(crate) fn new(shards: Shards) -> Self {
        Self { shards: shards.iter().map(|_| Generations::default()).collect() }
    }

    /// The own worker of `shard` holds these.
    pub(crate) fn stored(&mut self, shard: ShardId, ids: impl IntoIterator<Item = BatchId>) {
        if let Some(stored) = self.shards.get_mut(shard.index()) {
            ids.into_iter().for_each(|id| stored.insert(id));
        }
    }

    /// Whether the own worker of `shard` holds it.
    pub(crate) fn is_stored(&self, shard: ShardId, id: &BatchId) -> bool {
        self.shards.get(shard.index()).is_some_and(|stored| stored.contains(id))
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
