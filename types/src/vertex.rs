//! What beacons exchange: vertices of the DAG, votes on them, certificates.
//!
//! A vertex is named by the hash of its fixed *head*; the head commits to the payload and, apart, to the attestations
//! in it. So head, Merkle path and author's signature prove an attestation to anybody without the payload.

use fresnel_crypto::SigningKey;
use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

use crate::{
    Attestation, AuthorityIndex, AuthoritySet, BatchRef, BlockIndex, ChainId, CommitVote, Epoch, Round,
    ShardId, Signature, Timestamp, VertexId, codec,
    hash::{Domain, Root, hash},
    merkle,
};

/// What a worker gives its own beacon to be ordered. At most one per shard and vertex.
#[derive(Clone, Debug, Default, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct ShardHeader {
    /// Whose header it is.
    pub shard: ShardId,
    /// The worker's authority, which is the vertex' author.
    pub author: AuthorityIndex,
    /// Batches of `author`, each acknowledged by a quorum, in the order in which they execute.
    pub batches: Vec<BatchRef>,
    /// Results of blocks of `shard`, ascending by block.
    pub attestations: Vec<Attestation>,
    /// Per source shard: the highest block up to which this worker holds all bundles, durably and checked. One entry
    /// per shard; the own entry is 0. Never falls.
    pub held: Vec<BlockIndex>,
}

impl ShardHeader {
    /// Whether it asks for anything to be executed or certified; `held` alone is no reason to hurry.
    pub fn is_idle(&self) -> bool {
        self.batches.is_empty() && self.attestations.is_empty()
    }
}

/// A vertex named by its place and its id.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, SchemaRead, SchemaWrite,
)]
pub struct VertexRef {
    /// Its round.
    pub round: Round,
    /// Its author.
    pub author: AuthorityIndex,
    /// Its id.
    pub id: VertexId,
}

/// The part of a vertex that its id covers.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct VertexHead {
    /// The chain it belongs to.
    pub chain: ChainId,
    /// The epoch it belongs to.
    pub epoch: Epoch,
    /// Its round, at least 1 but for the genesis vertices.
    pub round: Round,
    /// Who made it.
    pub author: AuthorityIndex,
    /// The author's clock; never before its previous vertex'.
    pub time: Timestamp,
    /// Certified vertices of the round before: a quorum, ascending by author, the author's own among them if it has one.
    pub parents: Vec<VertexRef>,
    /// Certified vertices of earlier rounds not reachable through `parents`, ascending; they order, they never vote.
    /// Among them the author's last certified vertex when that is not a parent.
    pub weak: Vec<VertexRef>,
    /// The highest checkpoint of the order that the author has reached.
    pub commit_vote: CommitVote,
    /// Root over `headers` without their attestations.
    pub payload_root: Root,
    /// Root over all attestations, in the order of the headers.
    pub attestation_root: Root,
}

/// An authority's node of the DAG in a round.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct Vertex {
    /// What the id covers.
    pub head: VertexHead,
    /// The payload, ascending by shard.
    pub headers: Vec<ShardHeader>,
}

/// A vertex with its author's signature: a proposal until it is certified.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct SignedVertex {
    /// What was signed.
    pub vertex: Vertex,
    /// By `vertex.head.author`, over the id.
    pub signature: Signature,
}

/// The part of a signed vertex that its signature covers: what anybody needs to know that its author said so.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct SignedHead {
    /// What was signed.
    pub head: VertexHead,
    /// By `head.author`, over the id.
    pub signature: Signature,
}

/// An authority's statement that it holds a vertex and will vote for no other of that author and round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, SchemaRead, SchemaWrite)]
pub struct Vote {
    /// What is voted for.
    pub vertex: VertexRef,
    /// Who votes.
    pub voter: AuthorityIndex,
    /// Whether the voter's workers hold the payload durably. Who votes without trusts f + 1 stake that voted so.
    pub stored: bool,
    /// By `voter`, over chain, epoch and all of the above.
    pub signature: Signature,
}

