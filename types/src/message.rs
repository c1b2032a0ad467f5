//! Everything that machines and clients say to one another, and who may say it to whom.

use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

use crate::{
    Attestation, AuthorityIndex, AuthoritySet, BatchId, BatchRef, BlockIndex, Bundle, Certificate, Commit,
    CommitIndex, Order, Party, RejectionCode, Round, ShardId, SignedHead, SignedTransaction, SignedVertex,
    Timestamp, VertexRef, Vote,
    snapshot::{SnapshotAnswer, SnapshotRequest},
    status::{Answer, Progress, Query},
};

/// A message. The comment on each says who sends it to whom.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum Message {
    /// Beacon to beacons: the author's vertex, asking for votes.
    Proposal(SignedVertex),
    /// Beacon to beacons.
    Votes(Vec<Vote>),
    /// Beacon to beacons: in large committees the author assembles them.
    Certificates(Vec<Certificate>),
    /// Beacon to beacon: send me these.
    VertexRequest(Vec<VertexRef>),
    /// Beacon to beacon: answers a request or a status.
    Vertices(Vec<CertifiedVertex>),
    /// Beacon to beacon: where I am; send what I lack.
    Status(Status),
    /// Beacon to beacon: I am behind the floor, send commits from here on.
    CommitRequest(CommitIndex),
    /// Beacon to beacon: consecutive commits with their vertices.
    CommitRange(Vec<CommitWithVertices>),
    /// Beacon to beacons: my log is empty; was I here before, and up to which round is anything certified? With the instant
    /// of the question, so that an answer to an earlier one is told apart.
    RoundRequest(Timestamp),
    /// Beacon to beacon.
    RoundAnswer {
        /// The instant of the question.
        asked: Timestamp,
        /// The head of a vertex of whoever asks; none when the answering beacon never saw any.
        yours: Option<Box<SignedHead>>,
        /// The certificate of the highest round held; none when nothing is certified yet.
        highest: Option<Certificate>,
        /// Whether nothing that the answering beacon signed is of a round more than one above that.
        complete: bool,
    },
    /// Beacon to beacon: I am behind all commits that you keep; send this piece of the state after this commit.
    StateRequest {
        /// As in the piece that came first, by itself, in place of commits that are not kept.
        commit: CommitIndex,
        /// From 0.
        number: u32,
    },
    /// Beacon to beacon: answers a request for commits that are not kept, or for a piece.
    State(Box<StatePiece>),

    /// Worker to its own beacon: name these in the next vertex.
    Offer(Offer),
    /// Worker to its own beacon: these batches are durable here. Named by what they are, so that a header which names one
    /// with another count or length finds no vote.
    Stored(Vec<BatchRef>),
    /// Worker to its own beacon: send the order from this commit on.
    OrderRequest(CommitIndex),
    /// Worker to its own beacon: the order up to this commit is durable here.
    OrderStored(CommitIndex),
    /// Beacon to its own workers: a vertex is about to be made, seal what you have.
    Proposing(Round),
    /// Beacon to its own worker: a proposal of this author names these batches; get them and say `Stored`.
    Require {
        /// Who has them.
        author: AuthorityIndex,
        /// Which.
        batches: Vec<BatchRef>,
    },
    /// Beacon to its own worker: what a commit means to its shard.
    Order(Order),

    /// Worker to the same shard's workers: the bytes of a [`Batch`](crate::Batch).
    Batch(Vec<u8>),
    /// Worker to the batches' author: they are durable here.
    BatchStored(Vec<BatchId>),
    /// Worker to a worker of the same shard: send me these.
    BatchRequest(Vec<BatchId>),
    /// Worker to a worker of the destination shard.
    Bundle(Box<Bundle>),
    /// Worker to a worker of the source shard, or to another authority's worker of the own shard: send me the bundles
    /// of `source` for `destination` after this block.
    BundleRequest {
        /// Whose outbox.
        source: ShardId,
        /// For whom.
        destination: ShardId,
        /// The last block of which the sender holds the bundle.
        after: BlockIndex,
    },

    /// Client to worker.
    Submit {
        /// The client's number for this submission.
        request: u64,
        /// At most [`SUBMISSION_MAX`](crate::limits::SUBMISSION_MAX).
        transactions: Vec<SignedTransaction>,
    },
    /// Worker to client: one entry per transaction of the submission; `None` is admitted.
    Admission {
        /// The number of the submission.
        request: u64,
        /// In the order of the submission.
        results: Vec<Option<RejectionCode>>,
        /// When some are refused for overload: microseconds after which trying again makes sense.
        retry_after: u64,
    },
    /// Worker to client: news about transactions submitted on this connection.
    Progress(Vec<Progress>),
    /// Client to worker or beacon.
    Query {
        /// The client's number for this question.
        request: u64,
        /// What it asks.
        query: Query,
    },
    /// Worker or beacon to client.
    Answer {
        /// The number of the question.
        request: u64,
        /// What it answers.
        answer: Answer,
    },

    /// Beacon to its own worker, which asked for earlier ones: orders of commits before this one are kept no more.
    OrderGone(CommitIndex),
    /// Worker to the same shard's workers: I have no state to go on from.
    SnapshotRequest(SnapshotRequest),
    /// Worker to a worker of the same shard.
    Snapshot(SnapshotAnswer),
}

