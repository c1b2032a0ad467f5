//! The order on its way to the own workers: kept until stored there, sent as fast as they store it.

use std::collections::VecDeque;

use fresnel_types::{CommitIndex, Order, Round, ShardId, Shards, Timestamp};

use crate::limits::{ORDERS_IN_FLIGHT, ORDERS_RETAINED};

/// One stream of orders per shard.
#[derive(Debug)]
pub(crate) struct Streams {
    streams: Vec<Stream>,
    patience: u64,
}

#[derive(Debug, Default)]
struct Stream {
    /// Consecutive, ending with the last commit.
    orders: VecDeque<Order>,
    /// Orders of commits before this one are not kept.
    first: CommitIndex,
    /// Whether the worker asked; before, nobody listens.
    asked: bool,
    /// The next to send, once asked.
    next: CommitIndex,
    /// What the worker has.
    stored: CommitIndex,
    /// The floor after the last commit that it is known to have.
    floor: Round,
    /// When to send the first unacknowledged one again.
    again: Option<Timestamp>,
}

impl Streams {
    /// Streams whose unacknowledged orders are sent again after `patience` microseconds.
    pub(crate) fn new(shards: Shards, patience: u64) -> Self {
        Self { streams: shards.iter().map(|_| Stream::default()).collect(), patience }
    }

    /// The first orders added will be those of `first`: a checkpoint stands for the ones before.
    pub(crate) fn restore(&mut self, first: CommitIndex) {
        for stream in &mut self.streams {
            stream.first = first;
        }
    }

    /// Adds the orders of the next commit, one per shard.
    pub(crate) fn add(&mut self, orders: Vec<Order>) {
        for (stream, order) in self.streams.iter_mut().zip(orders) {
            stream.orders.push_back(order);
            if stream.orders.len() > ORDERS_RETAINED {
                stream.pop();
            }
        }
    }

    /// Whether an order of that commit or an earlier one is kept for a worker that has not stored it.
    pub(crate) fn hold(&self, commit: CommitIndex) -> bool {
        self.streams.iter().any(|stream| stream.orders.front().is_some_and(|order| order.commit <= commit))
    }

    /// The worker wants everything from `next` on. Where that is not kept: the first commit that is.
    pub(crate) fn request(&mut self, shard: ShardId, next: CommitIndex) -> Option<CommitIndex> {
        let stream = self.streams.get_mut(shard.index())?;
        stream.asked = true;
        stream.next = next;
        stream.stored = CommitIndex(next.0.saturating_sub(1));
        stream.again = None;
        (stream.first > next).then_some(stream.first)
    }

    /// The worker stored everything up to `commit`.
    pub(crate) fn stored(&mut self, shard: ShardId, commit: CommitIndex) {
        let Some(stream) = self.streams.get_mut(shard.index()) else { return };
        while stream.orders.front().is_some_and(|order| order.commit <= commit) {
            stream.floor = stream.pop().map_or(stream.floor, |order| order.floor);
        }
        if commit > stream.stored {
            stream.stored = commit;
            stream.next = stream.next.max(commit.next());
            stream.again = None;
        }
    }

    /// The floor that the worker knows at least.
    pub(crate) fn floor(&self, shard: ShardId) -> Round {
        self.streams.get(shard.index()).map_or(Round(0), |stream| stream.floor)
    }

    /// What to send now, by shard, ascending.
    pub(crate) fn due(&mut self, now: Timestamp) -> Vec<Order> {
        let mut due = vec![];
        for stream in self.streams.iter_mut().filter(|stream| stream.asked) {
            let mut window = ORDERS_IN_FLIGHT;
            if stream.again.is_some_and(|again| again <= now) {
                stream.next = stream.stored.next();
                // Set again below if anything leaves: what is not kept any more would be due for ever.
                stream.again = None;
                window = 1;
            }
            let Some(first) = stream.orders.front().map(|order| order.commit) else { continue };
            let Some(skip) = stream.next.0.checked_sub(first.0) else { continue };
            let in_flight = stream.next.0.saturating_sub(stream.stored.next().0);
            let room = window.saturating_sub(in_flight);
            let skip = usize::try_from(skip).unwrap_or(usize::MAX);
            let room = usize::try_from(room).unwrap_or(usize::MAX);
            let before = due.len();
            due.extend(stream.orders.iter().skip(skip).take(room).cloned());
            stream.next.0 += (due.len() - before) as u64;
            if stream.next <= stream.stored.next() {
                stream.again = None;
            } else if due.len() > before {
                stream.again = Some(now.plus(self.patience));
            }
        }
        due
    }

