//! Receipts between shards, as one worker sees them: what its own shard emitted, what the others' shards emitted for
//! it, and what a block takes of that. A sub-machine of the shard worker.
//!
//! A source's bundles form a chain: every record commits to all before it, so one certified digest verifies the whole
//! chain up to it. Only verified content is delivered, and how far is said by the log; hence every worker of a shard
//! delivers the same receipts in the same block, whoever it got them from.

#![forbid(unsafe_code)]

mod crossshard;
mod fetch;
mod inbox;
mod limits;
mod outbox;

pub use crossshard::{Counters, CrossShard, Delivery, Piece};

#[cfg(test)]
mod tests;