/// A vertex with the certificate that its sender has; ancestors of certified vertices need none.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct CertifiedVertex {
    /// The vertex.
    pub vertex: SignedVertex,
    /// Its certificate, when the sender holds one.
    pub certificate: Option<Certificate>,
}

/// Where a beacon is.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct Status {
    /// The round of its last vertex.
    pub round: Round,
    /// Its last commit.
    pub commit: CommitIndex,
    /// Per round above its floor: whose certified vertices it holds. Ascending by round, full rounds left out below the
    /// first gap.
    pub held: Vec<(Round, AuthoritySet)>,
}

/// A commit with all that it orders.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct CommitWithVertices {
    /// The commit.
    pub commit: Commit,
    /// `commit.vertices`, in the same order.
    pub vertices: Vec<SignedVertex>,
}

/// A piece of the state of a beacon after a commit at which checkpoints are taken, cut up since the whole may be larger
/// than a frame.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct StatePiece {
    /// The commit; it names the hash of the state.
    pub commit: Commit,
    /// In the first piece: heads of a quorum of authors, ascending, that name the commit. Empty in others.
    pub voters: Vec<SignedHead>,
    /// The first of the commits up to this one that ordered anything above its floor: with what they order there, the
    /// state is all that the next commits depend on.
    pub from: CommitIndex,
    /// The number of pieces.
    pub pieces: u32,
    /// Which this is, from 0.
    pub number: u32,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// What a worker asks its beacon to put into a vertex. Batches and attestations add to what was offered before; the
/// beacon keeps each until a vertex with it is ordered, and knows it by its id.
#[derive(Clone, Debug, Default, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct Offer {
    /// The worker's shard.
    pub shard: ShardId,
    /// Acknowledged by a quorum, in order.
    pub batches: Vec<BatchRef>,
    /// Ascending by block.
    pub attestations: Vec<Attestation>,
    /// As in [`ShardHeader`](crate::ShardHeader); replaces what was offered before.
    pub held: Vec<BlockIndex>,
    /// Whether something here waits for the order to go on: load pace instead of heartbeats.
    pub pending: bool,
}

/// The kind of a message, as it stands in a frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Kind {
    /// A vertex asking for votes.
    Proposal = 1,
    /// Votes.
    Votes = 2,
    /// Certificates.
    Certificates = 3,
    /// Vertices wanted.
    VertexRequest = 4,
    /// Vertices with certificates.
    Vertices = 5,
    /// A beacon's position.
    Status = 6,
    /// Commits wanted.
    CommitRequest = 7,
    /// Commits with vertices.
    CommitRange = 8,
    /// The highest round wanted.
    RoundRequest = 9,
    /// The highest round.
    RoundAnswer = 10,
    /// A piece of a beacon's state wanted.
    StateRequest = 11,
    /// A piece of a beacon's state.
    State = 12,
    /// What a worker wants named.
    Offer = 16,
    /// Batches durable at the own worker.
    Stored = 17,
    /// Order wanted.
    OrderRequest = 18,
    /// Order durable at the own worker.
    OrderStored = 19,
    /// A vertex is about to be made.
    Proposing = 20,
    /// Batches wanted by the own beacon.
    Require = 21,
    /// A shard's part of a commit.
    Order = 22,
    /// Order wanted that is gone.
    OrderGone = 23,
    /// A batch.
    Batch = 32,
    /// Batches durable at a peer.
    BatchStored = 33,
    /// Batches wanted.
    BatchRequest = 34,
    /// A bundle.
    Bundle = 35,
    /// Bundles wanted.
    BundleRequest = 36,
    /// A state wanted.
    SnapshotRequest = 37,
    /// A state, piece by piece.
    Snapshot = 38,
    /// Transactions of a client.
    Submit = 48,
    /// Admission results.
    Admission = 49,
    /// News about transactions.
    Progress = 50,
    /// A question.
    Query = 51,
    /// An answer.
    Answer = 52,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 32] = [
        Self::Proposal,
        Self::Votes,
        Self::Certificates,
        Self::VertexRequest,
        Self::Vertices,
        Self::Status,
        Self::CommitRequest,
        Self::CommitRange,
        Self::RoundRequest,
        Self::RoundAnswer,
        Self::StateRequest,
        Self::State,
        Self::Offer,
        Self::Stored,
        Self::OrderRequest,
        Self::OrderStored,
        Self::Proposing,
        Self::Require,
        Self::Order,
        Self::OrderGone,
        Self::Batch,
        Self::BatchStored,
        Self::BatchRequest,
        Self::Bundle,
        Self::BundleRequest,
        Self::SnapshotRequest,
        Self::Snapshot,
        Self::Submit,
        Self::Admission,
        Self::Progress,
        Self::Query,
        Self::Answer,
    ];
}

