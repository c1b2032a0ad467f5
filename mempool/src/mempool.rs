//! The sub-machine.

use fresnel_types::{
    Address, AuthorityIndex, BatchId, BatchRef, ClientId, Effect, Message, Order, Party, RejectionCode,
    SignedTransaction, Timestamp, Verified, leaves::Account,
};

use crate::Config;

/// What became of a submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// One per transaction, in order; `None` is admitted.
    pub results: Vec<Option<RejectionCode>>,
    /// When some were refused for overload: microseconds after which trying again makes sense; otherwise 0.
    pub retry_after: u64,
}

/// What happened since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Transactions admitted.
    pub admitted: u64,
    /// Transactions refused.
    pub rejected: u64,
    /// Own batches sealed.
    pub sealed: u64,
    /// Batches of others stored.
    pub stored: u64,
    /// Batches of others not taken.
    pub refused: u64,
    /// Times a batch was sent again.
    pub resent: u64,
    /// Requests for missing batches.
    pub requested: u64,
}

/// The batches of a worker.
#[derive(Debug)]
pub struct Mempool {
    config: Config,
}

impl Mempool {
    /// An empty one.
    pub fn new(config: Config) -> Self {
        Self { config }
    }
    /// Takes a batch from the log. Entries come in the log's order, orders in between through [`Self::order`].
    pub fn recover_batch(&mut self, _bytes: Vec<u8>) {}
    /// A client's transactions.
    pub fn submit(
        &mut self,
        _now: Timestamp,
        _client: ClientId,
        _transactions: Vec<Result<Verified<SignedTransaction>, RejectionCode>>,
        _commit_time: Timestamp,
        _account: &dyn Fn(&Address) -> Option<Account>,
        _effects: &mut Vec<Effect>,
    ) -> Submission {
        Submission { results: vec![], retry_after: 0 }
    }
    /// `Batch`, `BatchStored`, `BatchRequest` of peers; `Require`, `Proposing` of the own beacon. Others are ignored.
    pub fn handle(&mut self, _now: Timestamp, _from: Party, _message: Message, _effects: &mut Vec<Effect>) {}
    /// Takes what an order says about batches; fetches ordered ones that are not here.
    pub fn order(&mut self, _now: Timestamp, _order: &Order, _effects: &mut Vec<Effect>) {}
    /// The batch was executed: from now on it is kept for peers only.
    pub fn executed(&mut self, _batch: &BatchId) {}
    /// The bytes of a batch, if they are here.
    pub fn batch(&self, _id: &BatchId) -> Option<&[u8]> {
        None
    }
    /// Fetches an ordered batch that is not here; idempotent.
    pub fn want(&mut self, _now: Timestamp, _author: AuthorityIndex, _batch: BatchRef, _effects: &mut Vec<Effect>) {}
    /// Own batches newly acknowledged by a quorum, in seal order.
    pub fn take_offers(&mut self) -> Vec<BatchRef> {
        vec![]
    }
    /// Own batches taken as offers and not effectively ordered.
    pub fn outstanding(&self) -> Vec<BatchRef> {
        vec![]
    }
    /// A link was established (again).
    pub fn connected(&mut self, _now: Timestamp, _party: Party, _effects: &mut Vec<Effect>) {}
    /// Does what is due.
    pub fn tick(&mut self, _now: Timestamp, _effects: &mut Vec<Effect>) {}
    /// When [`Self::tick`] must be called.
    pub fn deadline(&self) -> Option<Timestamp> {
        None
    }
    /// Transactions admitted here and not ordered.
    pub fn pending(&self) -> u64 {
        self.config.batching.pending_max as u64
    }
    /// What happened since the start.
    pub fn counters(&self) -> Counters {
        Counters::default()
    }
}
