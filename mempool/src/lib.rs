//! Admission, batching, dissemination and availability of batches: a sub-machine of the shard worker.
//!
//! *Admission* judges clients' transactions by what is known here and now. *Own batches* are sealed, spread and sent
//! again until a quorum acknowledged them, then offered to the beacon until the order shows them effective. The
//! *store* holds everybody's batches durably; the *fetch* gets those that a proposal or the order names and that are not
//! here.

#![forbid(unsafe_code)]

mod admission;
mod config;
mod fetch;
mod limits;
mod mempool;
mod own;
mod store;

pub use admission::Candidate;
pub use config::{Batching, Config};
pub use mempool::{Counters, Mempool, Piece, Submission};

#[cfg(test)]
mod tests;
