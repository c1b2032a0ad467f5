//! The vocabulary of Fresnel: every word that two crates share, with its exact bytes.
//!
//! Read in this order: ids and hashes, keys, transactions, batches, what beacons exchange (vertices, votes,
//! certificates), what the order says to shards (commits, order events), what shards answer (records, receipts), the
//! genesis that fixes all of it, and the messages and log entries in which it travels. Nothing here does any IO, knows
//! a clock or keeps state; functions are pure.

#![forbid(unsafe_code)]

pub mod ablation;
pub mod action;
pub mod authorities;
pub mod batch;
pub mod checkpoint;
pub mod codec;
pub mod commit;
pub mod committee;
pub mod evidence;
pub mod frame;
pub mod genesis;
pub mod hash;
pub mod id_map;
pub mod identities;
pub mod ids;
pub mod keys;
pub mod leaves;
pub mod limits;
pub mod log_entry;
pub mod machine;
pub mod merkle;
pub mod message;
pub mod mmr;
pub mod proof;
pub mod receipt;
pub mod record;
pub mod rpc;
pub mod snapshot;
pub mod status;
pub mod trace;
pub mod transaction;
pub mod verify;
pub mod vertex;
pub mod write_set;

pub use ablation::Ablation;
pub use action::Action;
pub use authorities::AuthoritySet;
pub use batch::{Batch, BatchRef};
pub use checkpoint::Checkpoint;
pub use codec::{CodecError, decode, encode};
pub use commit::{Close, Commit, CommitVote, Order, OrderEvent, OrderedBatch};
pub use committee::{Authority, Committee};
pub use evidence::Evidence;
pub use genesis::{Genesis, Parameters};
pub use hash::{BatchId, ChainId, CommitDigest, LogDigest, RecordDigest, StateRoot, TransactionId, VertexId};
pub use id_map::IdMap;
pub use ids::{
    Amount, AuthorityIndex, BlockIndex, ClientId, CommitIndex, Epoch, Nonce, Round, Sequence, ShardId,
    Shards, Timestamp,
};
pub use keys::{Address, PublicKey, Signature};
pub use log_entry::{Entries, EntryNumber, LogEntry};
pub use machine::{Effect, Input, Machine, Party};
pub use message::Message;
pub use proof::Proof;
pub use receipt::{Bundle, Receipt, ReceiptKind};
pub use record::{Attestation, Pair, PeerCounters, Record, Tally};
pub use transaction::{FailureCode, Outcome, RejectionCode, SignedTransaction, Transaction};
pub use verify::{Verified, VerifyError};
pub use vertex::{Certificate, ShardHeader, SignedHead, SignedVertex, Vertex, VertexHead, VertexRef, Vote};
pub use write_set::{StateKey, WriteSet};
