//! The order as it arrives, cut into blocks: which batches the open block has, and which closed blocks wait to be
//! executed.

use std::collections::VecDeque;

use fresnel_types::{Close, CommitIndex, Order, OrderEvent, OrderedBatch};
use wincode::{SchemaRead, SchemaWrite};

/// A closed block of this shard.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub(crate) struct Block {
    /// Its end.
    pub(crate) close: Close,
    /// Its batches in order.
    pub(crate) batches: Vec<OrderedBatch>,
}

/// Blocks under construction and in waiting. The beacon bounds both: a block by bytes and commits, the waiting ones by
/// the void rule for those with batches; those without execute in no time.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    last: CommitIndex,
    open: Vec<OrderedBatch>,
    closed: VecDeque<Block>,
}

impl Blocks {
    /// As they were: the last commit taken, the batches of the open block, the closed ones.
    pub(crate) fn restore(last: CommitIndex, open: Vec<OrderedBatch>, closed: VecDeque<Block>) -> Self {
        Self { last, open, closed }
    }

    /// Passes over an order: its blocks are executed elsewhere, or later.
    pub(crate) fn pass_over(&mut self, commit: CommitIndex) {
        self.last = commit;
    }

    /// The batches of the block that is not closed.
    pub(crate) fn open(&self) -> &[OrderedBatch] {
        &self.open
    }

    /// The closed blocks in waiting, the next one first.
    pub(crate) fn closed(&self) -> impl Iterator<Item = &Block> {
        self.closed.iter()
    }

    /// The batches of all of them, in order.
    pub(crate) fn batches(&self) -> impl Iterator<Item = &OrderedBatch> {
        self.closed.iter().flat_map(|block| &block.batches).chain(&self.open)
    }

    /// The last commit taken.
    pub(crate) fn last(&self) -> CommitIndex {
        self.last
    }

    /// Takes the next order; false, and nothing done, when it is not the next.
    pub(crate) fn take(&mut self, order: &Order) -> bool {
        if order.commit != self.last.next() {
            return false;
        }
        self.last = order.commit;
        for event in &order.events {
            match event {
                OrderEvent::Batch(batch) => self.open.push(*batch),
                OrderEvent::Void(_) => {}
                OrderEvent::Close(close) => {
                    let batches = std::mem::take(&mut self.open);
                    self.closed.push_back(Block { close: close.clone(), batches });
                }
            }
        }
        true
    }

    /// Closed blocks in waiting.
    pub(crate) fn waiting(&self) -> usize {
        self.closed.len()
    }

    /// The next block to execute.
    pub(crate) fn front(&self) -> Option<&Block> {
        self.closed.front()
    }

    /// The block in front is done.
    pub(crate) fn pop(&mut self) -> Option<Block> {
        self.closed.pop_front()
    }

    /// Whether anything of this shard waits for the order to go on or to be executed.
    pub(crate) fn has_input(&self) -> bool {
        !self.open.is_empty() || self.closed.iter().any(|block| !block.batches.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use fresnel_types::{
        AuthorityIndex, BatchId, BatchRef, BlockIndex, LogDigest, Round, ShardId, Timestamp,
    };

    use super::*;

    fn order(commit: u64, events: Vec<OrderEvent>) -> Order {
        Order {
            shard: ShardId(0),
            commit: CommitIndex(commit),
            time: Timestamp(commit),
            floor: Round(0),
            events,
            certified: vec![],
            lag: 0,
        }
    }

    fn batch(id: u8) -> OrderEvent {
        let batch = BatchRef { id: BatchId([id; 32]), count: 1, bytes: 1 };
        OrderEvent::Batch(OrderedBatch { author: AuthorityIndex(0), batch })
    }

    fn close(block: u64) -> OrderEvent {
        OrderEvent::Close(Close {
            block: BlockIndex(block),
            time: Timestamp(0),
            opened: Timestamp(0),
            log: LogDigest([0; 32]),
            certified: vec![],
            usable: vec![],
        })
    }

    #[test]
    fn blocks_span_commits_and_several_fit_one() {
        let mut blocks = Blocks::default();
        assert!(blocks.take(&order(1, vec![batch(1)])));
        assert!(blocks.front().is_none() && blocks.has_input());
        assert!(!blocks.take(&order(3, vec![batch(9)])), "a gap");
        assert!(!blocks.take(&order(1, vec![batch(9)])), "a repetition");
        assert!(
            blocks.take(&order(2, vec![batch(2), close(1), OrderEvent::Void(BatchId([7; 32])), close(2)]))
        );
        let first = blocks.pop().expect("closed");
        assert_eq!(first.batches.iter().map(|b| b.batch.id.0[0]).collect::<Vec<_>>(), vec![1, 2]);
        assert_eq!(blocks.pop().expect("closed").batches, vec![]);
        assert!(blocks.pop().is_none() && !blocks.has_input());
    }
}
