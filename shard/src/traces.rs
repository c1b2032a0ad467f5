//! The way of sampled transactions: when each took which step here. Bounded, and for people alone: nothing depends on it.
//!
//! Of a batch it is remembered when it was stored, offered and ordered, and a transaction gets these instants when its block
//! is executed, since only then everybody looks at the ids in it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use fresnel_types::{
    BatchId, BlockIndex, Effect, LogEntry, Message, OrderEvent, Outcome, Receipt, ShardId, Timestamp,
    TransactionId,
    status::{Level, Progress},
    trace::{Step, Trace, is_sampled},
};

use crate::limits::{BATCHES_TRACED_MAX, TRACES_MAX};

/// What is known of sampled transactions.
#[derive(Debug, Default)]
pub(crate) struct Traces {
    traces: BTreeMap<TransactionId, Trace>,
    /// Oldest first.
    order: VecDeque<TransactionId>,
    batches: BTreeMap<BatchId, Vec<(Step, Timestamp)>>,
    /// Oldest first.
    batch_order: VecDeque<BatchId>,
    /// Executed here in a block that is not certified.
    executed: VecDeque<(BlockIndex, TransactionId, Step)>,
    /// Final in the own shard and not settled.
    unsettled: BTreeSet<TransactionId>,
}

impl Traces {
    /// A client's transaction was admitted.
    pub(crate) fn admitted(&mut self, now: Timestamp, transaction: TransactionId) {
        if is_sampled(&transaction) {
            self.step(now, transaction, Step::Admitted);
        }
    }