    /// When `due` must be asked without any message.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        self.streams.iter().filter(|stream| stream.asked).filter_map(|stream| stream.again).min()
    }
}

impl Stream {
    fn pop(&mut self) -> Option<Order> {
        let order = self.orders.pop_front()?;
        self.first = order.commit.next();
        Some(order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(commit: u64) -> Order {
        Order {
            shard: ShardId(0),
            commit: CommitIndex(commit),
            time: Timestamp(0),
            floor: Round(0),
            events: vec![],
            certified: vec![],
            lag: 0,
        }
    }

    fn commits(orders: Vec<Order>) -> Vec<u64> {
        orders.into_iter().map(|order| order.commit.0).collect()
    }

    #[test]
    fn orders_wait_for_the_worker_and_are_sent_again_until_stored() {
        let shards = Shards::new(1).expect("one");
        let mut streams = Streams::new(shards, 1_000);
        (1..=3).for_each(|commit| streams.add(vec![order(commit)]));
        assert!(streams.due(Timestamp(0)).is_empty(), "nobody asked");
        assert_eq!(streams.request(ShardId(0), CommitIndex(1)), None);
        assert_eq!(commits(streams.due(Timestamp(0))), [1, 2, 3]);
        assert!(streams.due(Timestamp(10)).is_empty());
        streams.stored(ShardId(0), CommitIndex(1));
        streams.add(vec![order(4)]);
        assert_eq!(commits(streams.due(Timestamp(20))), [4]);
        assert_eq!(streams.deadline(), Some(Timestamp(1_020)));
        assert_eq!(commits(streams.due(Timestamp(1_020))), [2], "one as a probe");
        streams.stored(ShardId(0), CommitIndex(2));
        assert_eq!(commits(streams.due(Timestamp(1_030))), [3, 4]);
        streams.stored(ShardId(0), CommitIndex(4));
        assert_eq!(streams.deadline(), None);
        assert_eq!(streams.request(ShardId(0), CommitIndex(5)), None, "nothing before it is needed");
        streams.add(vec![order(5)]);
        assert_eq!(commits(streams.due(Timestamp(1_040))), [5]);
        assert_eq!(streams.request(ShardId(0), CommitIndex(2)), Some(CommitIndex(5)), "stored ones are gone");
    }

    #[test]
    fn a_worker_that_stays_away_for_long_costs_no_ticks() {
        let mut streams = Streams::new(Shards::new(1).expect("one"), 1_000);
        streams.request(ShardId(0), CommitIndex(1));
        streams.add(vec![order(1)]);
        assert_eq!(streams.due(Timestamp(0)).len(), 1);
        (2..=ORDERS_RETAINED as u64 + 1).for_each(|commit| streams.add(vec![order(commit)]));
        let due = streams.deadline().expect("unanswered");
        assert!(streams.due(due).is_empty(), "what it lacks is not kept any more");
        assert_eq!(streams.deadline(), None, "and no deadline in the past is left");
    }

    #[test]
    fn a_worker_that_asks_for_what_a_checkpoint_stands_for_is_told_where_the_orders_begin() {
        let mut streams = Streams::new(Shards::new(1).expect("one"), 1_000);
        streams.restore(CommitIndex(65));
        assert_eq!(streams.request(ShardId(0), CommitIndex(64)), Some(CommitIndex(65)));
        streams.add(vec![order(65)]);
        assert!(streams.due(Timestamp(0)).is_empty(), "orders come without gaps");
        assert!(streams.hold(CommitIndex(65)) && !streams.hold(CommitIndex(64)));
        assert_eq!(streams.request(ShardId(0), CommitIndex(65)), None);
        assert_eq!(commits(streams.due(Timestamp(0))), [65]);
    }

    #[test]
    fn a_slow_worker_is_not_flooded() {
        let mut streams = Streams::new(Shards::new(1).expect("one"), 1_000);
        streams.request(ShardId(0), CommitIndex(1));
        (1..=2 * ORDERS_IN_FLIGHT).for_each(|commit| streams.add(vec![order(commit)]));
        assert_eq!(streams.due(Timestamp(0)).len() as u64, ORDERS_IN_FLIGHT);
        streams.stored(ShardId(0), CommitIndex(10));
        assert_eq!(streams.due(Timestamp(0)).len(), 10);
    }
}
