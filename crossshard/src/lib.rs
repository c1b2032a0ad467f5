//! Receipts between shards: outboxes, bundles, delivery, what is held: a sub-machine of the shard worker.

#![forbid(unsafe_code)]

mod crossshard;

pub use crossshard::{Counters, CrossShard, Delivery, PeerCounters};