/// On which link of a pair of processes a message travels: bulk never delays control.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, SchemaRead, SchemaWrite)]
pub enum Plane {
    /// Small and urgent: what beacons say.
    Control,
    /// Batches, bundles, histories.
    Bulk,
}

impl Message {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Proposal(_) => Kind::Proposal,
            Self::Votes(_) => Kind::Votes,
            Self::Certificates(_) => Kind::Certificates,
            Self::VertexRequest(_) => Kind::VertexRequest,
            Self::Vertices(_) => Kind::Vertices,
            Self::Status(_) => Kind::Status,
            Self::CommitRequest(_) => Kind::CommitRequest,
            Self::CommitRange(_) => Kind::CommitRange,
            Self::RoundRequest(_) => Kind::RoundRequest,
            Self::RoundAnswer { .. } => Kind::RoundAnswer,
            Self::StateRequest { .. } => Kind::StateRequest,
            Self::State(_) => Kind::State,
            Self::Offer(_) => Kind::Offer,
            Self::Stored(_) => Kind::Stored,
            Self::OrderRequest(_) => Kind::OrderRequest,
            Self::OrderStored(_) => Kind::OrderStored,
            Self::Proposing(_) => Kind::Proposing,
            Self::Require { .. } => Kind::Require,
            Self::Order(_) => Kind::Order,
            Self::Batch(_) => Kind::Batch,
            Self::BatchStored(_) => Kind::BatchStored,
            Self::BatchRequest(_) => Kind::BatchRequest,
            Self::Bundle(_) => Kind::Bundle,
            Self::BundleRequest { .. } => Kind::BundleRequest,
            Self::Submit { .. } => Kind::Submit,
            Self::Admission { .. } => Kind::Admission,
            Self::Progress(_) => Kind::Progress,
            Self::Query { .. } => Kind::Query,
            Self::Answer { .. } => Kind::Answer,
            Self::OrderGone(_) => Kind::OrderGone,
            Self::SnapshotRequest(_) => Kind::SnapshotRequest,
            Self::Snapshot(_) => Kind::Snapshot,
        }
    }

    /// The link it travels on.
    pub fn plane(&self) -> Plane {
        match self.kind() {
            Kind::Batch
            | Kind::BatchRequest
            | Kind::Bundle
            | Kind::BundleRequest
            | Kind::CommitRange
            | Kind::SnapshotRequest
            | Kind::Snapshot
            | Kind::State => Plane::Bulk,
            _ => Plane::Control,
        }
    }

    /// Whether `from` may say this to `to`. What comes in otherwise is refused unread.
    pub fn may_pass(&self, from: Party, to: Party) -> bool {
        use Party::{Beacon, Client, Worker};
        let beacons = || matches!((from, to), (Beacon(a), Beacon(b)) if a != b);
        let worker_to_beacon = || matches!((from, to), (Worker(a, _), Beacon(b)) if a == b);
        let beacon_to_worker = || matches!((from, to), (Beacon(a), Worker(b, _)) if a == b);
        let same_shard = || matches!((from, to), (Worker(a, s), Worker(b, t)) if a != b && s == t);
        let siblings = || matches!((from, to), (Worker(a, s), Worker(b, t)) if a == b && s != t);
        match self.kind() {
            Kind::Proposal
            | Kind::Votes
            | Kind::Certificates
            | Kind::VertexRequest
            | Kind::Vertices
            | Kind::Status
            | Kind::CommitRequest
            | Kind::CommitRange
            | Kind::RoundRequest
            | Kind::RoundAnswer
            | Kind::StateRequest
            | Kind::State => beacons(),
            Kind::Stored | Kind::OrderRequest | Kind::OrderStored => worker_to_beacon(),
            Kind::Offer => {
                worker_to_beacon()
                    && matches!((self, from), (Self::Offer(offer), Worker(_, shard)) if offer.shard == shard)
            }
            Kind::Proposing | Kind::Require | Kind::Order | Kind::OrderGone => beacon_to_worker(),
            Kind::Batch | Kind::BatchStored | Kind::BatchRequest | Kind::SnapshotRequest | Kind::Snapshot => {
                same_shard()
            }
            Kind::Bundle | Kind::BundleRequest => same_shard() || siblings(),
            Kind::Submit => matches!((from, to), (Client(_), Worker(..))),
            Kind::Query => matches!((from, to), (Client(_), Worker(..) | Beacon(_))),
            Kind::Admission | Kind::Progress => matches!((from, to), (Worker(..), Client(_))),
            Kind::Answer => matches!((from, to), (Worker(..) | Beacon(_), Client(_))),
        }
    }
}
