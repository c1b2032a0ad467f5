//! The client: a stream of transactions into a process and the news about them back, and questions to its machines.
//!
//! [`Client`] speaks to one process over plain TCP in the frames of `fresnel_types::frame`. Used as a whole it is
//! sequential: submit and wait for the admission, ask and wait for the answer. Split, it is a [`Requests`] half that
//! only encodes and queues and an [`Events`] half that only reads, so that one task can keep tens of thousands of
//! transactions per second going; nothing here is done per transaction but encoding and decoding. [`Wallet`] makes and
//! signs transfers. With a [`Session`] the reads of one user never go back, whoever answers them.
//!
//! [`RpcClient`] makes the JSON-RPC calls, for programs that are not in a hurry. [`Checker`] checks proofs offline.

#![forbid(unsafe_code)]

mod connection;
mod limits;
mod proof;
mod rpc;
mod session;
mod wallet;

pub use connection::{Admission, Client, ClientError, Event, Events, Requests};
pub use proof::{Checker, Ending, ProveError, RandomnessError, account, account_keys, leaf, prove};
pub use rpc::{RpcClient, RpcError};
pub use session::Session;
pub use wallet::Wallet;
