//! The shard worker: composes mempool, executor, state and crossshard.
