//! What a worker counts beyond what its parts count themselves: for operators alone, nothing depends on it.

use fresnel_types::{Effect, Message, Outcome, TransactionId, proof::Applied, status::WorkerCounts};

/// Counts since the start.
#[derive(Debug, Default)]
pub(crate) struct Tally(WorkerCounts);

impl Tally {
    /// What leaves: how full the own batches are when they are offered.
    pub(crate) fn observe(&mut self, effects: &[Effect]) {
        for effect in effects {
            if let Effect::Send { message: Message::Offer(offer), .. } = effect {
                self.0.batches_offered += offer.batches.len() as u64;
                self.0.batched += offer.batches.iter().map(|batch| u64::from(batch.count)).sum::<u64>();
                self.0.batch_bytes += offer.batches.iter().map(|batch| u64::from(batch.bytes)).sum::<u64>();
            }
        }
    }

    /// A block was executed.
    pub(crate) fn executed(&mut self, outcomes: &[(TransactionId, Outcome)], applied: &[Applied]) {
        let counts = &mut self.0;
        counts.blocks += 1;
        for (_, outcome) in outcomes {
            match counts.outcomes.iter_mut().find(|(known, _)| known == outcome) {
                Some((_, count)) => *count += 1,
                None => counts.outcomes.push((*outcome, 1)),
            }
        }
        let bounced = applied.iter().filter(|receipt| receipt.bounced.is_some()).count() as u64;
        counts.bounced += bounced;
        counts.applied += applied.len() as u64 - bounced;
    }

    /// All of it.
    pub(crate) fn counts(&self) -> WorkerCounts {
        self.0.clone()
    }
}
