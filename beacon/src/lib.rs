//! The beacon: certified DAG, Bullshark order, certification of records.

#![forbid(unsafe_code)]

mod answers;
mod attested;
mod availability;
mod catch_up;
mod checkpoint;
pub mod counters;
pub mod dag;
mod fetch;
mod generations;
mod history;
pub mod ledger;
pub mod limits;
pub mod machine;
pub mod orderer;
pub mod pacing;
mod pending;
mod proposals;
mod resuming;
pub mod rule;
#[cfg(test)]
mod scenario;
pub mod schedule;
mod slots;
mod streams;

pub use checkpoint::CheckpointError;
pub use counters::Counters;
pub use machine::{Beacon, Config, RecoveryError};
pub use pacing::Pacing;
