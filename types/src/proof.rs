//! Proofs for whoever knows a genesis and nothing else: what a shard's record says, the record, and what certifies it.
//!
//! A [`Proof`] makes one [`Claim`] about one record. The record is certified when authorities with the stake of a quorum
//! attested it, or a later record of the shard, which commits to all before it by its mountain range. Each
//! [`SignedAttestation`] is an authority's own word: the head of a vertex that it signed, and the path from the
//! attestation to the root in that head. So nobody who hands out a proof has to be trusted, and nobody has to be asked.
//!
//! `fresnel_client::Checker` checks all of it.
//!
//! # Checking a proof
//! Bytes are in the layout of [`codec`]; hashes of trees are those of
//! [`fresnel_crypto::hash`]: `leaf(x)` is the BLAKE3 hash of `x` with the lowest bit of its first byte set, `node(l, r)`
//! that of `l ‖ r` with this bit cleared. Digests with a domain are BLAKE3 in `derive_key` mode, with the contexts in
//! [`hash`](crate::hash).
//!
//! 1. The *head record* is `later.record` if there is one, else `record`. It is of the shard, the epoch and no other.
//! 2. Each of `attested` is by another authority, ascending by its index in the genesis. Its head has the chain, the
//!    epoch and that author. `path` leads from `leaf(shard ‖ block ‖ digest of the head record)` to `attestation_root`
//!    ([`merkle`](crate::merkle)). The signature is one of the author's consensus key on
//!    [`vertex_signing_digest`] of the head's id. Together the authors have the stake of a quorum.
//! 3. With `later`, `path` leads from `leaf(digest of record)` at `record.position` to `later.record.earlier`, in a range of
//!    `later.record.position` elements ([`mmr`](crate::mmr)).
//! 4. The claim holds in `record`: see [`Claim`].

use fresnel_crypto::{Item, Verifier};
use wincode::{SchemaRead, SchemaWrite};

use crate::{
    Attestation, AuthoritySet, BlockIndex, ChainId, FailureCode, Genesis, Outcome, Receipt, Record, Sequence,
    ShardId, Signature, SignedVertex, StateKey, TransactionId, VertexHead, codec,
    hash::Root,
    merkle::{self, Path},
    mmr,
    vertex::vertex_signing_digest,
};

/// What can be proven of a record.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum Claim {
    /// Leaves of the state after the block.
    State {
        /// What keys of the shard hold, ascending by key; `None` is nothing.
        leaves: Vec<(StateKey, Option<Vec<u8>>)>,
        /// An encoded `fresnel_state::MultiProof` of them all.
        tree: Vec<u8>,
    },
    /// How a transaction ended in the block.
    Outcome {
        /// Which.
        transaction: TransactionId,
        /// How.
        outcome: Outcome,
        /// To `results`.
        path: Path,
    },
    /// The block consumed a receipt.
    Applied {
        /// Which, and what came of it.
        applied: Applied,
        /// To `results`.
        path: Path,
    },
    /// The block emitted a receipt.
    Emitted {
        /// For whom.
        destination: ShardId,
        /// What.
        receipt: Receipt,
        /// To the root over the receipts for this destination.
        path: Path,
        /// From there to `outbox`; the destination is the place of its leaf.
        slice: Path,
    },
}

/// A consumed receipt, as results have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct Applied {
    /// Where it came from.
    pub source: ShardId,
    /// Its place on the pair.
    pub sequence: Sequence,
    /// The transaction that caused it.
    pub transaction: TransactionId,
    /// Why it was sent back, if it was.
    pub bounced: Option<FailureCode>,
}

/// A claim with all that ties it to the committee of the genesis.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct Proof {
    /// What is proven.
    pub claim: Claim,
    /// Of this record.
    pub record: Record,
    /// The record that was attested, when it is a later one.
    pub later: Option<Later>,
    /// Those of a quorum, ascending by author.
    pub attested: Vec<SignedAttestation>,
}

/// A later record of the same shard.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct Later {
    /// The later record.
    pub record: Record,
    /// From the earlier one to its range.
    pub path: mmr::Path,
}

