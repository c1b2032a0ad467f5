//! A process that hosts machines of one authority, with real sockets, threads and disks.
//!
//! Each machine has one named thread that owns it behind one bounded inbox (`driver`). What a machine sends goes
//! through the `router`: to an inbox of this process, to a client, or to the links of the process that hosts the
//! receiver. What comes in over links and from clients is decoded and checked on verify threads before it reaches an
//! inbox. A thread never blocks on the network while it owns a machine, and every queue has a bound in `limits`.

#![forbid(unsafe_code)]

mod admin;
mod checkpoints;
mod clock;
pub mod config;
mod counters;
mod data;
mod disk;
mod driver;
mod gates;
mod inbox;
mod ingest;
pub mod keys;
mod limits;
mod links;
mod listener;
mod log_filter;
pub mod node;
mod process;
mod queue;
mod rebuild;
mod replay;
pub mod roles;
mod router;
mod rpc;
mod snapshots;
mod space;
mod stats;
mod stream;
mod tls;
pub mod topology;
mod verify;
mod verify_data;
mod worker_metrics;

pub use checkpoints::StoreError;
pub use config::{Config, ConfigError};
pub use data::{DataError, Identity};
pub use keys::KeyError;
pub use log_filter::LogFilter;
pub use node::{Endpoints, Node, NodeError, run};
pub use rebuild::{Rebuild, rebuild};
pub use replay::{Difference, Replayed, replay};
pub use snapshots::{SnapshotError, SnapshotReport, create_snapshot, restore_snapshot, verify_snapshot};
pub use stats::Stats;
pub use topology::{Process, Topology, TopologyError};
pub use verify_data::{CheckpointReport, DataReport, Fault, MachineReport, Place, verify_data};

/// An error with its causes, in a line.
pub(crate) fn error_chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
