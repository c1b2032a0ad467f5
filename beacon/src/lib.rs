//! The beacon: certified DAG, Bullshark order, certification of records.

#![forbid(unsafe_code)]

pub mod dag;
pub mod ledger;
pub mod machine;
pub mod orderer;
pub mod rule;
#[cfg(test)]
mod scenario;
pub mod schedule;
pub mod pacing;

pub use machine::{Beacon, Config, Counters, RecoveryError};
pub use pacing::Pacing;
