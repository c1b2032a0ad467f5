//! Load and measurement: local clusters of real processes, open-loop load, faults at planned instants, an audit from
//! the records themselves, and the report.
//!
//! [`bench()`] does all of it in order. The parts, in reading order: [`workload`] says which transfers (pure, from a
//! seed), [`cluster`] runs the processes, [`faults`] says what happens to them, [`load`] sends and measures,
//! [`audit`] judges the records, [`report`] says what came out.

#![forbid(unsafe_code)]

pub mod audit;
pub mod bench;
pub mod cluster;
pub mod environment;
pub mod faults;
pub mod history;
pub mod limits;
pub mod load;
pub mod report;
pub mod workload;

pub use bench::{BenchOptions, Freeze, Overload, Stage, bench, find_max};
pub use cluster::{Cluster, ClusterOptions, ExecutorMode, Layout};
pub use faults::Fault;
pub use report::{Report, Verdict};
