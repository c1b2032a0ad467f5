//! Names batches with false sizes, batches of others, old ones again, and some that do not exist.

use std::collections::VecDeque;

use fresnel_types::{Batch, BatchId, BatchRef, Message, Party, limits::BATCH_BYTES_MAX};

use super::{Adversary, Content, Said, Wire};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct FalseNamer {
    /// Batches heard of, of any authority, with their shards' workers.
    known: VecDeque<(Party, BatchRef)>,
}

impl FalseNamer {
    fn remember(&mut self, worker: Party, batch: BatchRef) {
        self.known.push_back((worker, batch));
        if self.known.len() > REMEMBERED {
            self.known.pop_front();
        }
    }
}

impl Adversary for FalseNamer {
    fn says(&mut self, wire: &mut Wire<'_>, mut said: Said) {
        if let Content::Message(Message::Offer(offer)) = &mut said.content {
            for batch in &mut offer.batches {
                self.remember(said.from, *batch);
                if wire.random.chance(300) {
                    wire.did("false sizes");
                    batch.count = wire.random.below(1_000) as u32;
                    batch.bytes = wire.random.below(BATCH_BYTES_MAX as u64) as u32;
                }
            }
            let old = self.known.iter().filter(|(worker, _)| *worker == said.from);
            let old: Vec<BatchRef> = old.map(|(_, batch)| *batch).collect();
            if !old.is_empty() && wire.random.chance(300) {
                wire.did("stolen and repeated batches");
                offer.batches.push(wire.random.pick(&old));
            }
            if wire.random.chance(50) {
                for _ in 0..wire.random.between(1, wire.rules.parameters.header_batches_max) {
                    wire.did("batches that do not exist");
                    let id = BatchId(wire.random.bytes());
                    offer.batches.push(BatchRef { id, count: 1, bytes: 1_000 });
                }
            }
        }
        wire.pass(said);
    }

    fn hears(&mut self, _wire: &mut Wire<'_>, to: Party, _from: Party, message: &Message) {
        if let Message::Batch(bytes) = message
            && let Ok(batch) = fresnel_types::decode::<Batch>(bytes)
        {
            self.remember(to, batch.seal().1);
        }
    }
}

const REMEMBERED: usize = 256;
