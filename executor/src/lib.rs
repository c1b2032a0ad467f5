//! Accounts in memory, programs, execution of blocks.
//!
//! A block is a function of the shard's leaves and its input alone. One after the other: peers' counters are copied
//! into the pair leaves, receipts are applied, transactions are executed. What comes out is the changed leaves, the
//! receipts for other shards, and how everything ended.

#![deny(unsafe_code)]

pub mod block;
pub mod engine;
pub mod executor;
mod index;
mod programs;
pub mod reference;
pub mod resolve;
#[expect(unsafe_code, reason = "slots are made where they stand, on pages that were asked for")]
mod segment;
mod slots;
mod sync;
pub mod table;
mod values;

pub use block::{BlockInput, BlockOutput};
pub use engine::{Engine, Program, View};
pub use executor::Executor;
pub use resolve::{ResolvedBatch, Resolver};
pub use slots::{EXISTS, Place, Value};
pub use table::Table;
