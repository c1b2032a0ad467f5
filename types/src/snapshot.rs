//! What a worker gets from the workers of its shard when it has no state to go on from: the state after a certified record,
//! piece by piece.
//!
//! A peer makes the newest checkpoint that it stored readable (*publishes* it) and offers it. Who fetches believes no peer:
//! that the record is certified, its own beacon's order says; each chunk of the state is checked alone against the state
//! root of the record; the records before it, and what their blocks emitted, follow from it.

use wincode::{SchemaRead, SchemaWrite};

use crate::{AuthorityIndex, CommitIndex, Record, RecordDigest, proof::Later};

/// What a peer has published.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct Published {
    /// The last record of the checkpoint.
    pub record: Record,
    /// The encoded list of the chunks, which depends on the state alone: every honest peer has the same.
    pub chunks: Vec<u8>,
    /// How many parts hold what is needed besides the state: records, what they emitted, and bundles of other shards.
    pub parts: u32,
}

/// What a peer offers.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct SnapshotOffer {
    /// What it has published.
    pub published: Published,
    /// The last record that the order has certified as the peer knows it, when that is a later one.
    pub later: Option<Later>,
}

/// What is asked of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum SnapshotRequest {
    /// What it offers.
    Offer,
    /// A piece of what it offered.
    Piece {
        /// The record of the offer.
        record: RecordDigest,
        /// Which piece.
        piece: SnapshotPiece,
    },
}

/// What a peer answers.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum SnapshotAnswer {
    /// What it offers; none as long as it has nothing.
    Offer(Option<Box<SnapshotOffer>>),
    /// A piece; none when it is not offered any more.
    Piece {
        /// The record of the offer.
        record: RecordDigest,
        /// Which piece.
        piece: SnapshotPiece,
        /// Its bytes.
        bytes: Option<Vec<u8>>,
    },
}

/// A piece of what is published, by its number from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, SchemaRead, SchemaWrite)]
pub enum SnapshotPiece {
    /// A chunk of the state.
    Chunk(u32),
    /// Some of the rest.
    Part(u32),
}

/// What a worker wants of the store of its checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotTask {
    /// Publish the newest checkpoint, in the place of what was published before.
    Publish,
    /// Read a piece of what is published.
    Read(SnapshotPiece),
}

/// What comes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotResult {
    /// This is published; none when there is no checkpoint yet, or no room.
    Published(Option<Box<Published>>),
    /// The bytes of a piece, if they can be read.
    Read(SnapshotPiece, Option<Vec<u8>>),
}

/// A step of a worker that gives up its state for one that it gets from its peers. With what such entries of the log hold,
/// it goes on after an interruption.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum SyncEntry {
    /// What was executed before counts no more, and the order is taken from this commit on.
    Begin(CommitIndex),
    /// This is fetched from now on, the parts of it from this authority; pieces of anything else are given up.
    Target(Box<Published>, AuthorityIndex),
    /// A piece of it that was checked as far as it can be alone.
    Piece(SnapshotPiece, Vec<u8>),
}
