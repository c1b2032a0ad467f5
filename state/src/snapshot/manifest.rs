//! The manifest of a snapshot, and putting chunks together that come from anywhere.

use fresnel_crypto::{
    Verifier,
    hash::{self, Hash},
};
use fresnel_types::{
    AuthorityIndex, ChainId, Genesis, Record, Shards, codec,
    proof::{Claim, Later, Proof, ProofError, SignedAttestation},
};
use wincode::{SchemaRead, SchemaWrite};

use super::{
    chunk::{Chunk, ChunkError, Prefix},
    listing::Listing,
};

/// What a snapshot is of, and of what it consists.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct Manifest {
    /// The chain.
    pub chain: ChainId,
    /// Whose worker it was taken from. It alone can go on from the parts.
    pub authority: AuthorityIndex,
    /// The record whose state this is.
    pub record: Record,
    /// The record that was attested, when that is a later one.
    pub later: Option<Later>,
    /// Those of a quorum.
    pub attested: Vec<SignedAttestation>,
    /// Ascending by prefix.
    pub chunks: Vec<ListedChunk>,
    /// In the order of the sequences, and within one in that of its items.
    pub parts: Vec<ListedPart>,
}

/// A chunk as the manifest names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct ListedChunk {
    /// Which subtree.
    pub prefix: Prefix,
    /// How many leaves.
    pub leaves: u64,
    /// `leaf` of its bytes.
    pub hash: Hash,
}

/// A part as the manifest names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct ListedPart {
    /// Of what.
    pub sequence: Sequence,
    /// The number of its first item; the numbers of a sequence are dense. That of a record is its position.
    pub first: u64,
    /// How many items.
    pub count: u64,
    /// `leaf` of its bytes.
    pub hash: Hash,
}

/// Some of what a worker kept besides its leaves.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct Part {
    /// Of what.
    pub sequence: Sequence,
    /// Its next items.
    pub items: Vec<Vec<u8>>,
}

/// What a worker keeps besides its leaves, as in [`Restored`](fresnel_types::checkpoint::Restored).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, SchemaRead, SchemaWrite)]
pub enum Sequence {
    /// The last records; the last one is that of the manifest.
    Records,
    /// What their blocks did.
    Outcomes,
    /// Everything else.
    InHand,
}

/// Why a manifest is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// The bytes are no manifest of this version.
    #[error("these are not the bytes of a manifest")]
    Malformed,
    /// It is of another chain.
    #[error("the snapshot is of another chain")]
    Chain,
    /// The record is not certified.
    #[error("the record of the snapshot is not certified")]
    Record(#[source] ProofError),
    /// The chunks do not divide the keys of the shard: one is omitted, repeated or out of order.
    #[error("the chunks do not divide the keys of the shard: number {0} is not the one that follows")]
    Chunks(usize),
    /// The parts are not the dense sequences of a worker whose last record is the certified one.
    #[error("the parts are not those of a worker after the record")]
    Parts,
}

impl Manifest {
    /// Checks all that can be checked without a chunk.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn verify(&self, genesis: &Genesis, verifier: &mut Verifier) -> Result<(), ManifestError> {
        let chain = genesis.chain();
        if self.chain != chain {
            return Err(ManifestError::Chain);
        }
        // That the record is certified is all that is claimed of it here.
        let claim = Claim::State { leaves: vec![], tree: vec![] };
        let proof = Proof {
            claim,
            record: self.record.clone(),
            later: self.later.clone(),
            attested: self.attested.clone(),
        };
        proof.check_certified(genesis, &chain, verifier).map_err(ManifestError::Record)?;
        self.listing(genesis.shards).map_err(ManifestError::Chunks)?;
        let dense = self.parts.is_sorted_by(|before, after| {
            before.sequence < after.sequence
                || before.sequence == after.sequence
                    && before.first.checked_add(before.count) == Some(after.first)
        });
        let (_, next) = self.numbers(Sequence::Records);
        if dense && (self.parts.is_empty() || Some(next) == self.record.position.checked_add(1)) {
            Ok(())
        } else {
            Err(ManifestError::Parts)
        }
    }

    fn listing(&self, shards: Shards) -> Result<Listing, usize> {
        Listing::new(shards, self.record.shard, self.record.state, self.chunks.clone())
    }

    /// The numbers of the items of a sequence: from the first, below the last.
    pub fn numbers(&self, sequence: Sequence) -> (u64, u64) {
        let mut parts = self.parts.iter().filter(|part| part.sequence == sequence);
        let Some(first) = parts.next() else { return (0, 0) };
        let last = parts.next_back().unwrap_or(first);
        (first.first, last.first.saturating_add(last.count))
    }

    /// Its bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        [MAGIC, &codec::encode(self)].concat()
    }

    /// A manifest from its bytes, which may be anything.
    ///
    /// # Errors
    /// When they are not those of a manifest of this version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ManifestError> {
        let body = bytes.strip_prefix(MAGIC).ok_or(ManifestError::Malformed)?;
        codec::decode(body).map_err(|_| ManifestError::Malformed)
    }
}

impl Part {
    /// Its bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// A part from its bytes, if they are those that the manifest names.
    pub fn from_bytes(bytes: &[u8], listed: &ListedPart) -> Option<Self> {
        let part: Self = codec::decode(bytes).ok().filter(|_| hash::leaf(bytes) == listed.hash)?;
        (part.sequence == listed.sequence && part.items.len() as u64 == listed.count).then_some(part)
    }
}

/// A snapshot whose chunks come one by one, in any order and from anybody.
#[derive(Debug)]
pub struct Assembly {
    listing: Listing,
    manifest: Manifest,
    /// Which chunks were accepted.
    accepted: Vec<bool>,
    missing: usize,
}

impl Assembly {
    /// With nothing accepted yet.
    ///
    /// # Errors
    /// As [`Manifest::verify`].
    pub fn new(
        manifest: Manifest,
        genesis: &Genesis,
        verifier: &mut Verifier,
    ) -> Result<Self, ManifestError> {
        manifest.verify(genesis, verifier)?;
        let (accepted, missing) = (vec![false; manifest.chunks.len()], manifest.chunks.len());
        let listing = manifest.listing(genesis.shards).map_err(ManifestError::Chunks)?;
        Ok(Self { listing, manifest, accepted, missing })
    }

    /// What is put together.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The numbers of the chunks that were not accepted yet, ascending.
    pub fn missing(&self) -> impl Iterator<Item = usize> {
        self.accepted.iter().enumerate().filter(|(_, accepted)| !**accepted).map(|(number, _)| number)
    }

    /// Whether every chunk was accepted.
    pub fn is_complete(&self) -> bool {
        self.missing == 0
    }

    /// Takes `bytes` for chunk `number`. What is refused changes nothing, and may be tried again from elsewhere.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn accept(&mut self, number: usize, bytes: &[u8]) -> Result<Chunk, ChunkError> {
        let chunk = self.listing.check(number, bytes)?;
        self.missing -= usize::from(!std::mem::replace(&mut self.accepted[number], true));
        Ok(chunk)
    }
}

/// The first bytes of a manifest, with the version of the format.
const MAGIC: &[u8] = b"fresnel snapshot 1\n";
