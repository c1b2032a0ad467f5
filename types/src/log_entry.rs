//! What machines keep: the entries of the log. Replaying them in order restores the machine.

use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

use crate::{
    Bundle, Certificate, Commit, CommitIndex, Evidence, Order, Round, SignedVertex, Vote, ids::number,
    snapshot::SyncEntry,
};

/// An entry of a machine's log.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum LogEntry {
    /// A vertex with its payload: own ones before they are proposed, others' before the vote.
    Vertex(SignedVertex),
    /// An own vote, before it leaves.
    Vote(Vote),
    /// The certificate of a parent, before the own vertex that names it leaves.
    Certificate(Certificate),
    /// A commit, before any worker hears of it. Its vertices are in the log already.
    Commit(Commit),
    /// The bytes of a batch, before it is acknowledged.
    Batch(Vec<u8>),
    /// A shard's part of a commit, before its effects are told.
    Order(Order),
    /// A bundle for this shard, before `held` covers it.
    Bundle(Bundle),
    /// A piece of a beacon's state after a commit. Once the last piece is durable, what led to it is needed no more.
    Checkpoint(CheckpointPiece),
    /// A step of a worker that gets its state from its peers.
    Sync(SyncEntry),
    /// Evidence against an authority, of which a beacon keeps one each.
    Evidence(Box<Evidence>),
    /// A beacon that began with an empty log knows from others that nothing it may have signed before is of a round above
    /// this one. Until then, and at or below it, it signs nothing.
    Resumed(Round),
}

/// A piece of a beacon's state: cut up, since the whole may be larger than an entry.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct CheckpointPiece {
    /// The state is that after this commit.
    pub commit: CommitIndex,
    /// Pieces of a state have consecutive numbers from 0.
    pub number: u32,
    /// Whether the state is complete with this piece.
    pub last: bool,
    /// What the beacon made of it.
    pub bytes: Vec<u8>,
}

number! {
    /// Position of an entry in a machine's log, from 0 at the genesis; entries keep their numbers when older ones are
    /// deleted.
    EntryNumber(u64)
}

/// Consecutive entries of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    /// The number of the first.
    pub first: EntryNumber,
    /// The entries.
    pub entries: Vec<LogEntry>,
}

impl Entries {
    /// The number that the next entry gets.
    pub fn next(&self) -> EntryNumber {
        EntryNumber(self.first.0 + self.entries.len() as u64)
    }
}

impl From<Vec<LogEntry>> for Entries {
    /// A log of which nothing was deleted.
    fn from(entries: Vec<LogEntry>) -> Self {
        Self { first: EntryNumber(0), entries }
    }
}
