//! The beacon: certified DAG, Bullshark order, certification of records.

#![forbid(unsafe_code)]

pub mod dag;
pub mod ledger;
pub mod machine;
pub mod limits;
pub mod counters;
mod streams;
mod slots;
mod proposals;
mod pending;
mod history;
mod generations;
mod fetch;
mod catch_up;
mod availability;
pub mod orderer;
pub mod rule;
#[cfg(test)]
mod scenario;
pub mod schedule;
pub mod pacing;

pub use counters::Counters;
pub use machine::{Beacon, Config, Evidence, RecoveryError};
pub use pacing::Pacing;