/// A quorum of votes, of which f + 1 stake holds the payload. Its identity is the vertex', never the signer set's.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct Certificate {
    /// What is certified.
    pub vertex: VertexRef,
    /// Who voted.
    pub signers: AuthoritySet,
    /// Those of them whose votes say that they hold the payload.
    pub stored: AuthoritySet,
    /// One for each of `signers`, ascending.
    pub signatures: Vec<Signature>,
}

impl VertexHead {
    /// The identity of the vertex.
    pub fn id(&self) -> VertexId {
        VertexId(hash(Domain::Vertex, &[&codec::encode(self)]))
    }

    /// Place and identity.
    pub fn reference(&self) -> VertexRef {
        VertexRef { round: self.round, author: self.author, id: self.id() }
    }

    /// Everything it names: parents, then weak links.
    pub fn links(&self) -> impl Iterator<Item = &VertexRef> {
        self.parents.iter().chain(&self.weak)
    }
}

impl Vertex {
    /// A vertex whose head commits to `headers`; the roots given in `head` are replaced.
    pub fn new(mut head: VertexHead, headers: Vec<ShardHeader>) -> Self {
        head.payload_root = payload_root(&headers);
        head.attestation_root = attestation_root(&headers);
        Self { head, headers }
    }

    /// Whether the head's roots are those of the payload.
    pub fn roots_match(&self) -> bool {
        self.head.payload_root == payload_root(&self.headers)
            && self.head.attestation_root == attestation_root(&self.headers)
    }

    /// The vertex of `author` in round 0, certified by definition.
    pub fn genesis(chain: ChainId, epoch: Epoch, author: AuthorityIndex) -> Self {
        let head = VertexHead {
            chain,
            epoch,
            round: Round(0),
            author,
            time: Timestamp(0),
            parents: vec![],
            weak: vec![],
            commit_vote: CommitVote::default(),
            payload_root: Root::default(),
            attestation_root: Root::default(),
        };
        Self::new(head, vec![])
    }

    /// Signs it.
    pub fn sign(self, key: &SigningKey) -> SignedVertex {
        let signature = Signature(key.sign(&vertex_signing_digest(&self.head.id())));
        SignedVertex { vertex: self, signature }
    }
}

/// What an author's signature covers. The id binds chain and epoch.
pub fn vertex_signing_digest(id: &VertexId) -> [u8; 32] {
    hash(Domain::VertexSignature, &[&id.0])
}

/// What a vote's signature covers: all of it but the signature.
pub fn vote_signing_digest(chain: &ChainId, epoch: Epoch, vote: &Vote) -> [u8; 32] {
    let Vote { vertex, voter, stored, .. } = *vote;
    hash(Domain::VoteSignature, &[&chain.0, &codec::encode(&(epoch, voter, vertex, stored))])
}

impl SignedVertex {
    /// Without the payload.
    pub fn signed_head(&self) -> SignedHead {
        SignedHead { head: self.vertex.head.clone(), signature: self.signature }
    }
}

impl Vote {
    /// Makes and signs a vote.
    pub fn sign(
        chain: &ChainId,
        epoch: Epoch,
        voter: AuthorityIndex,
        vertex: VertexRef,
        stored: bool,
        key: &SigningKey,
    ) -> Self {
        let unsigned = Self { vertex, voter, stored, signature: Signature::default() };
        let signature = Signature(key.sign(&vote_signing_digest(chain, epoch, &unsigned)));
        Self { signature, ..unsigned }
    }
}

impl Certificate {
    /// The votes that it is made of, ascending by voter.
    pub fn votes(&self) -> impl Iterator<Item = Vote> {
        self.signers.iter().zip(&self.signatures).map(|(voter, &signature)| Vote {
            vertex: self.vertex,
            voter,
            stored: self.stored.contains(voter),
            signature,
        })
    }
}

/// Root over the headers without their attestations.
fn payload_root(headers: &[ShardHeader]) -> Root {
    merkle::root(headers.iter().map(|header| {
        merkle::leaf(&(header.shard, header.author, header.batches.clone(), header.held.clone()))
    }))
}

/// Root over all attestations.
fn attestation_root(headers: &[ShardHeader]) -> Root {
    merkle::root(headers.iter().flat_map(|header| &header.attestations).map(merkle::leaf))
}
