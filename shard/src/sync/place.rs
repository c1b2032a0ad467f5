//! The point of the order behind which a state goes on.
//!
//! A state is that after a record, and the record says which order led to it: so the close of its block is found in the
//! order itself. A shard at rest has no new records, and the order that is still to be had begins after the close of its
//! last one. Then the state is also that after any later block, as long as none between had input: no batch of the shard was
//! ordered since, which the order says as long as the record is the last certified one and nothing waits to be; and no
//! receipt could be delivered, which the worker sees from its inboxes once they are there.

use std::collections::VecDeque;

use fresnel_types::{Close, CommitIndex, Order, OrderEvent, Record, commit::Certified};

/// A point of the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    commit: CommitIndex,
    /// The block that ends there.
    pub(crate) close: Close,
    /// Whether the state is that of an earlier block.
    pub(crate) rested: bool,
}

impl Place {
    /// Behind which the state of `record`, whose digest is in `certified`, goes on; none if these orders do not show it.
    pub(crate) fn find(orders: &VecDeque<Order>, record: &Record, certified: Certified) -> Option<Self> {
        let of_block = |close: &&Close| close.block == record.block && close.log == record.log;
        let found = orders.iter().find_map(|order| {
            let close = closes(order).find(of_block)?.clone();
            Some(Self { commit: order.commit, close, rested: false })
        });
        found.or_else(|| {
            let rests = |order: &&Order| {
                order.certified.get(record.shard.index()) == Some(&certified) && order.lag == 0
            };
            orders.iter().rev().filter(rests).find_map(|order| {
                let close = closes(order).filter(|close| close.block > record.block).last()?.clone();
                Some(Self { commit: order.commit, close, rested: true })
            })
        })
    }

    /// Lets go of the order up to here.
    pub(crate) fn cut(&self, orders: &mut VecDeque<Order>) {
        orders.retain(|order| order.commit >= self.commit);
        let Some(first) = orders.front_mut() else { return };
        let is_here =
            |event: &OrderEvent| matches!(event, OrderEvent::Close(close) if close.block == self.close.block);
        if let Some(place) = first.events.iter().position(is_here) {
            first.events.drain(..=place);
        }
    }
}

fn closes(order: &Order) -> impl Iterator<Item = &Close> {
    order.events.iter().filter_map(|event| match event {
        OrderEvent::Close(close) => Some(close),
        OrderEvent::Batch(_) | OrderEvent::Void(_) => None,
    })
}