    /// What the worker keeps and says: batches stored and offered, orders taken.
    pub(crate) fn observe(&mut self, now: Timestamp, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::Send { message: Message::Stored(batches), .. } => {
                    batches.iter().for_each(|batch| self.batch(now, batch.id, Step::Stored));
                }
                Effect::Send { message: Message::Offer(offer), .. } => {
                    offer.batches.iter().for_each(|batch| self.batch(now, batch.id, Step::Offered));
                }
                Effect::Persist(LogEntry::Order(order)) => {
                    for event in &order.events {
                        if let OrderEvent::Batch(ordered) = event {
                            self.batch(now, ordered.batch.id, Step::Ordered);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// A block was executed: its batches with their numbers of transactions, these in the same order, and the receipts
    /// that it consumed.
    pub(crate) fn executed(
        &mut self,
        now: Timestamp,
        block: BlockIndex,
        batches: impl Iterator<Item = (BatchId, u32)>,
        outcomes: &[(TransactionId, Outcome)],
        receipts: &[(ShardId, Receipt)],
    ) {
        let mut rest = outcomes;
        for (batch, count) in batches {
            let (own, others) = rest.split_at((count as usize).min(rest.len()));
            rest = others;
            let steps = self.batches.remove(&batch).unwrap_or_default();
            for (transaction, _) in own.iter().filter(|(transaction, _)| is_sampled(transaction)) {
                for &(step, at) in &steps {
                    self.step(at, *transaction, step);
                }
                self.step(now, *transaction, Step::Executed);
                self.end(*transaction, block, Step::Final);
            }
        }
        for (_, receipt) in receipts.iter().filter(|(_, receipt)| is_sampled(&receipt.transaction)) {
            self.step(now, receipt.transaction, Step::Applied);
            self.end(receipt.transaction, block, Step::AppliedFinal);
        }
    }

    /// Own records up to `block` are the certified ones. `progress` says how far transactions are.
    pub(crate) fn certified(
        &mut self,
        now: Timestamp,
        block: BlockIndex,
        progress: &dyn Fn(&TransactionId) -> Option<Progress>,
    ) {
        while let Some(&(executed, transaction, step)) = self.executed.front()
            && executed <= block
        {
            self.executed.pop_front();
            self.step(now, transaction, step);
            if step == Step::Final {
                self.unsettled.insert(transaction);
            }
        }
        let settled = |transaction: &TransactionId| {
            progress(transaction).is_none_or(|progress| progress.level == Level::Settled)
        };
        let ended: Vec<TransactionId> = self.unsettled.iter().filter(|id| settled(id)).copied().collect();
        for transaction in ended {
            self.unsettled.remove(&transaction);
            self.step(now, transaction, Step::Settled);
        }
    }

    /// What is known of one.
    pub(crate) fn get(&self, transaction: &TransactionId) -> Option<&Trace> {
        self.traces.get(transaction)
    }

    /// The ids of those known, the newest first.
    pub(crate) fn newest(&self) -> Vec<TransactionId> {
        self.order.iter().rev().copied().collect()
    }

    fn step(&mut self, at: Timestamp, transaction: TransactionId, step: Step) {
        let trace = self.traces.entry(transaction).or_insert_with(|| {
            self.order.push_back(transaction);
            Trace { transaction, block: None, steps: Vec::new() }
        });
        if trace.steps.iter().all(|(taken, _)| *taken != step) {
            trace.steps.push((step, at));
        }
        while self.order.len() > TRACES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.traces.remove(&oldest);
            self.unsettled.remove(&oldest);
        }
    }

    fn end(&mut self, transaction: TransactionId, block: BlockIndex, step: Step) {
        if let Some(trace) = self.traces.get_mut(&transaction) {
            trace.block.get_or_insert(block);
            self.executed.push_back((block, transaction, step));
        }
    }

    fn batch(&mut self, now: Timestamp, batch: BatchId, step: Step) {
        let steps = self.batches.entry(batch).or_insert_with(|| {
            self.batch_order.push_back(batch);
            Vec::new()
        });
        if steps.iter().all(|(taken, _)| *taken != step) {
            steps.push((step, now));
        }
        while self.batch_order.len() > BATCHES_TRACED_MAX
            && let Some(oldest) = self.batch_order.pop_front()
        {
            self.batches.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use fresnel_types::{AuthorityIndex, BatchRef, Party, message::Offer};

    use super::*;

    fn id(number: u16) -> TransactionId {
        let mut id = [0; 32];
        id[..2].copy_from_slice(&number.to_be_bytes());
        TransactionId(id)
    }

    fn told(message: Message) -> [Effect; 1] {
        [Effect::Send { to: vec![Party::Beacon(AuthorityIndex(0))], message }]
    }

    #[test]
    fn a_sampled_transaction_gets_the_steps_of_its_batch_and_its_block() {
        let mut traces = Traces::default();
        let mut other = id(1);
        other.0[31] = 1;
        let batch = BatchRef { id: BatchId([7; 32]), count: 2, bytes: 9 };
        traces.admitted(Timestamp(1), id(1));
        traces.admitted(Timestamp(1), other);
        traces.observe(Timestamp(2), &told(Message::Stored(vec![batch])));
        traces
            .observe(Timestamp(3), &told(Message::Offer(Offer { batches: vec![batch], ..Offer::default() })));
        traces.observe(Timestamp(4), &told(Message::Stored(vec![batch])));
        let outcomes = [(other, Outcome::Success), (id(1), Outcome::Success)];
        let batches = [(batch.id, 2)];
        traces.executed(Timestamp(5), BlockIndex(8), batches.into_iter(), &outcomes, &[]);
        let level = |level| {
            move |id: &TransactionId| {
                let (transaction, outcome, block) = (*id, None, BlockIndex(8));
                Some(Progress { transaction, level, outcome, block, bounced: false })
            }
        };
        traces.certified(Timestamp(6), BlockIndex(7), &level(Level::Executed));
        traces.certified(Timestamp(7), BlockIndex(8), &level(Level::Final));
        traces.certified(Timestamp(9), BlockIndex(9), &level(Level::Settled));
        let trace = traces.get(&id(1)).expect("sampled");
        let expected = [
            (Step::Admitted, 1),
            (Step::Stored, 2),
            (Step::Offered, 3),
            (Step::Executed, 5),
            (Step::Final, 7),
            (Step::Settled, 9),
        ];
        assert_eq!(trace.steps, expected.map(|(step, at)| (step, Timestamp(at))));
        assert_eq!(
            (trace.block, traces.get(&other), traces.newest()),
            (Some(BlockIndex(8)), None, vec![id(1)])
        );
        assert!(traces.batches.is_empty() && traces.executed.is_empty() && traces.unsettled.is_empty());
    }

    #[test]
    fn memory_is_bounded() {
        let mut traces = Traces::default();
        for number in 0..TRACES_MAX as u16 + 10 {
            traces.admitted(Timestamp(1), id(number));
            let batch = BatchRef { id: BatchId(id(number).0), count: 1, bytes: 1 };
            traces.observe(Timestamp(2), &told(Message::Stored(vec![batch])));
        }
        assert_eq!((traces.traces.len(), traces.order.len()), (TRACES_MAX, TRACES_MAX));
        assert!(traces.batches.len() <= BATCHES_TRACED_MAX && traces.get(&id(0)).is_none());
    }
}