/// An authority's attestation of a record, which names shard, block and digest, as anybody can check it.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct SignedAttestation {
    /// The head of the vertex that holds it.
    pub head: VertexHead,
    /// From the attestation to the head's root of attestations.
    pub path: Path,
    /// By the author of the vertex, over its id.
    pub signature: Signature,
}

/// What of a vertex its attestations are proven by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttestingVertex {
    /// Its head.
    pub head: VertexHead,
    /// All attestations of all its headers, in their order.
    pub attestations: Vec<Attestation>,
    /// As in [`SignedVertex`].
    pub signature: Signature,
}

/// What a proof is wanted of.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum Wanted {
    /// What these keys of the shard hold: ascending, at most [`KEYS_PER_PROOF_MAX`]. After the last certified block where
    /// that costs little, else after the newest one, which is waited for.
    State(Vec<StateKey>),
    /// How a transaction of the shard ended; of one that was admitted and not executed, once it is.
    Outcome(TransactionId),
    /// The receipt that a transaction of the shard emitted; when it is executed, as above.
    Emitted(TransactionId),
    /// The consumption of a receipt by the shard; of one within the window that was not consumed, once it is.
    Applied {
        /// Where it came from.
        source: ShardId,
        /// Its place on the pair.
        sequence: Sequence,
    },
    /// What these keys, as above, held after a block of the last minute.
    Past {
        /// Which block; one without input left everything as it was.
        block: BlockIndex,
        /// The keys.
        keys: Vec<StateKey>,
    },
}

/// Why a proof proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The bytes are no proof of this version.
    #[error("these are not the bytes of a proof")]
    Malformed,
    /// An attestation is of another chain, epoch or authority, repeated or out of order, not in its vertex, or not signed
    /// by its author.
    #[error("an attestation does not hold")]
    Attestation,
    /// Those who attested are fewer than a quorum.
    #[error("those who attested have {stake} stake, and a quorum has {quorum}")]
    Quorum {
        /// Theirs together.
        stake: u64,
        /// What is needed.
        quorum: u64,
    },
    /// The attested record does not commit to the record of the proof.
    #[error("the attested record does not commit to the record of the proof")]
    Chain,
    /// The record does not say what is claimed.
    #[error("the record does not say what is claimed")]
    Claim,
    /// The proof is of something else than what was asked for.
    #[error("the proof is of something else")]
    Other,
}

impl Later {
    /// Whether it is a record that commits to `record`, of the same shard if both are of the same chain of records.
    pub fn commits_to(&self, record: &Record) -> bool {
        let leaf = mmr::record_leaf(&record.digest());
        (self.path.index, self.path.count) == (record.position, self.record.position)
            && self.path.root(leaf) == Some(self.record.earlier)
    }
}

impl SignedAttestation {
    /// Of a proof that is made for somebody else: which attestation `attested` has.
    pub fn of(attested: &AttestingVertex, attestation: &Attestation) -> Option<Self> {
        let AttestingVertex { head, attestations, signature } = attested;
        let place = attestations.iter().position(|other| other == attestation)?;
        let path = merkle::path(&merkle::leaves(attestations), place);
        Some(Self { head: head.clone(), path, signature: *signature })
    }
}

impl AttestingVertex {
    /// What a vertex says about records; nothing when it has no attestation.
    pub fn of(signed: &SignedVertex) -> Option<Self> {
        let headers = signed.vertex.headers.iter();
        let attestations: Vec<_> = headers.flat_map(|header| header.attestations.iter().copied()).collect();
        let head = signed.vertex.head.clone();
        (!attestations.is_empty()).then_some(Self { head, attestations, signature: signed.signature })
    }
}

impl Proof {
    /// Checks that the record is certified by the committee of the genesis. What is claimed of it is another matter.
    ///
    /// # Errors
    /// The first link that does not hold.
    pub fn check_certified(
        &self,
        genesis: &Genesis,
        chain: &ChainId,
        verifier: &mut Verifier,
    ) -> Result<(), ProofError> {
        let head = self.later.as_ref().map_or(&self.record, |later| &later.record);
        if head.shard != self.record.shard || !genesis.shards.contains(head.shard) {
            return Err(ProofError::Chain);
        }
        if self.later.as_ref().is_some_and(|later| !later.commits_to(&self.record)) {
            return Err(ProofError::Chain);
        }
        check_attested(&self.attested, &self.attestation(), genesis, chain, verifier)
    }

