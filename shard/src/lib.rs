//! The shard worker: composes mempool, executor, state and crossshard into one machine.
//!
//! It takes transactions and batches, tells its beacon what may be named, executes the order block by block, attests
//! what came out, sends and receives receipts, and tells clients how their transactions fare. Like every machine it does
//! no IO and reads no clock.
//!
//! `blocks` cuts the order into blocks, `chain` keeps the own records and compares them with the certified ones,
//! `settlement` follows each transaction to its end, `checkpoints` is
//! about what a restart begins with, `sync` about what a worker begins with that has nothing of its own, `proofs` ties claims to certified records, `undo` takes blocks back for them, `traces` and `tally` are
//! what operators are shown, `worker` is the switch.

#![forbid(unsafe_code)]

mod blocks;
mod chain;
mod checkpoints;
mod limits;
mod proofs;
mod settlement;
mod sync;
mod tally;
mod traces;
mod undo;
mod worker;

pub use checkpoints::Checkpointing;
pub use fresnel_executor::engine::Policy;
pub use fresnel_mempool::Batching;
pub use worker::{Config, Execution, RecoveryError, Worker, portable};
