//! What a mempool has in hand, for a checkpoint: every batch that is not executed, with what it is kept for, and how far
//! the order has come. The rest is not worth keeping: a restart forgets clients, acknowledgements and requests anyway.

use std::collections::BTreeSet;

use fresnel_types::{Batch, BatchId, Round, codec};
use wincode::{SchemaRead, SchemaWrite};

use super::name;
use crate::{Config, Mempool, store::State};

/// A piece of a mempool in hand; only [`Mempool::restore`] knows what it means.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct Piece(Part);

#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
enum Part {
    Progress { round: Round, floor: Round, lag: u64 },
    Batch { state: State, bytes: Vec<u8> },
}

impl Mempool {
    /// Whether all that [`Self::snapshot`] gives is in memory.
    pub fn is_whole(&self, waiting: &BTreeSet<BatchId>) -> bool {
        self.store.is_whole(waiting)
    }

    /// What is in hand; own batches come in seal order. What is `waiting` for its execution is among it even when it
    /// was executed before: an order may name a batch once more.
    pub fn snapshot(&self, waiting: &BTreeSet<BatchId>) -> impl Iterator<Item = Piece> {
        let progress = Part::Progress { round: self.round, floor: self.floor, lag: self.lag };
        let own = self.own.ids().map(|id| {
            let bytes = self.store.get(id).expect("own unordered batches are never dropped");
            Part::Batch { state: State::Own, bytes: bytes.to_vec() }
        });
        let others = self
            .store
            .iter()
            .map(|(id, state, bytes)| (if waiting.contains(id) { State::Ordered } else { state }, bytes))
            .filter(|(state, _)| !matches!(state, State::Own | State::Executed))
            .map(|(state, bytes)| Part::Batch { state, bytes: bytes.to_vec() });
        std::iter::once(progress).chain(own).chain(others).map(Piece)
    }

    /// A mempool with what an earlier one had in hand. What is ordered and not here must be asked for by
    /// [`Self::want`].
    ///
    /// # Errors
    /// What is wrong with the pieces.
    pub fn restore(config: Config, pieces: impl IntoIterator<Item = Piece>) -> Result<Self, &'static str> {
        let mut mempool = Self::new(config);
        for Piece(part) in pieces {
            match part {
                Part::Progress { round, floor, lag } => {
                    (mempool.round, mempool.floor, mempool.lag) = (round, floor, lag);
                }
                Part::Batch { state, bytes } => mempool.restore_batch(state, bytes)?,
            }
        }
        Ok(mempool)
    }

    fn restore_batch(&mut self, state: State, bytes: Vec<u8>) -> Result<(), &'static str> {
        let batch: Batch = codec::decode(&bytes).map_err(|_| "a batch in hand is malformed")?;
        let own = batch.author == self.config.authority;
        if batch.shard != self.config.shard
            || self.config.rules.committee.authority(batch.author).is_none()
            || state == State::Executed
            || state == State::Own && !own
        {
            return Err("a batch in hand is not what it is kept for");
        }
        let id = BatchId::of(&bytes);
        match state {
            State::Own => self.seal_again(id, bytes.len(), &batch),
            State::Ordered if own => {
                let ids = batch.transactions.iter().map(|signed| signed.transaction.id());
                ids.for_each(|id| self.admission.remember(id));
            }
            State::Ordered | State::Named(_) | State::Unnamed(_) | State::Executed => {}
        }
        self.store.insert(name(id, bytes.len(), &batch), batch.author, bytes, state);
        Ok(())
    }
}