    /// What `attested` has to be about: the head record.
    pub fn attestation(&self) -> Attestation {
        let head = self.later.as_ref().map_or(&self.record, |later| &later.record);
        Attestation { shard: head.shard, block: head.block, record: head.digest() }
    }

    /// Its bytes as they stand in a file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        codec::encode_into(&mut bytes, self);
        bytes
    }

    /// A proof from a file.
    ///
    /// # Errors
    /// When the bytes are not those of a proof of this version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ProofError> {
        let body = bytes.strip_prefix(MAGIC).ok_or(ProofError::Malformed)?;
        codec::decode(body).map_err(|_| ProofError::Malformed)
    }
}

impl Claim {
    /// Whether `record` says this about the results or the outbox of its block; claims about the state are checked by
    /// `fresnel_client`.
    pub fn holds_in_lists(&self, record: &Record) -> bool {
        match self {
            Self::State { .. } => false,
            Self::Outcome { transaction, outcome, path } => {
                path.root(merkle::leaf(&(*transaction, *outcome))) == Some(record.results)
            }
            Self::Applied { applied, path } => path.root(applied.leaf()) == Some(record.results),
            Self::Emitted { destination, receipt, path, slice } => {
                let Some(receipts) = path.root(merkle::leaf(receipt)) else { return false };
                slice.index == u64::from(destination.0)
                    && slice.count == record.pairs.len() as u64
                    && slice.root(slice_leaf(*destination, receipts)) == Some(record.outbox)
            }
        }
    }
}

impl Applied {
    /// Its leaf in the results of a block.
    pub fn leaf(&self) -> [u8; 32] {
        merkle::leaf(self)
    }
}

/// The leaves over which the results of a block are: outcomes of transactions, then consumed receipts, both in order. The
/// two kinds differ in length, so none passes for the other.
pub fn results_leaves(outcomes: &[(TransactionId, Outcome)], applied: &[Applied]) -> Vec<[u8; 32]> {
    let mut leaves = merkle::leaves(outcomes);
    leaves.extend(merkle::leaves(applied));
    leaves
}

/// The leaf of an outbox that stands for receipts with this root.
fn slice_leaf(destination: ShardId, receipts: Root) -> [u8; 32] {
    merkle::leaf(&(destination, receipts))
}

/// Checks that a quorum of the committee attested a record.
fn check_attested(
    attested: &[SignedAttestation],
    attestation: &Attestation,
    genesis: &Genesis,
    chain: &ChainId,
    verifier: &mut Verifier,
) -> Result<(), ProofError> {
    let committee = genesis.committee();
    let (leaf, epoch) = (merkle::leaf(attestation), genesis.epoch());
    if !attested.is_sorted_by(|before, after| before.head.author < after.head.author) {
        return Err(ProofError::Attestation);
    }
    let mut authors = AuthoritySet::default();
    let mut signed = Vec::with_capacity(attested.len());
    for SignedAttestation { head, path, signature } in attested {
        let author = committee.authority(head.author).ok_or(ProofError::Attestation)?;
        let bound = head.chain == *chain && head.epoch == epoch;
        if !bound || path.root(leaf) != Some(head.attestation_root) {
            return Err(ProofError::Attestation);
        }
        authors.insert(head.author);
        signed.push((author.consensus_key, vertex_signing_digest(&head.id()), *signature));
    }
    let items: Vec<Item<'_>> = signed
        .iter()
        .map(|(key, digest, signature)| Item { key: &key.0, message: digest, signature: &signature.0 })
        .collect();
    if !verifier.verify(&items).is_empty() {
        return Err(ProofError::Attestation);
    }
    let (stake, quorum) = (committee.stake(&authors), committee.quorum());
    if stake < quorum { Err(ProofError::Quorum { stake, quorum }) } else { Ok(()) }
}

/// Keys in one proof: a few hundred hashes.
pub const KEYS_PER_PROOF_MAX: usize = 64;

/// The first bytes of a file with a proof, with the version of the format.
const MAGIC: &[u8] = b"fresnel proof 1\n";
