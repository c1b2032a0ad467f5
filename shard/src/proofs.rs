//! Proofs for clients: of what the state holds, how transactions ended, which receipts left and which were consumed.
//!
//! A claim is made at once, from the newest state or from what is remembered of a block, and handed out when its record is
//! certified, tied to the last record that a quorum attested. Whose word that is, the beacon knows: it remembers the
//! attestations, and whoever asked puts the two together.
//!
//! A question about what is on its way and has not happened yet waits for it, so that whoever submits a transaction may ask
//! at once for the proof of its end.

use std::collections::VecDeque;

use fresnel_types::{
    BlockIndex, Bundle, ClientId, Effect, Message, Outcome, Party, Proof, Record, Sequence, ShardId,
    Timestamp, TransactionId, merkle,
    proof::{Applied, Claim, Wanted, results_leaves},
    receipt::slice_leaf,
    status::{Answer, Unproven},
};

use crate::{
    chain::Chain,
    limits::{EARLY_MAX, EARLY_MICROS, PROOFS_WAITING_MAX, RESULTS_RETAINED},
};

/// Claims that wait for their record to be certified, and what claims about past blocks are made of.
#[derive(Debug, Default)]
pub(crate) struct Proofs {
    /// Questions about what has not happened yet, oldest first.
    early: VecDeque<Early>,
    /// Oldest first.
    waiting: VecDeque<Waiting>,
    /// Ascending by block.
    results: VecDeque<Results>,
    /// All outcomes and consumed receipts in `results`.
    results_count: usize,
}

/// A question about what has not happened yet.
#[derive(Debug)]
pub(crate) struct Early {
    pub(crate) client: ClientId,
    pub(crate) request: u64,
    pub(crate) wanted: Wanted,
    /// When it is given up.
    pub(crate) until: Timestamp,
}

impl Early {
    pub(crate) fn new(now: Timestamp, client: ClientId, request: u64, wanted: Wanted) -> Self {
        Self { client, request, wanted, until: now.plus(EARLY_MICROS) }
    }
}

#[derive(Debug)]
struct Waiting {
    client: ClientId,
    request: u64,
    proof: Box<Proof>,
}

/// How everything in a block ended, in order.
#[derive(Debug)]
struct Results {
    block: BlockIndex,
    outcomes: Vec<(TransactionId, Outcome)>,
    applied: Vec<Applied>,
}

impl Results {
    fn count(&self) -> usize {
        self.outcomes.len() + self.applied.len()
    }
}

impl Proofs {
    /// A block was executed.
    pub(crate) fn executed(
        &mut self,
        block: BlockIndex,
        outcomes: Vec<(TransactionId, Outcome)>,
        applied: Vec<Applied>,
    ) {
        let results = Results { block, outcomes, applied };
        self.results_count += results.count();
        self.results.push_back(results);
        while self.results_count > RESULTS_RETAINED
            && let Some(oldest) = self.results.pop_front()
        {
            self.results_count -= oldest.count();
        }
    }

    /// How a transaction ended in a block, if that is remembered.
    pub(crate) fn outcome(&self, block: BlockIndex, transaction: &TransactionId) -> Option<Claim> {
        let place = self.results.binary_search_by_key(&block, |results| results.block).ok()?;
        let Results { outcomes, applied, .. } = &self.results[place];
        // A later naming of the same transaction in the block is void; the first is how it ended.
        let place = outcomes.iter().position(|(other, _)| other == transaction)?;
        let path = merkle::path(&results_leaves(outcomes, applied), place);
        Some(Claim::Outcome { transaction: *transaction, outcome: outcomes[place].1, path })
    }

    /// In which block a receipt was consumed and what came of it, if that is remembered.
    pub(crate) fn applied(&self, source: ShardId, sequence: Sequence) -> Option<(BlockIndex, Claim)> {
        let consumed = |applied: &&Applied| (applied.source, applied.sequence) == (source, sequence);
        self.results.iter().rev().find_map(|Results { block, outcomes, applied }| {
            let place = applied.iter().position(|applied| consumed(&applied))?;
            let path = merkle::path(&results_leaves(outcomes, applied), outcomes.len() + place);
            Some((*block, Claim::Applied { applied: applied[place], path }))
        })
    }

