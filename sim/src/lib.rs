//! Whole clusters in one deterministic process: clock, network, disks, faults.
//!
//! One seed decides everything: the genesis, the latencies, the clients, what goes wrong and when. The machines are the
//! real ones and are driven as in production: handle the waiting inputs, append what must be persisted to the log, sync
//! once, release the sends in order. What they say is watched by `invariants`, and what they compute is compared with a
//! `replay` of the log by one thread for all shards; a run ends with a [`Report`] or with the first [`Violation`] and the
//! command that repeats it.

#![forbid(unsafe_code)]

pub mod adversaries;
mod checkpoints;
mod cluster;
pub mod disk;
pub mod faults;
mod host;
mod invariants;
pub mod latency;
mod machines;
pub mod network;
mod opaque;
pub mod options;
pub mod random;
mod replay;
pub mod report;
mod scenario;
pub mod scheduler;
pub mod suite;
mod workload;

pub use adversaries::Choice;
pub use cluster::{Lie, SyncReport, Syncing, measure, run, sync};
pub use options::{Options, Workers};
pub use report::{Report, Violation};
pub use scenario::{Scenario, ScenarioError};
