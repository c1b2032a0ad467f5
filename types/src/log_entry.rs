//! What machines keep: the entries of the log. Replaying them in order restores the machine.

use wincode::{SchemaRead, SchemaWrite};

use crate::{Bundle, Certificate, Commit, Order, SignedVertex, Vote};

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
}
