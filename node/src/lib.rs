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
mod replay;
pub mod roles;
mod router;
mod rpc;
mod stats;
mod stream;
mod tls;
pub mod topology;
mod verify;

pub use checkpoints::StoreError;
mod worker_metrics;
mod verify_data;
pub use config::{Config, ConfigError};
pub use data::{DataError, Identity};
pub use keys::KeyError;
pub use log_filter::LogFilter;
pub use node::{Endpoints, Node, NodeError, run};
pub use replay::{Difference, Replayed, replay};
pub use stats::Stats;
pub use topology::{Process, Topology, TopologyError};
