//! Admission, batching, dissemination and availability of batches: a sub-machine of the shard worker.

#![forbid(unsafe_code)]

mod config;
mod mempool;

pub use config::{Batching, Config};
pub use mempool::{Counters, Mempool, Submission};