    /// `client` asked with number `request` for a proof of `claim` about `record`. The answer comes now or later.
    pub(crate) fn ask(
        &mut self,
        client: ClientId,
        request: u64,
        claim: Result<(Record, Claim), Unproven>,
        chain: &Chain,
        effects: &mut Vec<Effect>,
    ) {
        let refused = match claim {
            Err(reason) => reason,
            Ok((record, _)) if chain.diverged().is_some() && record.block > chain.confirmed() => {
                Unproven::Diverged
            }
            Ok(_) if self.waiting.len() == PROOFS_WAITING_MAX => Unproven::Busy,
            Ok((record, claim)) => {
                let proof = Box::new(Proof { claim, record, later: None, attested: Vec::new() });
                let place =
                    self.waiting.partition_point(|other| other.proof.record.block <= proof.record.block);
                self.waiting.insert(place, Waiting { client, request, proof });
                return self.release(chain, effects);
            }
        };
        answer(client, request, Answer::Unproven(refused), effects);
    }

    /// Keeps a question until what it is about has happened; when there are too many, the oldest is given up.
    pub(crate) fn keep(&mut self, early: Early, effects: &mut Vec<Effect>) {
        if self.early.len() == EARLY_MAX
            && let Some(Early { client, request, .. }) = self.early.pop_front()
        {
            answer(client, request, Answer::Unproven(Unproven::Busy), effects);
        }
        self.early.push_back(early);
    }

    /// All questions that were kept, to be asked again, but for those that have waited for too long.
    pub(crate) fn take_early(&mut self, now: Timestamp, effects: &mut Vec<Effect>) -> VecDeque<Early> {
        let mut early = std::mem::take(&mut self.early);
        early.retain(|Early { client, request, until, .. }| {
            if *until <= now {
                answer(*client, *request, Answer::Unproven(Unproven::Busy), effects);
            }
            *until > now
        });
        early
    }

    /// The client is gone.
    pub(crate) fn forget_client(&mut self, client: ClientId) {
        self.early.retain(|early| early.client != client);
        self.waiting.retain(|waiting| waiting.client != client);
    }

    /// Hands out what became certified, and gives up what never will be.
    pub(crate) fn release(&mut self, chain: &Chain, effects: &mut Vec<Effect>) {
        while let Some(first) = self.waiting.front() {
            let certified = chain.confirmed() >= first.proof.record.block;
            if !certified && chain.diverged().is_none() {
                return;
            }
            let Some(Waiting { client, request, mut proof }) = self.waiting.pop_front() else { return };
            let result = match chain.later(&proof.record) {
                _ if !certified => Answer::Unproven(Unproven::Diverged),
                Ok(later) => {
                    proof.later = later;
                    Answer::Proof(proof)
                }
                Err(_) => Answer::Unproven(Unproven::Busy),
            };
            answer(client, request, result, effects);
        }
    }
}

/// The receipt of a transaction in a bundle of the own shard, if it is there.
pub(crate) fn emitted(bundle: &Bundle, transaction: &TransactionId) -> Option<Claim> {
    let Bundle { destination, receipts, path: slice, .. } = bundle;
    let place = receipts.iter().position(|receipt| receipt.transaction == *transaction)?;
    let path = merkle::path(&merkle::leaves(receipts), place);
    debug_assert_eq!(slice.root(slice_leaf(*destination, receipts)), Some(bundle.record.outbox));
    let (destination, slice) = (*destination, slice.clone());
    Some(Claim::Emitted { destination, receipt: receipts[place], path, slice })
}

fn answer(client: ClientId, request: u64, answer: Answer, effects: &mut Vec<Effect>) {
    let message = Message::Answer { request, answer };
    effects.push(Effect::Send { to: vec![Party::Client(client)], message });
}

#[cfg(test)]
mod tests;
